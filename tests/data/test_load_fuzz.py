"""Random tables in the columns of every form, with cells of any kind: each loads, alike as table and stream, or is refused."""

import json
import random

import datasets
import pytest

from seal_datasets.data.formats import SPELLINGS
from seal_datasets.data.load import load_pairs
from seal_datasets.errors import SealError

TEXTS = (
    "Hi",
    "",
    "\n\nHuman: a\n\nAssistant: b",
    "Human: a\nAssistant: b",
    '["x"]',
    "<think>x",
    "\ud83d",
    "3",
    "tie",
    "model_a",
)
OTHERS = (None, 0, 1, -1, 2**70, 1.5, float("nan"), True, {}, [])


def cell(rng, depth=0):
    kind = rng.randrange(8)
    text = rng.choice(TEXTS)
    if kind < 2:
        return text
    if kind == 2:
        return rng.choice(OTHERS)
    if kind == 3 and depth < 3:
        return [cell(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 4 and depth < 3:
        return {"role": rng.choice(["user", "assistant", "tool", None, 3]), "content": cell(rng, depth + 1)}
    if kind == 5:
        return [{"from": role, "value": rng.choice(TEXTS)} for role in ("human", "gpt")]
    if kind == 6:
        return {"role": ["user", "assistant"], "content": [text, rng.choice(TEXTS)]}
    return {
        "text": text,
        "messages": [{"role": "user", "content": text}],
        "rank": rng.choice([1, "2", None]),
        "answer": text,
    }


def tables(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        extra = rng.sample(
            ["system", "history", "input", "context", "meta", "messages", "prompt", "chosen", "winner"], 3
        )
        columns = dict.fromkeys([*rng.choice(SPELLINGS).columns, *extra])
        usual = {name: rng.choice(["Hi", "B", "a text"]) if rng.random() < 0.7 else cell(rng) for name in columns}
        yield [
            {name: cell(rng) if rng.random() < 0.2 else usual[name] for name in columns}
            for _ in range(rng.randrange(1, 5))
        ]


def check(rows, folder):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    try:
        pairs, _ = load_pairs(path)
    except SealError as refusal:
        return str(refusal)
    assert repr(list(map(sorted, (row.items() for row in load_pairs(path, streaming=True)[0])))) == repr(
        list(map(sorted, (row.items() for row in pairs)))
    )
    pairs.to_parquet(folder / "pairs.parquet")
    assert repr(load_pairs(folder / "pairs.parquet")[0][:]) == repr(pairs[:])
    return None


def test_no_table_ends_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    refusals = [check(rows, tmp_path) for rows in tables(1, 40)]
    assert 0 < sum(refusal is None for refusal in refusals) < len(refusals)


@pytest.mark.endurance
def test_no_table_of_many_ends_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert any(check(rows, tmp_path) is None for rows in tables(2, 1000))
