"""Damaged and odd Parquet files are refused by column and row, whatever reads them."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seal_datasets.cli import main
from seal_datasets.data.load import load_pairs
from seal_datasets.data.parquet_files import check_parquet
from seal_datasets.errors import DataError
from tests.report.test_write import folder  # noqa: F401 - a fixture: a finished audit

TEXTS = {"prompt": ["p", "q"], "chosen": ["a", "b"], "rejected": ["c", "d"]}


def table_with(name, values):
    return pa.table({**{each: pa.array(texts) for each, texts in TEXTS.items()}, name: values})


BAD_TEXT = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ab\xff\xfe")]
)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("chosen", BAD_TEXT, "column 'chosen', in rows 0 to 1, holds bytes that are not string"),
        ("meta", BAD_TEXT, "column 'meta', in rows 0 to 1"),
        ("a\0b", pa.array([1, 2]), r"the column name 'a\\x00b' holds a NUL character"),
    ],
)
def test_text_and_names_that_cannot_be_written_again_are_named(tmp_path, name, values, message):
    path = tmp_path / "pairs.parquet"
    pq.write_table(table_with(name, values), path)
    for streaming in (False, True):
        with pytest.raises(DataError, match=message):
            load_pairs(path, streaming=streaming)


@pytest.mark.parametrize("kept", [0, 4, 200, -8, -1])
def test_a_cut_file_is_named(tmp_path, kept):
    path = tmp_path / "pairs.parquet"
    pq.write_table(table_with("n", pa.array([1, 2])), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"pairs\.parquet is not an intact Parquet file .*copy or download it again"):
        check_parquet(path)


VERBS = (
    ["report", "FOLDER"],
    ["report", "FOLDER", "--check"],
    ["subset", "FOLDER", "--drop", "resistant", "--out", "s.parquet"],
    ["compare", "FOLDER", "OTHER"],
    ["publish", "dataset", "FOLDER", "--repo", "me/a", "--ids-only", "--dry-run"],
    ["publish", "report", "FOLDER", "--repo", "me/a", "--dry-run"],
)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path, table: path.write_bytes(path.read_bytes()[:-500]), "not an intact Parquet file"),
        (lambda path, table: path.write_text("<html>log in</html>"), "not an intact Parquet file"),
        (
            lambda path, table: pq.write_table(replaced(table, "reward_post_chosen", ["x"] * len(table)), path),
            "column 'reward_post_chosen' holds string; needed is numbers",
        ),
        (
            lambda path, table: pq.write_table(replaced(table, "problems", [1] * len(table)), path),
            "column 'problems' holds int64; needed is a list of texts",
        ),
    ],
    ids=["cut", "login page", "rewards", "problems"],
)
def test_each_verb_refuses_a_damaged_table_of_an_audit(folder, tmp_path, capsys, monkeypatch, damage, said):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy / "pairs.parquet", pq.read_table(copy / "pairs.parquet"))
    for verb in VERBS:
        words = [{"FOLDER": str(copy), "OTHER": str(folder)}.get(word, word) for word in verb]
        assert main(words) == 2, words
        assert said in capsys.readouterr().err, words
    assert json.loads((copy / "report.json").read_text())


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))
