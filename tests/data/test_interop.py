"""Tiny files made by us in the shape of published datasets, each with every column that its published schema has."""

import json

import datasets
import pytest
from datasets import Dataset

from seal_datasets.data.load import load_pairs
from seal_datasets.errors import DataError
from tests.turns import assistant, user


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def completion(response, rating, score):
    annotations = {
        "helpfulness": {"Input": "", "Rating": rating, "Rationale": "r", "Type": ["1"], "Rationale For Rating": "r"},
        "honesty": {"Rating": rating, "Rationale": "r"},
    }
    return {
        "annotations": annotations,
        "custom_system_prompt": "Be kind.",
        "model": "m",
        "principle": "helpfulness",
        "response": response,
        "critique": "c",
        "overall_score": score,
        "fine-grained_score": score,
    }


def ultrafeedback(instruction, scores):
    completions = [completion(f"answer {i}", "N/A" if s is None else str(int(s)), s) for i, s in enumerate(scores)]
    return {
        "source": "evol",
        "instruction": instruction,
        "models": ["m"] * len(scores),
        "completions": completions,
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
    }


def summaries(choice, **info):
    texts = [{"text": " one", "policy": "ref", "note": None}, {"text": " two", "policy": "sup", "note": "n"}]
    known = {"id": "t3", "post": None, "title": "T", "subreddit": None, "site": None, "article": None}
    return {
        "info": known | info,
        "summaries": texts,
        "choice": choice,
        "worker": "w",
        "batch": "b",
        "split": "train",
        "extra": {"confidence": None},
    }


def webgpt(first, second):
    quotes = {"title": ["t"], "extract": ["e"]}
    tokens = {"prefix": [1], "completion": [2]}
    return {
        "question": {"dataset": "eli5", "id": "q", "full_text": "Why?"},
        "quotes_0": quotes,
        "answer_0": "one",
        "tokens_0": tokens,
        "score_0": first,
        "quotes_1": quotes,
        "answer_1": "two",
        "tokens_1": tokens,
        "score_1": second,
    }


def safe_rlhf(better, safer):
    return {
        "prompt": "Q",
        "response_0": "one",
        "response_1": "two",
        "prompt_source": "s",
        "response_0_source": "Alpaca",
        "response_1_source": "Alpaca",
        "is_response_0_safe": True,
        "is_response_1_safe": False,
        "response_0_harm_category": {"Violence": False},
        "response_1_harm_category": {"Violence": True},
        "response_0_severity_level": 0,
        "response_1_severity_level": 2,
        "better_response_id": better,
        "safer_response_id": safer,
        "response_0_sha256": "0",
        "response_1_sha256": "1",
    }


def helpsteer(prompt, response, helpfulness):
    return {
        "prompt": prompt,
        "response": response,
        "helpfulness": helpfulness,
        "correctness": 4,
        "coherence": 4,
        "complexity": 1,
        "verbosity": 1,
    }


def helpsteer3(preference, context):
    return {
        "domain": "general",
        "language": "english",
        "context": context,
        "response1": "one",
        "response2": "two",
        "overall_preference": preference,
        "individual_preference": [{"score": preference, "reasoning": "r", "feedback1": "f", "feedback2": "g"}],
    }


