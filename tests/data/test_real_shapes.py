"""Small tables in shapes that people have: what a row says, and what is wrong with it, is what the pair says."""

import json

import datasets
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Image, IterableDataset, List, Value

from seal_datasets.data.load import load_pairs
from seal_datasets.data.storage import with_media_undecoded, without_local_paths
from seal_datasets.errors import DataError
from tests.turns import assistant, system, user


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def human(value):
    return {"from": "human", "value": value}


def gpt(value):
    return {"from": "gpt", "value": value}


@pytest.fixture
def load(tmp_path):
    """Loads rows by way of a JSON Lines file, which is read as a table and as a stream."""

    def load(*rows, **settings):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        pairs, diagnosis = load_pairs(path, **settings)
        assert list(load_pairs(path, streaming=True, **settings)[0]) == list(pairs)
        # What was loaded can be written and read again.
        pairs.to_parquet(tmp_path / "pairs.parquet")
        assert load_pairs(tmp_path / "pairs.parquet")[0][:] == pairs[:]
        return pairs, diagnosis

    return load


# The prompt is all of its parts ------------------------------------------------------------------------------------------

TEXTS = {"chosen": "a", "rejected": "b"}
PROMPTS = [
    ({"instruction": "Translate.", "input": "Night."}, [user("Translate.\nNight.")]),
    ({"instruction": "Joke.", "input": ""}, [user("Joke.")]),
    ({"instruction": "Joke.", "input": None}, [user("Joke.")]),
    ({"system": "Be brief.", "instruction": "Joke.", "input": "Sea."}, [system("Be brief."), user("Joke.\nSea.")]),
    ({"system_prompt": "Be brief.", "prompt": "Hi"}, [system("Be brief."), user("Hi")]),
    ({"system_message": "Be brief.", "question": "Hi"}, [system("Be brief."), user("Hi")]),
    ({"instruction": "Sum up.", "context": "Text."}, [user("Sum up.\nText.")]),
    ({"question": "Who?", "context": ["One.", "Two."]}, [user("Who?\nOne.\nTwo.")]),
    ({"prompt": "B", "history": [["A", "x"]]}, [user("A"), assistant("x"), user("B")]),
    ({"prompt": "B", "history": [user("A"), assistant("x")]}, [user("A"), assistant("x"), user("B")]),
    ({"prompt": "B", "history": ["A", "x"]}, [user("A"), assistant("x"), user("B")]),
    ({"prompt": "B", "context": [human("A"), gpt("x")]}, [user("A"), assistant("x"), user("B")]),
    ({"prompt": "B", "history": []}, [user("B")]),
    (
        {"system": "S", "history": [["A", "x"]], "instruction": "B", "input": "C", "context": "D"},
        [system("S"), user("A"), assistant("x"), user("B\nC\nD")],
    ),
    ({"prompt": "Rendered: B C", "input": "C"}, [user("Rendered: B C")]),  # a rendered prompt holds its parts
    ({"input": "Hi"}, [user("Hi")]),
    ({"conversations": [human("A"), gpt("x"), human("B")]}, [user("A"), assistant("x"), user("B")]),
    ({"conversations": [{"from": "system", "value": "S"}, human("B")]}, [system("S"), user("B")]),
    ({"system": "S", "conversations": [human("B")]}, [system("S"), user("B")]),
    (
        {"prompt": {"role": ["user", "assistant", "user"], "content": ["A", "x", "B"]}},
        [user("A"), assistant("x"), user("B")],
    ),
    ({"prompt": json.dumps([system("S"), user("B")])}, [system("S"), user("B")]),
    ({"prompt": user("Hi")}, [user("Hi")]),
    ({"prompt": [user([{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}])]}, [user("Hi you")]),
]


