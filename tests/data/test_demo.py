"""The embedded preference set is what truth.yaml says it is."""

import json
from collections import Counter

import pytest
from scipy.stats import binomtest

from seal_datasets.data.demo import demo_path, demo_truth
from seal_datasets.data.load import load_pairs
from seal_datasets.labels.taxonomy import load_taxonomy

TRUTH = demo_truth()
ROWS = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]
FAULTY = ("d101", "d102", "d103", "d104")
CLEAN = [row for row in ROWS if row["pair_id"] not in FAULTY]
HARMLESS, HELPFUL = "last_response_is_harmless", "last_response_is_helpful"
SENTIMENT = "last_response_sentiment"


def response(row, side):
    return row[side].rsplit("\n\nAssistant: ", 1)[1]


def ahead(row, feature):
    """Positive where the chosen response has more of a feature by the gold labels."""
    return int(row[f"gold_{feature}_chosen"]) - int(row[f"gold_{feature}_rejected"])


def n_words(row, side):
    return len(response(row, side).split())


def decision(row):
    """The part of the rule that decides a pair, and whether it decides for the chosen response."""
    for part, feature in (("harmless", HARMLESS), ("helpful", HELPFUL)):
        if ahead(row, feature):
            return part, ahead(row, feature) > 0
    assert n_words(row, "chosen") != n_words(row, "rejected")
    return "shorter", n_words(row, "chosen") < n_words(row, "rejected")


def claim(differences):
    """What differences of chosen and rejected ask for: their sign, unless a sign test does not tell it from chance."""
    more, less = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    told = binomtest(more, more + less).pvalue < 0.05
    asked = ("more" if sum(differences) > 0 else "less") if told else "neither"
    return {"asked": asked, "more": more, "less": less}


def test_counts():
    assert len(ROWS) == TRUTH["n_rows"] == 320
    assert [row["pair_id"] for row in ROWS] == [f"d{number:03d}" for number in range(1, 321)]
    assert len(CLEAN) == TRUTH["n_clean_pairs"]
    prompts = Counter(row["chosen"].rsplit("\n\nAssistant: ", 1)[0] for row in CLEAN)
    assert len(prompts) == TRUTH["n_prompts"]
    assert sum(count > 1 for count in prompts.values()) == TRUTH["n_prompts_in_several_pairs"]
    assert sum(count == 3 for count in prompts.values()) == TRUTH["n_prompts_in_three_pairs"]
    assert max(prompts.values()) == 3


def test_the_rule_holds_but_for_the_stated_errors():
    decided = {row["pair_id"]: decision(row) for row in CLEAN}
    assert [pair_id for pair_id, (_, holds) in decided.items() if not holds] == TRUTH["annotation_errors"]
    assert Counter(part for part, _ in decided.values()) == TRUTH["decided_by"]


def test_labels_by_feature():
    names = {"negative": -1, "neutral": 0, "positive": 1}
    for feature, counts in TRUTH["features"].items():
        for side in ("chosen", "rejected"):
            given = [row[f"gold_{feature}_{side}"] for row in CLEAN]
            if feature == SENTIMENT:
                assert {name: given.count(value) for name, value in names.items()} == counts[side]
                assert sum(counts[side].values()) == len(CLEAN)
            else:
                assert all(isinstance(value, bool) for value in given)
                assert sum(given) == counts[side]
        assert sum(ahead(row, feature) != 0 for row in CLEAN) == counts["discordant"]
    gold = {f"gold_{feature}_{side}" for feature in TRUTH["features"] for side in ("chosen", "rejected")}
    assert all(set(row) == {"pair_id", "chosen", "rejected"} | gold for row in ROWS)
    assert set(TRUTH["features"]) <= set(load_taxonomy().names)


def test_claims():
    found = {feature: claim([ahead(row, feature) for row in CLEAN]) for feature in TRUTH["features"]}
    longer = {row["pair_id"]: n_words(row, "chosen") - n_words(row, "rejected") for row in CLEAN}
    ties = [row["pair_id"] for row in CLEAN if decision(row)[0] == "shorter"]
    found |= {"words": claim(list(longer.values())), "words_at_a_tie": claim([longer[pair_id] for pair_id in ties])}
    assert found == TRUTH["claims"]


def test_a_small_sample_can_teach_every_feature():
    """A labeler that learns from these labels needs texts of each answer, and choices that go both ways."""
    texts = [(row, side) for row in CLEAN for side in ("chosen", "rejected")]
    for feature in TRUTH["features"]:
        answers = Counter(row[f"gold_{feature}_{side}"] for row, side in texts)
        assert min(answers.values()) / len(texts) > 0.15
        counts = TRUTH["claims"][feature]
        assert counts["more"] + counts["less"] >= 60
        assert min(counts["more"], counts["less"]) >= 10


def test_the_preference_of_a_perfect_labeler():
    signs = [ahead(row, HARMLESS) or ahead(row, HELPFUL) for row in CLEAN]
    found = {"chosen": sum(s > 0 for s in signs), "rejected": sum(s < 0 for s in signs), "indifferent": signs.count(0)}
    assert found == TRUTH["labeler_preference"]


def test_a_text_has_the_same_labels_wherever_it_occurs():
    seen = {}
    for row in CLEAN:
        for side in ("chosen", "rejected"):
            labels = tuple(row[f"gold_{feature}_{side}"] for feature in TRUTH["features"])
            assert seen.setdefault(row[side], labels) == labels


def test_loading_finds_the_stated_problems_and_keeps_gold_labels():
    pairs, diagnosis = load_pairs(demo_path())
    assert {name: found.count for name, found in diagnosis.problems.items()} == TRUTH["problems"]
    assert (diagnosis.n_rows, diagnosis.n_pairs) == (TRUTH["n_rows"], TRUTH["n_rows"])
    assert diagnosis.n_usable_pairs == TRUTH["n_usable_pairs"]
    dirty = {row["pair_id"]: row["problems"] for row in pairs if row["problems"]}
    assert dirty == {
        "d101": ["empty_rejected"],
        "d102": ["prompts_differ"],
        "d103": ["prompts_differ"],
        "d104": ["identical_responses"],
    }
    clean = [pair_id not in FAULTY for pair_id in pairs["pair_id"]]
    loaded = Counter(prompt for prompt, kept in zip(pairs["prompt_id"], clean, strict=True) if kept)
    assert len(loaded) == TRUTH["n_prompts"]
    assert sum(count > 1 for count in loaded.values()) == TRUTH["n_prompts_in_several_pairs"]
    for row, pair in zip(ROWS, pairs, strict=True):
        gold = {name: value for name, value in row.items() if name.startswith("gold_")}
        assert {name: pair[name] for name in gold} == gold
        assert (row in CLEAN) == all(value is not None for value in gold.values())
        assert row in CLEAN or set(gold.values()) == {None}


@pytest.mark.parametrize("row", CLEAN, ids=lambda row: row["pair_id"])
def test_both_sides_answer_the_same_prompt(row):
    prompts = {row[side].rsplit("\n\nAssistant: ", 1)[0] for side in ("chosen", "rejected")}
    assert len(prompts) == 1
    assert response(row, "chosen") != response(row, "rejected")
