"""Datasets of JSON and CSV files on a double of the Hub are read value by value, as local files are."""

import json

REPO = "someone/pairs"
READ = f"""
import json
from seal_datasets import load_pairs
for streaming in (False, True):
    pairs, diagnosis = load_pairs("{REPO}", split="train", streaming=streaming)
    print(json.dumps([[row["chosen"] for row in pairs], pairs[0]["meta"] if not streaming else None, diagnosis.fingerprint]))
"""


def test_values_are_not_guessed_and_mixed_columns_do_not_refuse(hub, hub_client):
    rows = [{"prompt": "Q", "chosen": "2020-01-01", "rejected": "b", "meta": value} for value in ({"a": 1}, "N/A")]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    hub.put("dataset", REPO, {"data/train-0.jsonl": lines, "data/train-1.jsonl": lines, "data/test.jsonl": lines})
    read = hub_client(READ, token=None)
    table, stream = [json.loads(line) for line in read.stdout.splitlines() if line.startswith("[[")]
    assert table[0] == stream[0] == ["2020-01-01"] * 4, read.stderr
    assert table[1] == '{"a": 1}'
    assert table[2].startswith("hub:")
    assert table[2] == stream[2]


def test_a_broken_file_is_named(hub, hub_client):
    hub.put("dataset", REPO, {"train.csv": "prompt,chosen,rejected\nQ,a\n"})
    assert "train.csv is not a valid CSV file" in hub_client(READ, token=None).stderr