@pytest.mark.parametrize(("columns", "conversation"), PROMPTS)
def test_a_prompt_is_all_of_its_parts(load, columns, conversation):
    pairs, diagnosis = load(columns | TEXTS)
    assert pairs["conversation"][0] == conversation
    assert pairs["problems"][0] == []
    assert set(diagnosis.columns_not_read) <= {"history", "context", "input"} - set(diagnosis.prompt_columns)


def test_parts_keep_prompts_apart_and_are_named(load):
    rows = [{"instruction": "Translate.", "input": word} | TEXTS for word in ("Night.", "Morning.")]
    pairs, diagnosis = load(*rows)
    assert diagnosis.n_prompts == len(set(pairs["prompt_id"])) == 2
    assert diagnosis.prompt_columns == ("instruction", "input")
    assert "the prompt is made of the columns instruction, input" in str(diagnosis)


def test_what_is_not_read_is_named(load):
    dialogue = {"chosen": "\n\nHuman: Hi\n\nAssistant: a", "rejected": "\n\nHuman: Hi\n\nAssistant: b"}
    _, diagnosis = load(dialogue | {"history": "x"})
    assert "column history is not read, but kept" in str(diagnosis)
    _, diagnosis = load({"prompt": "Hi", "instruction": "x", "meta": 1} | TEXTS)
    assert diagnosis.columns_not_read == ("instruction", "meta")
    _, diagnosis = load({"prompt": "Hi", "history": {"a": 1}} | TEXTS)
    assert diagnosis.columns_not_read == ("history",)


def test_a_system_column_stands_before_whole_conversations_too(load):
    pairs, _ = load({"system": "S", "chosen": [user("Q"), assistant("a")], "rejected": [user("Q"), assistant("b")]})
    assert pairs["conversation"][0] == [system("S"), user("Q")]
    pairs, _ = load(
        {"system": "S", "chosen": "\n\nHuman: Q\n\nAssistant: a", "rejected": "\n\nHuman: Q\n\nAssistant: b"}
    )
    assert pairs["conversation"][0] == [system("S"), user("Q")]


# Rows that differ --------------------------------------------------------------------------------------------------------


def test_each_row_is_read_in_its_own_form(load):
    rows = [
        {"prompt": "Q", "chosen": "a", "rejected": "b"},
        {"prompt": None, "chosen": "\n\nHuman: Q\n\nAssistant: a", "rejected": "\n\nHuman: Q\n\nAssistant: b"},
        {"prompt": "Q", "chosen": [assistant("a")], "rejected": [assistant("b")]},
        {"prompt": None, "chosen": [user("Q"), assistant("a")], "rejected": [user("Q"), assistant("b")]},
        {"question": "Q", "chosen": "a", "rejected": "b"},
        {"conversations": [human("Q")], "chosen": gpt("a"), "rejected": gpt("b")},
        {"question": "Q", "response_a": "b", "response_b": "a", "winner": "B"},
        {"chosen": "no prompt", "rejected": "at all"},
        {"prompt": "Q", "chosen": 3, "rejected": "b"},
    ]
    pairs, diagnosis = load(*rows)
    assert pairs["conversation"][:7] == [[user("Q")]] * 7
    assert [text.strip() for text in pairs["chosen"][:7]] == ["a"] * 7
    assert pairs["problems"][:] == [[]] * 7 + [["missing_prompt"], ["unreadable_row"]]
    forms = [
        "standard",
        "dialogue",
        "conversational",
        "conversational_implicit",
        "standard",
        "conversational",
        "standard",
    ]
    assert pairs["source_format"][:7] == forms
    assert diagnosis.n_pairs == len(rows)


# Forms -------------------------------------------------------------------------------------------------------------------


