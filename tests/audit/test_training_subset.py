"""Subsets for training: each reason against a hand count, and the result as TRL reads it."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from datasets import Dataset
from trl.data_utils import is_conversational, maybe_apply_chat_template, maybe_extract_prompt, unpair_preference_dataset

from seal_datasets.audit.training_subset import training_subset
from seal_datasets.cli import main
from seal_datasets.data.load import load_pairs
from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import load_taxonomy
from tests.report.test_write import RUN
from tests.turns import assistant, user

HARMLESS, HELPFUL = "last_response_is_harmless", "last_response_is_helpful"

# prompt, chosen, rejected; rewards; labels (harmless, helpful) of chosen and rejected, None where missing.
ROWS = [
    ("P", "a", "b", (2.0, 1.0), (1, 1), (0, 1)),  # nothing against it, but the next pair says the opposite
    ("P", "b", "a", (1.0, 2.0), (0, 1), (1, 1)),  # resistant, inconsistent, mislabelled
    ("Q", "c", "d", (1.0, 1.0), (1, 0), (0, 1)),  # a tie is resistant; which label counts is a matter of priority
    ("Q", "e", "f", (None, 1.0), (1, 1), (1, None)),  # neither reward nor label says anything
    ("R", "a", "b", (3.0, 0.0), (1, 1), (1, 1)),
    ("S", None, "b", (None, 0.0), (1, 1), (1, 1)),  # not usable
]


def make_audit(folder, *, rows=ROWS, tie_band=0.0, **columns):
    taxonomy = load_taxonomy().select([HARMLESS, HELPFUL])
    keys = ("prompt", "chosen", "rejected")
    pairs, _ = load_pairs(Dataset.from_dict({key: [row[i] for row in rows] for i, key in enumerate(keys)}))
    for i, side in enumerate(("chosen", "rejected")):
        rewards = np.array([row[3][i] for row in rows], dtype=float)
        pairs = pairs.add_column(f"reward_post_{side}", rewards)
        for j, name in enumerate((HARMLESS, HELPFUL)):
            labels = [None if row[4 + i][j] is None else bool(row[4 + i][j]) for row in rows]
            pairs = pairs.add_column(f"feature_{name}_{side}", labels)
    for name, values in columns.items():
        pairs = pairs.add_column(name, values)
    folder.mkdir(exist_ok=True)
    pairs.to_parquet(folder / "pairs.parquet")
    (folder / "run.json").write_text(
        json.dumps(RUN | {"tie_band": tie_band, "features": [asdict(each) for each in taxonomy.features]})
    )
    return folder


@pytest.fixture
def audit(tmp_path):
    return make_audit(tmp_path / "audit")


def test_reasons_are_told_by_hand(audit):
    subset = training_subset(audit, flag=["resistant", "inconsistent", "mislabelled"])
    assert subset.table["pair_id"][:] == ["0", "1", "2", "3", "4"]
    assert subset.table["resistant"][:] == [False, True, True, None, False]
    assert subset.table["inconsistent"][:] == [True, True, False, False, False]
    assert subset.table["mislabelled"][:] == [False, True, False, None, False]
    assert subset.unusable == {"missing_chosen": 1}
    assert subset.lines()[:2] == ["6 pairs, 5 of them usable", "  unusable: 1 missing_chosen"]
    assert subset.lines()[2].startswith("  resistant: 2 of 4 judged (50.0%), 1 not judged; flagged (the model does")
    assert subset.lines()[3].startswith("    not known whether trained on; if so, rewards are partly memory")
    assert subset.lines()[-1] == "5 pairs written, 0 of 5 dropped"


def test_resistance_on_pairs_trained_on_is_told_apart_from_that_on_held_out_ones(tmp_path):
    audit = make_audit(tmp_path / "parts", partition=["heldout", "train", None, "heldout", "train", "train"])
    found = training_subset(audit, flag=["resistant"]).resistant_by_part
    # Pairs 1 and 2 are resistant, 3 cannot be judged, 5 is unusable.
    counts = {part: (each.count, each.n_judged) for part, each in found.items()}
    assert counts == {"heldout": (0, 1), "train": (1, 2), "unknown": (1, 1)}
    lines = training_subset(audit, drop=["resistant"]).lines()
    assert "    held out from training: 0 of 1 judged" in lines
    assert "    trained on, whose rewards are partly memory: fewer look resistant than are: 1 of 2 judged" in lines


def test_dropped_pairs_are_gone_and_counted_once(audit):
    subset = training_subset(audit, drop=["resistant", "mislabelled"], flag=["inconsistent"])
    assert subset.table["pair_id"][:] == ["0", "3", "4"]  # what cannot be judged stays
    assert subset.table.column_names == ["pair_id", "prompt", "chosen", "rejected", "inconsistent"]
    assert (subset.n_dropped, subset.counts["mislabelled"].count) == (2, 1)
    assert "2 of 5 dropped" in subset.lines()[-1]


def test_marked_pairs_are_kept_and_strangers_are_named(audit, tmp_path):
    ids = [str(each) for each in training_subset(audit, flag=["resistant"]).table["pair_id"]]
    marked = tmp_path / "marked_pairs.jsonl"
    marked.write_text("".join(f'{{"pair_id": "{pair_id}"}}\n' for pair_id in ids[1:3]))
    found = training_subset(audit, pairs=marked)
    assert list(map(str, found.table["pair_id"])) == ids[1:3]
    marked.write_text('{"pair_id": "5"}\n')
    with pytest.raises(DataError, match="none of the 1 pairs can be trained on"):
        training_subset(audit, flag=["resistant"], pairs=marked)
    marked.write_text('{"pair_id": "nowhere"}\n')
    with pytest.raises(DataError, match=r"1 of the 1 pair ids of .* are not in the audit; the first is 'nowhere'"):
        training_subset(audit, pairs=marked)
    marked.write_text('{"id": "1"}\n')
    with pytest.raises(DataError, match="has no column 'pair_id'"):
        training_subset(audit, pairs=marked)


def test_the_tie_band_of_the_audit_is_kept_to(tmp_path):
    audit = make_audit(tmp_path / "wide", tie_band=1.0)  # 2 against 1 is now a tie
    assert training_subset(audit, flag=["resistant"]).table["resistant"][:] == [True, True, True, None, False]
    assert training_subset(audit, flag=["resistant"], tie_band=0.0).table["resistant"][0] is False


def test_human_labels_count_instead_of_the_labelers(tmp_path):
    gold = {
        f"gold_{HARMLESS}_chosen": [False, True, None, True, True, True],
        f"gold_{HARMLESS}_rejected": [True, True, None, True, True, True],
        f"gold_{HELPFUL}_chosen": [True, True, None, False, True, True],
        f"gold_{HELPFUL}_rejected": [True, True, None, True, True, True],
    }
    subset = training_subset(make_audit(tmp_path / "gold", **gold), flag=["mislabelled"])
    assert subset.table["mislabelled"][:] == [True, False, False, True, False]


def test_trl_reads_both_forms(audit):
    conversational = training_subset(audit, drop=["inconsistent"]).table
    assert is_conversational(conversational[0])
    assert maybe_extract_prompt(conversational[0]) == conversational[0]
    assert conversational[0]["prompt"] == [{"role": "user", "content": "Q"}]
    assert conversational[0]["chosen"] == [{"role": "assistant", "content": "c"}]
    unpaired = unpair_preference_dataset(conversational.remove_columns("pair_id"))
    assert unpaired["label"][:] == [True] * 3 + [False] * 3
    standard = training_subset(audit, drop=["inconsistent"], form="standard").table
    assert not is_conversational(standard[0])
    assert standard[0] == {"pair_id": "2", "prompt": "Q", "chosen": "c", "rejected": "d"}


def test_trl_renders_the_turns_with_a_chat_template(audit, minilm):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    table = training_subset(audit, drop=["inconsistent"]).table
    rendered = maybe_apply_chat_template(table[0], tokenizer)
    assert (rendered["prompt"], rendered["chosen"]) == ("<user>Q", "<assistant>c")


def test_dialogues_come_back_as_they_were(tmp_path):
    text = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant:"
    rows = {"chosen": [text + " So."], "rejected": [text + " No."]}
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    for side, reward in (("chosen", 1.0), ("rejected", 0.0)):
        pairs = pairs.add_column(f"reward_post_{side}", [reward])
    pairs.to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "run.json").write_text(json.dumps(RUN | {"features": []}))
    standard = training_subset(tmp_path, flag=["resistant"], form="standard", tie_band=0.0).table[0]
    assert standard["prompt"] + standard["chosen"] == rows["chosen"][0]
    turns = training_subset(tmp_path, flag=["resistant"], tie_band=0.0).table[0]
    assert [each["role"] for each in turns["prompt"]] == ["user", "assistant", "user"]
    assert turns["chosen"] == [{"role": "assistant", "content": "So."}]
    with pytest.raises(DataError, match="no labels of target features"):
        training_subset(tmp_path, drop=["mislabelled"], tie_band=0.0)


DIALOGUE = "\n\nHuman: Hi\n\nAssistant:"
PARTS = {"system": ["S"], "prompt": ["Hi"], "chosen": [" a"], "rejected": ["b"]}


@pytest.mark.parametrize(
    ("rows", "standard", "content"),
    [
        ({"prompt": ["Hi"], "chosen": [" a"], "rejected": ["b"]}, ("Hi", " a"), " a"),
        ({"prompt": [DIALOGUE], "chosen": [" a"], "rejected": ["b"]}, (DIALOGUE, " a"), "a"),
        ({"chosen": [DIALOGUE + " a"], "rejected": [DIALOGUE + " b"]}, (DIALOGUE, " a"), "a"),
        (
            {"prompt": [[user("Hi")]], "chosen": [[assistant(" a")]], "rejected": [[assistant("b")]]},
            (DIALOGUE, "  a"),
            " a",
        ),
        ({"chosen": [[user("Hi"), assistant("a")]], "rejected": [[user("Hi"), assistant("b")]]}, (DIALOGUE, " a"), "a"),
        (PARTS, ("S" + DIALOGUE, "  a"), " a"),
    ],
)
def test_what_goes_out_is_what_came_in(tmp_path, rows, standard, content):
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    for side, reward in (("chosen", 1.0), ("rejected", 0.0)):
        pairs = pairs.add_column(f"reward_post_{side}", [reward])
    pairs.to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "run.json").write_text(json.dumps(RUN | {"features": []}))
    row = training_subset(tmp_path, flag=["resistant"], form="standard", tie_band=0.0).table[0]
    assert (row["prompt"], row["chosen"]) == standard
    row = training_subset(tmp_path, flag=["resistant"], tie_band=0.0).table[0]
    assert row["chosen"] == [assistant(content)]
    assert row["prompt"][-1] == user("Hi")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no reason is given; give any of .* to drop or to flag"),
        ({"drop": ["ugly"]}, "there is no reason 'ugly'"),
        ({"drop": ["resistant"], "form": "xml"}, "form must be one of"),
        ({"drop": ["resistant"], "tie_band": 9.0}, None),
    ],
)
def test_mistakes_are_answered(audit, settings, message):
    if message is None:  # every pair that can be judged is a tie; the one that cannot stays
        assert training_subset(audit, **settings).table["pair_id"][:] == ["3"]
        return
    with pytest.raises(DataError, match=message):
        training_subset(audit, **settings)


def test_the_command_writes_the_table_and_prints_counts(audit, tmp_path, capsys):
    out = tmp_path / "clean.parquet"
    assert main(["subset", str(audit), "--drop", "resistant,mislabelled", "--out", str(out)]) == 0
    streams = capsys.readouterr()
    assert streams.out == f"{out}\n"
    assert "mislabelled: 1 of 4 judged (25.0%), 1 not judged; dropped" in streams.err
    assert len(Dataset.from_parquet(str(out))) == 3
    assert main(["subset", str(tmp_path), "--drop", "resistant", "--out", str(out)]) == 2
    assert "give the folder of a finished `seal audit`" in capsys.readouterr().err
