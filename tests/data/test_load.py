import doctest
import gzip
import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, Value, load_dataset_builder
from huggingface_hub.errors import RepositoryNotFoundError

from seal_datasets import schema
from seal_datasets.data import diagnosis as diagnosis_room
from seal_datasets.data import load, sources, transform
from seal_datasets.data.diagnosis import Diagnosis, ProblemCount
from seal_datasets.data.formats import FORMAT_NEEDS
from seal_datasets.data.load import PAIR_FEATURES, HubDataset, diagnose, load_pairs
from seal_datasets.errors import DataError
from tests.turns import assistant, user


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


STANDARD = [
    {"prompt": "Hi", "chosen": "Hello!", "rejected": "", "gold": 1},
    {"prompt": "Hi", "chosen": "Yes?", "rejected": "Yes?", "gold": None},
    {"prompt": "Why?", "chosen": None, "rejected": "No.", "gold": 3},
]
DIALOGUES = [
    {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
    {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Ho\n\nAssistant: No"},
    {"chosen": "no turns", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
]
SCORED = [
    {"prompt": "Hi", "responses": ["a", "b", "c"], "scores": [1.0, 3.0, 1.0]},  # two pairs, one tie
    {"prompt": "Ho", "responses": ["d", "e"], "scores": [2.0, 2.0]},  # one tie, no pair
    {"prompt": "Hu", "responses": ["f", "g", "h"], "scores": [2.0, None, 1.0]},  # one pair, one response unjudged
]


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


def pairs_of(source, **settings):
    return load_pairs(source, **settings)[0]


def error_of(source, **settings):
    with pytest.raises(DataError) as caught:
        load_pairs(source, **settings)
    return str(caught.value)


def test_the_examples_in_the_docstrings_run():
    for module in (load, diagnosis_room):
        result = doctest.testmod(module)
        assert (result.attempted >= 4, result.failed) == (True, 0)


# What comes out --------------------------------------------------------------------------------------------------------


def test_a_table_has_the_canonical_columns_and_its_own():
    pairs, diagnosis = load_pairs(Dataset.from_list(STANDARD))
    assert pairs.features == Features({**PAIR_FEATURES, "gold": Value("int64")})
    assert tuple(pairs.column_names[:9]) == schema.CANONICAL_COLUMNS
    assert pairs[0] == {
        "pair_id": "0",
        "prompt_id": pairs[1]["prompt_id"],  # the same prompt
        "prompt": "Hi",
        "chosen": "Hello!",
        "rejected": "",
        "conversation": [user("Hi")],
        "rejected_prompt": None,
        "rejected_conversation": None,
        "problems": ["empty_rejected"],
        "gold": 1,
    }
    assert diagnosis == Diagnosis(
        format="standard",
        form="chosen and rejected",
        prompt_columns=("prompt",),
        columns_not_read=("gold",),
        source="a Dataset",
        fingerprint=diagnosis.fingerprint,
        n_rows=3,
        n_rows_without_pair=0,
        n_tied_responses=0,
        n_unjudged_responses=0,
        n_pairs=3,
        n_usable_pairs=2,  # the third has no chosen text
        n_prompts=2,
        problems={
            "missing_chosen": ProblemCount(1, "2"),
            "empty_rejected": ProblemCount(1, "0"),
            "identical_responses": ProblemCount(1, "1"),
        },
    )


def test_a_diagnosis_reads_as_a_table_and_as_plain_values():
    _, diagnosis = load_pairs(Dataset.from_list(SCORED * 400))
    assert json.loads(json.dumps(diagnosis.to_dict()))["n_tied_responses"] == 800
    text = str(diagnosis)
    # 1,200 rows: of every three, 2 + 0 + 1 pairs, 1 + 1 + 0 ties and 0 + 0 + 1 unjudged responses.
    assert "1,200 rows, 1,200 pairs (1,200 usable), 2 distinct prompts" in text
    assert "800 pairs of responses are tied" in text
    assert "400 responses have no verdict" in text
    assert "400 rows made no pair" in text
    assert "no problems found" in text
    _, diagnosis = load_pairs(Dataset.from_list(STANDARD))
    assert "missing_chosen                     1  first: 2  (the chosen response is null; kept, not usable)" in str(
        diagnosis
    )
    assert diagnosis.to_dict()["problems"]["missing_chosen"] == {"count": 1, "first_pair_id": "2"}


def test_dialogues_keep_their_raw_text_only_where_they_cannot_be_split():
    pairs, diagnosis = load_pairs(Dataset.from_list(DIALOGUES))
    assert pairs["source_chosen"][:] == [None, None, "no turns"]
    assert pairs["source_rejected"][:] == [None, None, None]
    assert pairs["rejected_prompt"][:] == [None, "\n\nHuman: Ho", None]
    assert pairs["problems"][:] == [[], ["prompts_differ"], ["no_assistant_turn"]]
    assert diagnosis.format == "dialogue"


def test_conversations_keep_their_originals_beside_the_texts():
    rows = [
        {"chosen": [user("Hi"), assistant("a")], "rejected": [user("Hi"), assistant("b")], "prompt_id": "their own"}
    ]
    pairs, diagnosis = load_pairs(Dataset.from_list(rows))
    assert diagnosis.format == "conversational_implicit"
    assert (pairs[0]["prompt"], pairs[0]["chosen"], pairs[0]["rejected"]) == ("\n\nHuman: Hi", "a", "b")
    assert pairs[0]["source_chosen"] == rows[0]["chosen"]
    assert pairs[0]["source_prompt_id"] == "their own"
    taken = [{**rows[0], "source_chosen": "x"}]
    assert "columns ['source_chosen'], whose names are needed" in error_of(Dataset.from_list(taken))


def test_one_row_makes_several_pairs_with_ids_of_their_own():
    pairs, diagnosis = load_pairs(Dataset.from_list(SCORED))
    assert pairs["pair_id"][:] == ["0.0", "0.1", "2"]
    assert list(zip(pairs["chosen"], pairs["rejected"], strict=True)) == [("b", "a"), ("b", "c"), ("f", "h")]
    assert pairs["responses"][0] == ["a", "b", "c"]
    assert (diagnosis.n_rows, diagnosis.n_pairs, diagnosis.n_rows_without_pair) == (3, 3, 1)
    assert (diagnosis.n_tied_responses, diagnosis.n_unjudged_responses) == (2, 1)


def test_given_pair_ids_are_kept_and_must_be_unique():
    rows = [{**row, "pair_id": number} for row, number in zip(STANDARD, (7, 70, 700), strict=True)]
    assert pairs_of(Dataset.from_list(rows))["pair_id"][:] == ["7", "70", "700"]
    assert "pair_id '7' occurs more than once" in error_of(Dataset.from_list([rows[0], rows[0]]))
    assert "row 1: column 'pair_id' holds None" in error_of(Dataset.from_list([rows[0], {**rows[1], "pair_id": None}]))
    scored = pairs_of(Dataset.from_list([{**row, "pair_id": f"p{i}"} for i, row in enumerate(SCORED)]))
    assert scored["pair_id"][:] == ["p0.0", "p0.1", "p2"]
    assert scored["source_pair_id"][:] == ["p0", "p0", "p2"]


def test_loading_pairs_again_changes_nothing(tmp_path):
    pairs, diagnosis = load_pairs(Dataset.from_list(STANDARD[:2]))  # no rejected_prompt: JSON loses the column's type
    pairs.to_parquet(tmp_path / "pairs.parquet")
    pairs.to_json(tmp_path / "pairs.jsonl", force_ascii=False)
    pairs.save_to_disk(tmp_path / "pairs")
    for source in (pairs, tmp_path / "pairs.parquet", tmp_path / "pairs.jsonl", tmp_path / "pairs"):
        again, found = load_pairs(source)
        assert again.features == pairs.features
        assert again[:] == pairs[:]
        assert (found.format, found.problems, found.n_rows) == ("canonical", diagnosis.problems, 2)
        assert list(pairs_of(source, streaming=True)) == list(pairs)
    assert "['pair_id', 'prompt_id'" in error_of(Dataset.from_list(STANDARD), format="canonical")


# Sources ---------------------------------------------------------------------------------------------------------------

FORMS = {"standard": STANDARD, "dialogue": DIALOGUES, "responses": SCORED}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_source_gives_the_same_pairs(tmp_path, form, streaming):
    table = Dataset.from_list(FORMS[form])
    expected = list(pairs_of(table))
    table.to_parquet(tmp_path / "a.parquet")
    table.save_to_disk(tmp_path / "saved")
    DatasetDict({"train": table}).save_to_disk(tmp_path / "splits")
    files = [write(tmp_path / name, FORMS[form]) for name in ("a.jsonl", "a.json.gz")]
    objects = [table, table.to_iterable_dataset(), DatasetDict({"train": table})]
    objects += [IterableDatasetDict({"train": table.to_iterable_dataset()}), table.with_format("numpy")]
    for source in [*files, *objects, str(tmp_path / "a.parquet"), tmp_path / "saved", tmp_path / "splits"]:
        pairs, diagnosis = load_pairs(source, streaming=streaming)
        assert list(pairs) == expected
        assert diagnosis.format == form
        assert isinstance(pairs, IterableDataset) == (diagnosis.n_pairs is None)
        if streaming:
            assert isinstance(pairs, IterableDataset)


def test_csv_files_give_the_same_pairs_where_empty_text_is_null_elsewhere(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,chosen,rejected\nHi,7,\nHo,2020-01-01,None\n")
    pairs = pairs_of(tmp_path / "a.csv")
    assert list(zip(pairs["chosen"], pairs["rejected"], strict=True)) == [("7", ""), ("2020-01-01", "None")]
    assert pairs["problems"][:] == [["empty_rejected"], []]
    (tmp_path / "b.csv").write_text("prompt,response_0,response_1,better_response_id\nHi,a,b,1\n")
    assert pairs_of(tmp_path / "b.csv")["chosen"][:] == ["b"]


def test_a_stream_is_diagnosed_after_it_is_read():
    table = Dataset.from_list(STANDARD)
    stream, unknown = load_pairs(table.to_iterable_dataset())
    _, known = load_pairs(table)
    assert unknown.n_pairs is unknown.problems is unknown.n_rows is None
    assert "unknown until it is read" in str(unknown)
    counted = diagnose(stream)
    assert (counted.n_pairs, counted.n_usable_pairs, counted.n_prompts) == (3, 2, 2)
    assert counted.problems == known.problems


def test_a_stream_that_does_not_state_its_types_is_read():
    stream = IterableDataset.from_generator(lambda: iter(STANDARD))
    assert stream.features is None
    assert list(pairs_of(stream)) == list(pairs_of(Dataset.from_list(STANDARD)))
    assert "no rows" in error_of(IterableDataset.from_generator(lambda: iter([])))
    mixed = IterableDataset.from_generator(lambda: iter([STANDARD[0], {**STANDARD[0], "chosen": 3}]))
    assert "mixes types in one column" in error_of(mixed)


def test_files_are_identified_by_their_content(tmp_path):
    one = load_pairs(write(tmp_path / "a.jsonl", STANDARD))[1]
    other = load_pairs(write(tmp_path / "b.jsonl", STANDARD))[1]
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.startswith("sha256:")
    assert len(one.fingerprint) == len("sha256:") + 64
    assert load_pairs(write(tmp_path / "b.jsonl", STANDARD[:1]))[1].fingerprint != one.fingerprint


def test_rows_made_by_other_code_are_not_taken_from_the_cache(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", STANDARD)
    first = pairs_of(path)
    assert first.cache_files
    calls = []
    real = load._make_pairs
    monkeypatch.setattr(load, "_make_pairs", lambda *arguments: calls.append(1) or real(*arguments))
    assert pairs_of(path)[:] == first[:]
    assert len(calls) == 0  # taken from the cache
    monkeypatch.setattr(load, "LOAD_VERSION", "next")
    assert pairs_of(path)[:] == first[:]
    assert len(calls) == 3  # computed again, once per row


def test_splits_are_chosen_and_never_guessed(tmp_path):
    table = Dataset.from_list(STANDARD)
    both = DatasetDict({"train": table, "test": table.select([0])})
    both.save_to_disk(tmp_path / "both")
    for source in (both, tmp_path / "both"):
        assert len(pairs_of(source, split="test")) == 1
        assert "no split was named; the source has the splits ['train', 'test']" in error_of(source)
        assert "there is no split 'dev'" in error_of(source, split="dev")
    assert "one table" in error_of(table, split="train")
    path = write(tmp_path / "a.jsonl", STANDARD)
    assert "one file without splits" in error_of(path, split="test")
    assert len(pairs_of(path, split="train")) == 3
    local = error_of(HubDataset(str(path), name="default"))
    assert local.startswith(f"{str(path)!r} is not a valid dataset id on the Hub")


def test_limit_takes_the_first_rows_or_a_seeded_sample():
    table = Dataset.from_list([{"prompt": f"P{i}", "chosen": "a", "rejected": "b"} for i in range(50)])
    assert pairs_of(table, limit=3)["pair_id"][:] == ["0", "1", "2"]
    assert [row["pair_id"] for row in pairs_of(table, limit=3, streaming=True)] == ["0", "1", "2"]
    sample = pairs_of(table, limit=5, seed=4)
    # The sample is numpy's, and pair_id and prompt still say which row of the source each pair is.
    expected = sorted(np.random.default_rng(4).choice(50, size=5, replace=False).tolist())
    assert sample["pair_id"][:] == [str(row) for row in expected]
    assert sample["prompt"][:] == [f"P{row}" for row in expected]
    assert pairs_of(table, limit=5, seed=5)["pair_id"][:] != sample["pair_id"][:]
    assert len(pairs_of(table, limit=99, seed=1)) == len(pairs_of(table, seed=1)) == 50
    assert "limit must be at least 1, got 0" in error_of(table, limit=0)
    assert "a stream has no random sample" in error_of(table, limit=3, seed=1, streaming=True)


# Errors ----------------------------------------------------------------------------------------------------------------


def test_missing_columns_are_answered_with_what_each_format_needs():
    message = error_of(Dataset.from_list([{"text": "a", "label": 1}]))
    assert "the source has the columns ['text', 'label']" in message
    for name, needs in FORMAT_NEEDS.items():
        assert f"  {name}: {needs}" in message
    forced = error_of(Dataset.from_list([{"chosen": "a", "rejected": "b"}]), format="standard")
    assert "standard: prompt, chosen, rejected: text" in forced
    assert "dialogue:" not in forced
    assert "format must be 'auto' or one of" in error_of(Dataset.from_list(STANDARD), format="best")


def test_texts_without_prompt_are_refused_unless_the_format_is_forced():
    assert "format='dialogue'" in error_of(Dataset.from_list([{"chosen": "something", "rejected": "nothing"}]))
    table = Dataset.from_list([DIALOGUES[2] | {"rejected": "nothing"}, DIALOGUES[0]])
    assert pairs_of(table)[:] == pairs_of(table, format="dialogue")[:]  # decided by all rows, not by the first
    pairs, diagnosis = load_pairs(table, format="dialogue")
    assert pairs["problems"][:] == [["missing_prompt", "no_assistant_turn"], []]
    assert pairs["source_rejected"][:] == ["nothing", None]
    assert diagnosis.n_usable_pairs == 1


def test_a_wrong_type_is_named_with_its_row_and_column():
    table = Dataset.from_list(
        [{"prompt": "Hi", "chosen": "a", "rejected": None}] * 2 + [{"prompt": "Hi", "chosen": "a"}]
    )
    assert "no row has a value in all of ['chosen', 'rejected']" in error_of(table)
    numbers = Dataset.from_list([{"prompt": "Hi", "chosen": 1, "rejected": 2}])
    assert "column 'chosen' holds int ('1')" in error_of(numbers)


def test_one_unreadable_row_is_kept_and_named_and_only_unreadable_rows_are_refused():
    odd = {**SCORED[0], "scores": [1.0]}
    pairs, diagnosis = load_pairs(Dataset.from_list([SCORED[0], odd]))
    assert pairs["problems"][:][-1] == ["unreadable_row"]
    assert (pairs["pair_id"][-1], pairs["chosen"][-1]) == ("1", None)
    assert diagnosis.first_unreadable == "row 1: column 'scores' holds 1 scores for 3 responses"
    assert diagnosis.first_unreadable in str(diagnosis)
    assert diagnosis.n_usable_pairs == len(pairs) - 1
    assert "row 0: column 'scores' holds 1 scores for 3 responses" in error_of(Dataset.from_list([odd, odd]))
    assert "unreadable_row: 1, first in pair '1'" in error_of(Dataset.from_list([SCORED[0], odd]), strict=True)


def test_a_turn_of_a_tool_is_kept_and_named():
    turns = {"prompt": [user("Hi")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
    tools = turns | {"prompt": [user("Hi"), {"role": "tool", "content": "x"}]}
    table = Dataset.from_list([turns, turns, tools])
    assert pairs_of(table)["problems"][:] == [[], [], ["tool_turn"]]
    assert list(pairs_of(table, streaming=True)) == list(pairs_of(table))
    assert "strict: the data has problems\n  tool_turn: 1, first in pair '2'" in error_of(table, strict=True)


def test_strict_refuses_problems_with_counts_or_in_a_stream_at_the_pair():
    table = Dataset.from_list(STANDARD)
    message = error_of(table, strict=True)
    assert "missing_chosen: 1, first in pair '2' (the chosen response is null)" in message
    assert "identical_responses: 1, first in pair '1'" in message
    stream = pairs_of(table, strict=True, streaming=True)
    with pytest.raises(DataError, match=r"strict: pair '0' has empty_rejected"):
        list(stream)
    assert len(pairs_of(Dataset.from_list(DIALOGUES[:1]), strict=True)) == 1


def test_a_source_that_makes_no_pair_is_refused():
    message = error_of(Dataset.from_list([SCORED[1]] * 2))
    assert "none of the 2 rows makes a pair (2 pairs of responses are tied" in message
    assert "has no rows" in error_of(Dataset.from_list(STANDARD).select([]))
    assert "has no rows" in error_of(Dataset.from_dict({"chosen": [], "rejected": []}))


def test_folders_and_odd_sources_are_answered(tmp_path):
    (tmp_path / "folder").mkdir()
    assert "not made by save_to_disk; it has no data files" in error_of(tmp_path / "folder")
    write(tmp_path / "folder" / "a.jsonl", STANDARD)
    assert len(pairs_of(tmp_path / "folder")) == len(STANDARD)
    (tmp_path / "folder" / "state.json").write_text("{}")
    assert "not an intact save_to_disk folder" in error_of(tmp_path / "folder")
    assert "source must be a path, a Hub id or a datasets object, got list" in error_of(STANDARD)
    assert f"there is no file {tmp_path / 'no' / 'a.jsonl'}" in error_of(str(tmp_path / "no" / "a.jsonl"))


def test_diagnose_refuses_other_tables():
    with pytest.raises(DataError, match="Make it with load_pairs"):
        diagnose(Dataset.from_list(STANDARD))
    table = pairs_of(Dataset.from_list(STANDARD))
    strange = table.map(lambda row: {"problems": ["bad_luck"]})
    with pytest.raises(DataError, match="has the problem 'bad_luck'"):
        diagnose(strange)


# The Hub: its answers are stood in for, the reading is real -------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A dataset repository with two splits, served from a folder in place of the Hub."""
    folder = tmp_path / "repository"
    folder.mkdir()
    write(folder / "train.jsonl", STANDARD)
    write(folder / "test.jsonl", STANDARD[:1])
    monkeypatch.setattr(sources, "HfApi", lambda: SimpleNamespace(dataset_info=lambda *_, **__: None))
    monkeypatch.setattr(
        sources, "load_dataset_builder", lambda source, name, revision: load_dataset_builder(str(folder), name)
    )
    return folder


@pytest.mark.parametrize("streaming", [False, True])
def test_a_split_of_a_hub_dataset_is_read(hub, streaming):
    pairs, diagnosis = load_pairs("someone/pairs", split="train", streaming=streaming)
    assert list(pairs) == list(pairs_of(Dataset.from_list(STANDARD)))
    assert diagnosis.source == "someone/pairs"
    assert diagnosis.fingerprint.startswith("hub:")


def test_splits_and_configurations_of_the_hub_are_listed(hub):
    assert "no split was named; 'someone/pairs' has the splits ['train', 'test']" in error_of("someone/pairs")
    assert "dev" in error_of("someone/pairs", split="dev")
    assert "BuilderConfig 'other' not found" in error_of(HubDataset("someone/pairs", name="other"), split="test")
    (hub / "test.jsonl").write_text("{broken\n")
    assert "cannot be read" in error_of("someone/pairs", split="train")


def test_a_commit_that_is_asked_for_is_the_one_that_is_read(hub, monkeypatch):
    """Without the Hub, `datasets` takes whatever its cache holds, whatever the revision."""
    asked, commit = [], "a" * 40

    def built(source, name, revision):
        asked.append((source, revision))
        builder = load_dataset_builder(str(hub), name)
        builder.hash = commit
        return builder

    monkeypatch.setattr(sources, "load_dataset_builder", built)
    pairs, diagnosis = load_pairs(f"someone/pairs@{commit}", split="train")
    assert (asked, diagnosis.source) == ([("someone/pairs", commit)], "someone/pairs")
    assert len(pairs) == len(pairs_of(Dataset.from_list(STANDARD)))
    other = error_of(f"someone/pairs@{'b' * 40}", split="train")
    assert f"is needed at commit {'b' * 40}, and the cache" in other
    assert f"holds {commit}" in other
    assert len(load_pairs("someone/pairs@v1.0", split="train")[0]) == len(pairs)


def test_an_unreachable_hub_is_told_from_an_unknown_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = error_of("someone/pairs")  # the test run is offline
    assert f"there is no file or folder {tmp_path / 'someone/pairs'}" in message
    assert "cannot be reached" in message
    assert "HF_HUB_OFFLINE=1" in message

    def unknown(*_, **__):
        raise RepositoryNotFoundError("404: no such repository", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(sources, "HfApi", lambda: SimpleNamespace(dataset_info=unknown))
    assert "no dataset 'someone/pairs' (revision main) on the Hub" in error_of("someone/pairs")
    assert "no dataset 'bad id!'" not in error_of("./bad id!")


# Real pairs ------------------------------------------------------------------------------------------------------------


def test_real_pairs_are_read_whole(hh_rlhf):
    pairs, diagnosis = load_pairs(hh_rlhf)
    assert diagnosis.format == "dialogue"
    assert (diagnosis.n_rows, diagnosis.n_pairs, diagnosis.n_usable_pairs, diagnosis.n_prompts) == (
        1500,
        1500,
        1499,
        1498,
    )
    assert diagnosis.problems == {"prompts_differ": ProblemCount(1, "1254"), "empty_chosen": ProblemCount(4, "86")}
    with gzip.open(hh_rlhf, "rt", encoding="utf-8") as file:
        for row, line in zip(pairs, file, strict=True):
            raw = json.loads(line)
            rejected_prompt = row["prompt"] if row["rejected_prompt"] is None else row["rejected_prompt"]
            assert row["prompt"] + "\n\nAssistant:" + row["chosen"] == raw["chosen"]
            assert rejected_prompt + "\n\nAssistant:" + row["rejected"] == raw["rejected"]
    # In one row the human's last turn stands inside the assistant's line, "...called drag kings.  Human: Then how ...".
    assert [row["pair_id"] for row in pairs if row["conversation"][-1]["role"] != "user"] == ["1254"]


def test_a_stream_of_real_pairs_equals_the_table(hh_rlhf):
    assert list(pairs_of(hh_rlhf, streaming=True, limit=200)) == list(pairs_of(hh_rlhf, limit=200))


def test_several_processes_make_the_pairs_of_one(tmp_path, monkeypatch):
    rows = [
        {"prompt": f"Question {i % 7}", "chosen": "Yes." if i % 5 else None, "rejected": ["No."] * (i % 4), "note": i}
        for i in range(50)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    alone, diagnosis = load_pairs(path)
    monkeypatch.setattr(transform, "_ROWS_OF_PROCESS", 10)
    monkeypatch.setattr(transform, "_processors", lambda: 2)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "other cache")
    shared, same = load_pairs(path)
    assert len(list((tmp_path / "other cache").rglob("*_of_00002.arrow"))) == 2
    assert (shared.to_dict(), same) == (alone.to_dict(), diagnosis)


def test_a_stream_without_types_may_lack_a_column_in_its_first_rows():
    rows = [{"chosen": "a", "rejected": "b"}, {"prompt": "Q", "chosen": "a", "rejected": "b", "rest": 1}]
    pairs = list(load_pairs(IterableDataset.from_generator(lambda: iter(rows)))[0])
    assert [pair["problems"] for pair in pairs] == [["missing_prompt"], []]
    assert [pair["rest"] for pair in pairs] == [None, 1]


def test_columns_of_a_stream_have_the_types_of_their_values_whatever_their_names():
    row = {"prompt": "Q", "chosen": "a", "rejected": "b", "x": {}, "source_x": 1, "source_y": {}}
    pairs, _ = load_pairs(IterableDataset.from_generator(lambda: iter([row])))
    kinds = {name: pairs.features[name].dtype for name in ("x", "source_x", "source_y")}
    assert kinds == {"x": "string", "source_x": "int64", "source_y": "string"}


def test_a_table_with_a_null_id_is_refused():
    pairs, _ = load_pairs(Dataset.from_list([{"prompt": "Q", "chosen": "a", "rejected": "b"}]))
    with pytest.raises(DataError, match="pair_id is null in row 1"):
        load_pairs(Dataset.from_list([pairs[0], pairs[0] | {"pair_id": None}], features=pairs.features))