def outcome(pairs):
    return list(zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (  # ms-swift
            {"messages": [user("Q"), assistant("a")], "rejected_response": "b"},
            [("\n\nHuman: Q", "a", "b")],
        ),
        (
            {"messages": [user("Q"), assistant("a")], "rejected_messages": [user("Q"), assistant("b")]},
            [("\n\nHuman: Q", "a", "b")],
        ),
        (  # OpenAI
            {"input": {"messages": [user("Q")], "tools": []}, "preferred_output": [assistant("a")]}
            | {"non_preferred_output": [assistant("b")]},
            [("\n\nHuman: Q", "a", "b")],
        ),
        (  # RM-Bench: three styles on each side
            {"id": 1, "prompt": "Q", "chosen": ["a", "A", "**a**"], "rejected": ["b", "B", "**b**"], "domain": "chat"},
            [("Q", good, bad) for good in ("a", "A", "**a**") for bad in ("b", "B", "**b**")],
        ),
        (  # Arena 55k
            {"model_a": "m", "model_b": "n", "prompt": '["Q"]', "response_a": '["b"]', "response_b": '["a"]'}
            | {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
            [("\n\nHuman: Q", "a", "b")],
        ),
        (  # Arena 140k
            {"model_a": "m", "model_b": "n", "winner": "model_b"}
            | {
                f"conversation_{side}": [
                    {"role": "user", "content": [{"type": "text", "text": "Q", "image": None}]},
                    {"role": "assistant", "content": [{"type": "text", "text": text, "image": None}]},
                ]
                for side, text in (("a", "b"), ("b", "a"))
            },
            [("\n\nHuman: Q", "a", "b")],
        ),
        (  # other ranked answers
            {"prompt": "Q", "responses": ["b", "a"], "ranks": ["2", "1"]},
            [("Q", "a", "b")],
        ),
        (
            {
                "qid": 1,
                "question": "Q",
                "answers": [{"text": t, "pm_score": s, "author": t} for t, s in (("b", 0), ("a", 4))],
            },
            [("Q", "a", "b")],
        ),
        ({"question": "Q", "response_j": "a", "response_k": "b"}, [("Q", "a", "b")]),
        (
            {"instruction": "Q", "input": "R", "output_1": "b", "output_2": "a", "preference": 2},
            [("Q\nR", "a", "b")],
        ),
        (
            {"orig_instruction": "Q", "orig_response_A": "b", "orig_response_B": "a", "orig_preference": "B"}
            | {"instruction": "Judge!", "output": "B"},
            [("Q", "a", "b")],
        ),
        (
            {"task": "Code", "trajectory": [{"from": "user", "value": "Q"}], "chosen": "a", "rejected": "b"},
            [("\n\nHuman: Q", "a", "b")],
        ),
        (
            {"instruction": "Q", "generations": ["b", "a"], "ratings": [1.0, 2.0], "generation_models": ["n", "m"]},
            [("Q", "a", "b")],
        ),
        ({"prompt": "Q", "response_1": "b", "response_2": "a", "winner": 2}, [("Q", "a", "b")]),
        ({"prompt": "Q", "response_a": "b", "response_b": "a", "winner": 1}, [("Q", "a", "b")]),
        ({"chosen": "Human: Q\n\nAssistant: a", "rejected": "Human: Q\n\nAssistant: b"}, [("Human: Q", " a", " b")]),
        ({"chosen": "Human: Q\nAssistant: a", "rejected": "Human: Q\nAssistant: b"}, [("Human: Q", " a", " b")]),
    ],
)
def test_published_forms_give_their_pairs(load, row, expected):
    pairs, _ = load(row)
    assert outcome(pairs) == expected
    assert pairs["problems"][:] == [[]] * len(expected)


def test_judgments_by_turn_leave_later_turns_out(load):
    def judgment(turn, winner):
        sides = {
            f"conversation_{side}": [user("Q"), assistant(f"{side}1"), user("R"), assistant(f"{side}2")]
            for side in "ab"
        }
        return {"question_id": 1, "model_a": "m", "model_b": "n", "winner": winner, "turn": turn} | sides

    pairs, diagnosis = load(judgment(1, "model_b"), judgment(2.0, "model_a"), judgment(1.0, "tie"))
    assert [row["chosen"] for row in pairs] == ["b1", "a2"]
    assert pairs["conversation"][0] == [user("Q")]
    assert pairs["problems"][:] == [[], ["prompts_differ"]]  # at the second turn, each side has its own first answer
    assert (diagnosis.n_rows_without_pair, diagnosis.n_tied_responses) == (1, 1)