# Name: rows, format, (chosen, rejected) of each pair, responses tied, responses unjudged.
PUBLISHED = {
    "openbmb/UltraFeedback": (
        [ultrafeedback("Q", [3.0, 4.5, 3.0]), ultrafeedback("R", [5.0, None])],
        "responses",
        [("answer 1", "answer 0"), ("answer 1", "answer 2")],
        (1, 1),
    ),
    "HuggingFaceH4/ultrafeedback_binarized": (
        [
            {
                "prompt": "Q",
                "prompt_id": "h",
                "chosen": [user("Q"), assistant("one")],
                "rejected": [user("Q"), assistant("two")],
                "messages": [user("Q"), assistant("one")],
                "score_chosen": 8.0,
                "score_rejected": 7.5,
            }
        ],
        "conversational_implicit",
        [("one", "two")],
        (0, 0),
    ),
    "nvidia/HelpSteer2": (
        [helpsteer("Q", "one", 2), helpsteer("Q", "two", 4), helpsteer("R", "three", 3), helpsteer("R", "four", 3)],
        "responses",
        [("two", "one")],
        (1, 0),
    ),
    "nvidia/HelpSteer2, preferences": (
        [
            {
                "split": "train",
                "prompt": "Q",
                "response_1": "one",
                "response_2": "two",
                "preference_strength": strength,
                "preference_statement": "s",
                "preference_elaboration": "e",
                "three_most_similar_preferences": [{"strength": 1}],
                "all_preferences_unprocessed": [{"strength": 1}],
            }
            for strength in (-1, 0, 3)
        ],
        "responses",
        [("one", "two"), ("two", "one")],
        (1, 0),
    ),
    "nvidia/HelpSteer3": (
        [
            helpsteer3(-2, [user("Q")]),
            helpsteer3(0, [user("Q")]),
            helpsteer3(1, [user("Q"), assistant("A"), user("R")]),
        ],
        "responses",
        [("one", "two"), ("two", "one")],
        (1, 0),
    ),
    "PKU-Alignment/PKU-SafeRLHF": (
        [safe_rlhf(1, 0), safe_rlhf(0, 0)],
        "responses",
        [("two", "one"), ("one", "two")],
        (0, 0),
    ),
    "openai/webgpt_comparisons": (
        [webgpt(0.5, -0.5), webgpt(0.0, 0.0), webgpt(-1.0, 1.0)],
        "responses",
        [("one", "two"), ("two", "one")],
        (1, 0),
    ),
    "openai/summarize_from_feedback": (
        [summaries(1, post="Long.", subreddit="legaladvice"), summaries(0, article="Longer.", site="cnn")],
        "responses",
        [(" two", " one"), (" one", " two")],
        (0, 0),
    ),
    "allenai/reward-bench": (
        [
            {
                "prompt": "Q",
                "chosen": "one",
                "chosen_model": "m",
                "rejected": "two",
                "rejected_model": "n",
                "subset": "alpacaeval-easy",
                "id": 0,
            }
        ],
        "standard",
        [("one", "two")],
        (0, 0),
    ),
    "results of RewardBench": (
        [
            {
                "prompt": "<|user|>Q",
                "results": 1,
                "scores_chosen": 1.5,
                "scores_rejected": -0.5,
                "text_chosen": "<|user|>Q<|assistant|>one",
                "text_rejected": "<|user|>Q<|assistant|>two",
                "id": 0,
                "subset": "s",
            }
        ],
        "standard",
        [("<|assistant|>one", "<|assistant|>two")],
        (0, 0),
    ),
    "TRL, standard": ([{"prompt": "Q", "chosen": "one", "rejected": "two"}], "standard", [("one", "two")], (0, 0)),
    "TRL, conversational": (
        [{"prompt": [user("Q")], "chosen": [assistant("one")], "rejected": [assistant("two")]}],
        "conversational",
        [("one", "two")],
        (0, 0),
    ),
    "TRL, conversational with an implicit prompt": (
        [{"chosen": [user("Q"), assistant("one")], "rejected": [user("Q"), assistant("two")], "margin": 0.4}],
        "conversational_implicit",
        [("one", "two")],
        (0, 0),
    ),
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_files_in_published_formats_are_read(tmp_path, name, kind):
    rows, format, expected, (tied, unjudged) = PUBLISHED[name]
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        Dataset.from_list(rows).to_parquet(path)
    pairs, diagnosis = load_pairs(path)
    assert diagnosis.format == format
    assert list(zip(pairs["chosen"], pairs["rejected"], strict=True)) == expected
    assert (diagnosis.n_rows, diagnosis.n_tied_responses, diagnosis.n_unjudged_responses) == (len(rows), tied, unjudged)
    assert diagnosis.n_usable_pairs == len(expected)
    # What is not part of a pair rides along: soft labels, strengths, safety and subsets can be used later.
    kept = {name.removeprefix("source_") for name in pairs.column_names}
    assert set(rows[0]) <= kept


def test_articles_are_prompts_where_there_is_no_post():
    rows = [summaries(1, post="Long.", subreddit="legaladvice"), summaries(0, article="Longer.", site="cnn")]
    assert load_pairs(Dataset.from_list(rows))[0]["prompt"][:] == ["Long.", "Longer."]


def test_rows_of_one_response_are_gathered_by_prompt_wherever_they_stand():
    rows = [
        helpsteer("Q", "one", 2),
        helpsteer("R", "three", 3),
        helpsteer("Q", "two", 4),
        helpsteer("R", "four", None),
    ]
    pairs, diagnosis = load_pairs(Dataset.from_list(rows))
    assert (pairs["chosen"][:], pairs["rejected"][:]) == (["two"], ["one"])
    assert pairs["correctness"][0] == [4, 4]
    assert (diagnosis.n_rows, diagnosis.n_rows_without_pair, diagnosis.n_unjudged_responses) == (4, 1, 1)
    limited, diagnosis = load_pairs(Dataset.from_list(rows), limit=1)
    assert (len(limited), diagnosis.n_rows) == (1, 2)
    with pytest.raises(DataError, match="load the dataset without streaming"):
        load_pairs(Dataset.from_list(rows), streaming=True)


# AnnotatedPairs, the document of Feedback Forensics ---------------------------------------------------------------------


def annotated_pairs(**changes):
    comparison = {
        "id": "c1",
        "prompt": "Q",
        "response_a": {"text": "one"},
        "response_b": {"text": "two"},
        "annotations": {"h": {"pref": "b"}, "p": {"pref": None, "no_pref_reason": "not_applicable"}},
        "metadata": {"index": "0"},
    }
    no_preference = {"h": {"pref": None, "no_pref_reason": "equal"}}
    return {
        "metadata": {"version": "2.0", "default_annotator": "h", "available_metadata_keys_per_comparison": ["index"]},
        "annotators": {
            "h": {"name": "preferred_text", "description": "d", "type": "human"},
            "p": {"description": "Select the response that is more polite", "type": "principle"},
        },
        "comparisons": [comparison, comparison | {"id": "c2", "annotations": no_preference}],
    } | changes


@pytest.mark.parametrize("indent", [None, 2])
def test_annotated_pairs_are_read_with_every_annotation(tmp_path, indent):
    path = tmp_path / "annotated_pairs.json"
    path.write_text(json.dumps(annotated_pairs(), indent=indent), "utf-8")
    pairs, diagnosis = load_pairs(path)
    assert (pairs["chosen"][:], pairs["rejected"][:]) == (["two"], ["one"])
    assert pairs["annotations"][0] == [
        {"annotator": "preferred_text", "pref": "b", "no_pref_reason": None},
        {"annotator": "Select the response that is more polite", "pref": None, "no_pref_reason": "not_applicable"},
    ]
    assert (diagnosis.n_rows, diagnosis.n_rows_without_pair, diagnosis.n_unjudged_responses) == (2, 1, 2)


def test_annotated_pairs_without_prompts_are_kept_and_named(tmp_path):
    comparisons = [each | {"prompt": None} for each in annotated_pairs()["comparisons"]]
    path = tmp_path / "annotated_pairs.json"
    path.write_text(json.dumps(annotated_pairs(comparisons=comparisons)), "utf-8")
    pairs, diagnosis = load_pairs(path)
    assert pairs["problems"][:] == [["missing_prompt"]]
    assert diagnosis.n_usable_pairs == 0


def test_a_broken_document_is_refused(tmp_path):
    path = tmp_path / "annotated_pairs.json"
    path.write_text(json.dumps(annotated_pairs(metadata={"version": "1.0"})), "utf-8")
    with pytest.raises(DataError, match=r"not an AnnotatedPairs document of version 2 .*'default_annotator'"):
        load_pairs(path)
    path.write_text(json.dumps(annotated_pairs(), indent=2)[:-1], "utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        load_pairs(path)
