"""Parts of a stream follow one another, with the ids of the whole; what cannot be dealt is refused before it is read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from seal_datasets import load_pairs
from seal_datasets.data.deal import NotDealtError
from seal_datasets.errors import DataError


def write(folder, sizes, group, *, more=None):
    """Files of preference rows, the first one with `sizes[0]` rows, in row groups of `group`."""
    folder.mkdir()
    number = 0
    for index, size in enumerate(sizes):
        rows = [
            {"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}", "n": n}
            | (more(n) if more else {})
            for n in range(number, number + size)
        ]
        number += size
        names = list(rows[0]) if rows else ["prompt", "chosen", "rejected", "n"]
        kinds = {"n": pa.int64()}
        table = pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in names})
        pq.write_table(table, folder / f"data-{index}.parquet", row_group_size=group)
    return folder


@pytest.mark.parametrize(("sizes", "group"), [([23], 4), ([10, 13], 5), ([3, 1, 40], 7), ([2000], 300)])
@pytest.mark.parametrize("n_parts", [1, 2, 3])
def test_parts_make_up_the_whole(tmp_path, sizes, group, n_parts):
    data = str(write(tmp_path / "data", sizes, group))
    whole = list(load_pairs(data, streaming=True)[0])
    parts = [list(load_pairs(data, streaming=(index, n_parts))[0]) for index in range(n_parts)]
    assert all(parts)
    assert [row for part in parts for row in part] == whole
    assert [row["pair_id"] for row in whole] == [str(n) for n in range(sum(sizes))]


def test_rows_that_make_several_pairs_and_ids_of_their_own_are_dealt_too(tmp_path):
    lists = [{"prompt": f"Question {n}?", "chosen": [f"a{n}", f"b{n}"], "rejected": [f"c{n}"]} for n in range(12)]
    pq.write_table(Dataset.from_list(lists).data.table, tmp_path / "lists.parquet", row_group_size=5)
    named = write(tmp_path / "named", [12], 5, more=lambda n: {"pair_id": f"id-{n}"})
    for data in (tmp_path / "lists.parquet", named):
        whole = list(load_pairs(str(data), streaming=True)[0])
        parts = [row for index in range(2) for row in load_pairs(str(data), streaming=(index, 2))[0]]
        assert parts == whole


def test_files_without_rows_and_nested_folders_and_relative_paths_are_dealt_too(tmp_path, monkeypatch):
    data = write(tmp_path / "data", [9], 2)
    (data / "more").mkdir()
    pq.write_table(pq.read_table(data / "data-0.parquet").slice(0, 0), data / "data-1.parquet")
    pq.write_table(pq.read_table(data / "data-0.parquet"), data / "more" / "data-2.parquet", row_group_size=4)
    monkeypatch.chdir(tmp_path)
    whole = list(load_pairs("./data", streaming=True)[0])
    assert len(whole) == 18
    assert [row for index in range(2) for row in load_pairs("data", streaming=(index, 2))[0]] == whole


def test_canonical_pairs_are_dealt_with_the_ids_that_they_have(tmp_path):
    pairs, _ = load_pairs(str(write(tmp_path / "data", [9], 9)))
    pairs.to_parquet(tmp_path / "pairs.parquet")
    table = pq.read_table(tmp_path / "pairs.parquet")
    pq.write_table(table, tmp_path / "pairs.parquet", row_group_size=4)
    parts = [
        row["pair_id"]
        for index in range(3)
        for row in load_pairs(str(tmp_path / "pairs.parquet"), streaming=(index, 3))[0]
    ]
    assert parts == [str(n) for n in range(9)]


def test_what_cannot_be_dealt_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}))
    few = str(write(tmp_path / "few", [5], 5))
    for data, more in [(str(tmp_path / "a.jsonl"), {}), (few, {}), (few, {"limit": 2})]:
        with pytest.raises(NotDealtError):
            load_pairs(data, streaming=(1, 2), **more)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_a_run_that_there_is_not_is_refused(tmp_path, part):
    with pytest.raises(DataError, match="there is no run"):
        load_pairs(str(write(tmp_path / "three", [9], 3)), streaming=part)