@pytest.mark.parametrize(
    ("names", "value"),
    [(["model_a", "model_b", "tie"], 1), (["a", "b"], 1), (["0", "1"], 1), (["tie", "response_a", "response_b"], 2)],
)
def test_a_winner_may_be_a_class_label(names, value):
    features = Features(
        {**dict.fromkeys(("prompt", "response_a", "response_b"), Value("string")), "winner": ClassLabel(names=names)}
    )
    rows = {"prompt": ["Q"], "response_a": ["b"], "response_b": ["a"], "winner": [value]}
    assert outcome(load_pairs(Dataset.from_dict(rows, features=features))[0]) == [("Q", "a", "b")]


def test_who_wrote_each_response_is_a_column(load):
    answers = [{"answer": text, "model": text.upper(), "rank": rank} for text, rank in (("a", 1.0), ("b", 2.0))]
    for row in (
        {"prompt": "Q", "answers": answers},
        {"prompt": "Q", "chosen": "a", "rejected": "b", "chosen_model": "A", "rejected_model": "B"},
        {"prompt": "Q", "chosen": "a", "rejected": "b", "chosen-model": "A", "rejected-model": "B"},
        {"prompt": "Q", "chosen": ["a"], "rejected": ["b"], "models": ["A", "B"]},
        {"prompt": "Q", "response_a": "b", "response_b": "a", "winner": "b", "model_a": "B", "model_b": "A"},
    ):
        pairs, _ = load(row)
        assert (pairs["author_chosen"][:], pairs["author_rejected"][:]) == (["A"], ["B"])


def test_a_dialogue_that_lost_its_blank_lines_is_kept_as_it_was(load):
    rows = [{"chosen": "Human: Q\nAssistant: a", "rejected": "\n\nHuman: Q\n\nAssistant: b"}]
    pairs, _ = load(*rows)
    assert pairs["conversation"][0] == [user("Q")]
    assert (pairs["source_chosen"][0], pairs["source_rejected"][0]) == (rows[0]["chosen"], None)


# One row never refuses a table ---------------------------------------------------------------------------------------------

