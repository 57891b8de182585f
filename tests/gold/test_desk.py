"""Answers are on disk before the next question, and gold.csv is what the answers say."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest
from datasets import Dataset

from seal_datasets import add_gold, load_pairs, load_taxonomy
from seal_datasets.errors import DataError
from seal_datasets.gold.desk import Desk
from seal_datasets.gold.items import items_of
from seal_datasets.gold.journal import Answer, Journal
from seal_datasets.gold.table import as_cell
from seal_datasets.labels.taxonomy import Feature, Taxonomy

TAXONOMY = load_taxonomy().select(["last_response_is_helpful", "last_response_sentiment", "topics"])


def pairs_of(n=8):
    rows = [{"pair_id": f"p{i}", "prompt": f"Q {i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(n)]
    return load_pairs(Dataset.from_list(rows))[0]


def desk_of(folder, pairs, n=5, **how):
    prompts = list(dict.fromkeys(pairs["prompt_id"]))[:n]
    return Desk(items_of(pairs, prompts, 0), TAXONOMY, folder, dict.fromkeys(prompts, 0.5), **how)


LABELS = {"last_response_is_helpful": True, "last_response_sentiment": -1, "topics": ["history and events"]}


def test_all_questions_are_asked_once_and_the_table_is_one_of_gold_labels(tmp_path):
    pairs = pairs_of()
    desk = desk_of(tmp_path, pairs)
    asked = []
    while (found := desk.next()) is not None:
        item, feature = found
        asked.append((item.pair_id, item.side, feature.name))
        desk.answer(item, feature, LABELS[feature.name])
    assert len(asked) == len(set(asked)) == 5 * 2 * 3 == desk.progress()[0] == desk.progress()[1]
    assert {side for _, side, _ in asked[::3]} == {"chosen", "rejected"}
    gold = add_gold(pairs, tmp_path / "gold.csv", TAXONOMY)
    assert gold["gold_last_response_is_helpful_chosen"][:] == [True] * 5 + [None] * 3
    assert gold["gold_last_response_sentiment_rejected"][:] == [-1] * 5 + [None] * 3
    assert gold["gold_topics_rejected"][:] == [["history and events"]] * 5 + [None] * 3
    assert gold["gold_probability"][:] == [0.5] * 5 + [None] * 3


def test_an_answer_is_taken_back_and_a_skipped_one_is_blank_with_its_reason(tmp_path):
    desk = desk_of(tmp_path, pairs_of())
    for _ in range(3):
        item, feature = desk.next()
        desk.answer(
            item,
            feature,
            None if feature.name == "topics" else LABELS[feature.name],
            "cannot judge" * (feature.name == "topics"),
        )
    row = pd.read_csv(tmp_path / "gold.csv").iloc[0]
    assert row[f"skipped_{item.side}"] == "topics: cannot judge"
    assert pd.isna(row[f"gold_topics_{item.side}"])
    desk.undo()
    assert (desk.next()[0], desk.next()[1].name) == (item, "topics")
    desk.undo()
    desk.undo()
    desk.undo()  # nothing is left to take back
    assert desk.progress()[0] == 0


def test_a_killed_annotator_loses_nothing(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {os.getcwd()!r})
from tests.gold.test_desk import *
desk = desk_of({str(tmp_path)!r} and __import__("pathlib").Path({str(tmp_path)!r}), pairs_of())
while (found := desk.next()) is not None:
    desk.answer(*found, LABELS[found[1].name])
    print(desk.progress()[0], flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= 10:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    desk = desk_of(tmp_path, pairs_of())
    done = desk.progress()[0]
    assert done >= 10
    answered = {answer.question for answer in desk.journal.answers()}
    assert len(answered) == done
    item, feature = desk.next()
    assert (item.pair_id, item.side, feature.name) not in answered
    while (found := desk.next()) is not None:
        desk.answer(*found, LABELS[found[1].name])
    assert desk.progress() == (30, 30)


def test_two_annotators_share_an_overlap_and_their_disagreements_are_listed(tmp_path):
    pairs = pairs_of(40)
    one, two = (desk_of(tmp_path, pairs, 40, annotator=name, overlap=0.3) for name in ("ann", "bob"))
    while (found := one.next()) is not None:
        one.answer(*found, LABELS[found[1].name])
    n_shared = 0
    while (found := two.next()) is not None:
        item, feature = found
        helpful = feature.name == "last_response_is_helpful"
        two.answer(item, feature, n_shared % 2 == 0 if helpful else LABELS[feature.name])
        n_shared += helpful
    assert 8 < n_shared < 40
    agreement = two.agreement()
    assert agreement["last_response_is_helpful"].n == n_shared
    assert agreement["last_response_is_helpful"].agreement == pytest.approx(0.5, abs=0.03)
    assert agreement["last_response_sentiment"].agreement == 1.0
    listed = pd.read_csv(tmp_path / "disagreements.csv")
    assert len(listed) == n_shared // 2
    assert set(listed["annotator"]) == {"ann"}
    gold = add_gold(pairs, tmp_path / "gold.csv", TAXONOMY)
    assert set(gold["gold_last_response_is_helpful_chosen"]) == {True}  # the first answer counts
    while two.progress()[0]:
        two.undo()
    assert not (tmp_path / "disagreements.csv").exists()  # nobody disagrees any more


@pytest.mark.parametrize("words", [("1", "2"), ("true", "false"), ("1.5", "2.5"), ("no", "yes"), ("none", "NA")])
def test_an_answer_of_a_scale_comes_back_from_the_table_whatever_its_word_reads_as(tmp_path, words):
    scale = Feature("scale", "spoiler", "response", "ordinal", "How?", None, ((words[0], 0), (words[1], 1)))
    taxonomy, pairs = Taxonomy("mine", "1", (scale,)), pairs_of(2)
    desk = Desk(items_of(pairs, pairs["prompt_id"][:], 0), taxonomy, tmp_path, dict.fromkeys(pairs["prompt_id"], 0.5))
    while (found := desk.next()) is not None:
        desk.answer(*found, int(found[0].pair_id == "p1"))
    assert add_gold(pairs, tmp_path / "gold.csv", taxonomy)["gold_scale_chosen"][:] == [0, 1]
    with pytest.raises(DataError, match="has the code 7, and the taxonomy has"):
        as_cell(7, scale)


def test_a_journal_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_text(json.dumps({}))
    with pytest.raises(DataError, match="cannot keep answers"):
        Journal(path)
    assert path.read_text() == "{}"
    journal = Journal(tmp_path / "mine.sqlite")
    assert journal.undo("a") is None
    journal.add(Answer("a", "p", "chosen", "f", True))
    assert journal.answers() == [Answer("a", "p", "chosen", "f", True)]
    assert journal.pace() != journal.pace()  # nan: too few answers
    journal.close()
    with sqlite3.connect(tmp_path / "mine.sqlite") as file:
        file.execute("CREATE TRIGGER full BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(DataError, match=r"cannot change the answers.*disk full"):
        Journal(tmp_path / "mine.sqlite").undo("a")