GOOD = {"prompt": [user("Hi")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
CALL = [{"type": "function", "function": {"name": "w", "arguments": '{"c": 1}'}}]


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        (GOOD | {"prompt": [user("Hi"), {"role": "tool", "content": "3"}]}, ["tool_turn"]),
        (GOOD | {"prompt": [{"role": "developer", "content": "x"}, user("Hi")]}, ["developer_turn"]),
        (GOOD | {"prompt": [user("Hi"), system("x"), user("Ho")]}, ["later_system_turn"]),
        (GOOD | {"prompt": [{"role": "narrator", "content": "x"}, user("Hi")]}, ["odd_role"]),
        (GOOD | {"chosen": [{"role": "assistant", "content": None, "tool_calls": CALL}]}, ["tool_calls"]),
        (GOOD | {"chosen": [{"role": "assistant", "content": "a", "reasoning_content": "x"}]}, ["reasoning_not_read"]),
        (
            GOOD | {"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}]},
            ["not_only_text"],
        ),
        (GOOD | {"chosen": [assistant("\ud83d")]}, ["lone_surrogate"]),
        (GOOD | {"chosen": [assistant("")]}, ["empty_chosen"]),
        (GOOD | {"chosen": [assistant("<|im_start|>a<|im_end|>")]}, ["template_in_response"]),
        (GOOD | {"chosen": [assistant("[INST] a")]}, ["template_in_response"]),
        (GOOD | {"chosen": [assistant("<think>x</think>a")]}, ["thinking_in_response"]),
        (
            GOOD | {"chosen": [assistant("<think>x</think>b")]},
            ["identical_without_thinking", "thinking_in_response"],
        ),
        (
            {"prompt": "Name a colour.\n", "chosen": "Name a colour.\nBlue.", "rejected": "Name a colour.\nChair."},
            ["prompt_in_response"],
        ),
        ({"prompt": "Hi", "chosen": "Hi there", "rejected": "Hi!"}, []),
    ],
)
def test_what_is_odd_about_a_row_is_its_problem(load, row, problems):
    pairs, _ = load(*[GOOD] * 3, row)
    assert pairs["problems"][:] == [[]] * 3 + [problems]
    if problems:
        with pytest.raises(DataError, match=f"(?s)strict: the data has problems.*{problems[0]}: 1, first in pair '3'"):
            load(*[GOOD] * 3, row, strict=True)


SUMMARY = {"info": {"post": "Long."}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 0}
RANKED = {"prompt": "Q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}


@pytest.mark.parametrize(
    ("good", "odd"),
    [(SUMMARY, {"info": "x"}), (SUMMARY, {"summaries": "x"}), (RANKED, {"answers": ["x"]}), (RANKED, {"answers": "x"})],
)
def test_one_row_without_the_structure_of_the_others_refuses_none_of_them(load, good, odd):
    pairs, diagnosis = load(*[good] * 3, good | odd)
    assert pairs["problems"][:] == [[]] * 3 + [["unreadable_row"]]
    assert diagnosis.first_unreadable.startswith(f"row 3: column {next(iter(odd))!r} holds ")


def test_calls_of_tools_are_kept_as_text(load):
    pairs, _ = load(GOOD | {"chosen": [{"role": "assistant", "content": "Wait.", "tool_calls": CALL}]})
    assert pairs["chosen"][0] == "Wait." + json.dumps(CALL)


def test_columns_that_nobody_uses_never_refuse_a_table(load):
    odd = [3, "N/A", {"a": 1}, [1], None, {}, 2**70]
    pairs, diagnosis = load(
        *[{"prompt": f"Q{i}", "meta": value, "empty": {}, "none": None} | TEXTS for i, value in enumerate(odd)]
    )
    assert [None if text is None else json.loads(text) for text in pairs["meta"]] == odd
    assert pairs["empty"][:] == ["{}"] * len(odd)
    assert diagnosis.columns_as_json == ("meta", "empty")
    assert "columns meta, empty are stored as JSON text" in str(diagnosis)


def test_images_beside_a_pair_are_carried_along_and_never_decoded(tmp_path):
    features = Features({**dict.fromkeys(("prompt", "chosen", "rejected"), Value("string")), "images": List(Image())})
    rows = {"prompt": ["Q"], "chosen": ["a"], "rejected": ["b"], "images": [[{"bytes": b"no image", "path": None}]]}
    table = Dataset.from_dict(rows, features=features)
    for source in (table, table.to_iterable_dataset()):
        (pair,) = load_pairs(source)[0]
        assert (pair["chosen"], pair["images"]) == ("a", [{"bytes": b"no image", "path": None}])


def test_paths_of_media_are_cut_to_their_file_names(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    kinds = {"prompt": Value("string"), "images": List(Image()), "one": Image()}
    rows = {"prompt": ["Q"], "images": [[str(tmp_path / "a.png"), None]]}
    rows["one"] = [{"bytes": None, "path": r"C:\Users\me\b.png"}]
    table = with_media_undecoded(Dataset.from_dict(rows, features=Features(kinds)))
    cut = without_local_paths(table)
    assert cut[0]["images"] == [{"bytes": None, "path": "a.png"}, None]
    assert cut[0]["one"]["path"] == "b.png"
    assert without_local_paths(table.select_columns(["prompt"])).features == {"prompt": Value("string")}


def test_a_structure_without_fields_can_be_written_whatever_the_source(tmp_path):
    rows = [{"prompt": "Q", "meta": {}, "deep": {"a": [{}]}} | TEXTS]
    pairs, diagnosis = load_pairs(Dataset.from_list(rows))
    assert diagnosis.columns_as_json == ("meta", "deep")
    pairs.to_parquet(tmp_path / "pairs.parquet")
    assert pd.read_parquet(tmp_path / "pairs.parquet")["deep"][0] == '{"a": [{}]}'
    stream = IterableDataset.from_generator(lambda: iter(rows))
    assert list(load_pairs(stream)[0]) == list(pairs)


# Folders and patterns ------------------------------------------------------------------------------------------------------


def test_a_folder_as_on_the_hub_is_read_by_its_splits(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("# A dataset\n")
    for split, shard, prompt in (
        ("train", "00000-of-00002", "A"),
        ("train", "00001-of-00002", "B"),
        ("test", "00000-of-00001", "C"),
    ):
        Dataset.from_list([{"prompt": prompt} | TEXTS]).to_parquet(tmp_path / "data" / f"{split}-{shard}.parquet")
    assert load_pairs(tmp_path, split="train")[0]["prompt"][:] == ["A", "B"]
    assert load_pairs(tmp_path, split="test")[0]["prompt"][:] == ["C"]
    assert load_pairs(f"{tmp_path}/data/train-*.parquet")[0]["prompt"][:] == ["A", "B"]
    with pytest.raises(DataError, match=r"no split was named; .* has the splits \['train', 'test'\]"):
        load_pairs(tmp_path)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "config.json").write_text('{"a": {}}')  # a name that `datasets` passes over
    with pytest.raises(DataError, match="make no preference pairs"):
        load_pairs(tmp_path / "only")
    with pytest.raises(DataError, match="no file matches"):
        load_pairs(f"{tmp_path}/data/dev-*.parquet")


@pytest.mark.parametrize(
    ("row", "places"),
    [
        (  # RewardBench 2
            {
                "id": "7",
                "prompt": "Q",
                "chosen": ["a"],
                "rejected": ["b", "c", "d"],
                "num_correct": 1,
                "subset": "Math",
            },
            [(0, 1), (0, 2), (0, 3)],
        ),
        (  # RewardBench 2, Ties
            {"id": "tied:7", "prompt": "Q", "chosen": ["a", "b"], "rejected": ["c", "d"], "subset": "Ties"},
            [(0, 2), (0, 3), (1, 2), (1, 3)],
        ),
        (  # RM-Bench
            {"id": 1, "prompt": "Q", "chosen": ["a", "A", "**a**"], "rejected": ["b", "B", "**b**"], "domain": "chat"},
            [(good, bad) for good in (0, 1, 2) for bad in (3, 4, 5)],
        ),
        (  # Nectar, the lowest rank is the best
            {
                "prompt": "Q",
                "answers": [{"answer": text, "rank": rank} for text, rank in (("b", 2.0), ("c", 3.0), ("a", 1.0))],
            },
            [(0, 1), (2, 0), (2, 1)],
        ),
    ],
)
def test_pairs_of_several_responses_say_which_they_compare(load, row, places):
    pairs, _ = load(row)
    assert list(zip(pairs["response_index_chosen"], pairs["response_index_rejected"], strict=True)) == places
    assert set(pairs["source_row"]) == {"0"}
    assert set(row) - {"prompt", "chosen", "rejected"} <= set(pairs.column_names)


def test_two_responses_need_no_places(load):
    pairs, _ = load({"prompt": "Q", "chosen": "a", "rejected": "b"})
    assert "source_row" not in pairs.column_names


def test_half_a_character_in_json_within_a_cell_is_replaced_and_named(load):
    turns = [[user("Q"), assistant("\ud83d a")], [user("Q"), assistant("b")]]
    (pair,), _ = load({"chosen": json.dumps(turns[0]), "rejected": json.dumps(turns[1])})
    assert (pair["chosen"], pair["problems"]) == ("\ufffd a", ["lone_surrogate"])
