import gzip
import hashlib
import json
import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_datasets.data.files import file_kind, load_file
from seal_datasets.errors import DataError

TEXT = frozenset({"chosen", "rejected", "prompt"})


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(tmp_path, name, content):
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def rows_of(path, *, streaming=False):
    return list(load_file(path, text_columns=TEXT, streaming=streaming)[0])


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", "json"),
        ("a.b.JSON.gz", "json"),
        ("a.csv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.parquet.gz", None),
        ("a.gz", None),
        ("a.pkl", None),
        ("a", None),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_name(name, kind):
    assert file_kind(Path(name)) == kind


ROWS = [{"chosen": "yes", "rejected": "no\n", "n": 1}, {"chosen": None, "rejected": "None", "n": None}]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz"])
def test_lines_and_arrays_of_json_give_the_same_rows(tmp_path, name, streaming):
    for content in (lines(*ROWS), json.dumps(ROWS), json.dumps(ROWS, indent=2), "\ufeff" + lines(*ROWS) + "\n\n"):
        assert rows_of(written(tmp_path, name, content), streaming=streaming) == ROWS


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_any_text_survives_json_and_csv(tmp_path, values):
    json_rows = rows_of(written(tmp_path, "a.jsonl", lines(*[{"chosen": value} for value in values])))
    assert [row["chosen"] for row in json_rows] == values


@pytest.mark.parametrize("value", ["2020-01-01", "2020-01-01T00:00:00Z", "None", "null", "NA", "7", "1e5", "true"])
def test_text_that_looks_like_something_else_stays_text(tmp_path, value):
    assert rows_of(written(tmp_path, "a.jsonl", lines({"chosen": value}))) == [{"chosen": value}]
    assert rows_of(written(tmp_path, "a.csv", f"chosen\n{value}\n")) == [{"chosen": value}]


def test_csv_keeps_line_breaks_commas_and_empty_texts_and_reads_numbers(tmp_path):
    content = 'chosen,rejected,winner\n"a, ""b""\nc",,1\nd,e,\n'
    expected = [
        {"chosen": 'a, "b"\nc', "rejected": "", "winner": 1},  # an empty cell of text is "", not null
        {"chosen": "d", "rejected": "e", "winner": None},  # an empty cell of numbers is null
    ]
    for name in ("a.csv", "a.csv.gz"):
        assert rows_of(written(tmp_path, name, content)) == expected
        assert rows_of(written(tmp_path, name, content), streaming=True) == expected


def test_types_are_found_over_all_rows(tmp_path):
    # 1,200 rows are two batches of the reader: the gold column is null in the first and has numbers in the second.
    rows = [{"chosen": "x", "turns": []}] * 1100
    rows += [{"chosen": "x", "turns": [{"role": "user", "content": "é"}], "gold": 0.5}] * 100
    found, _ = load_file(written(tmp_path, "a.jsonl", lines(*rows)), text_columns=TEXT, streaming=False)
    assert found["gold"][:] == [None] * 1100 + [0.5] * 100
    assert found[1199]["turns"] == [{"role": "user", "content": "é"}]
    assert found[0]["turns"] == []


def test_the_hash_is_that_of_the_files_bytes(tmp_path):
    path = written(tmp_path, "a.csv", "chosen\n")
    path.write_bytes(b"abc\nx\n")
    assert load_file(path, text_columns=TEXT, streaming=True)[1] == hashlib.sha256(b"abc\nx\n").hexdigest()


def test_a_file_that_changes_under_the_same_name_and_time_is_read_again(tmp_path):
    path = written(tmp_path, "a.jsonl", lines({"chosen": "one"}))
    os.utime(path, (1, 1))
    assert rows_of(path) == [{"chosen": "one"}]
    path.write_text(lines({"chosen": "two"}))
    os.utime(path, (1, 1))
    assert rows_of(path) == [{"chosen": "two"}]


def error_of(path):
    with pytest.raises(DataError) as caught:
        load_file(path, text_columns=TEXT, streaming=False)
    return str(caught.value)


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"there is no file {tmp_path / 'no.jsonl'}" in error_of(Path("no.jsonl"))


@pytest.mark.parametrize("name", ["a.pkl", "a.txt", "a.parquet.gz"])
def test_other_kinds_of_files_are_not_opened(tmp_path, name):
    assert "give .jsonl, .json, .csv (each also as .gz) or .parquet" in error_of(written(tmp_path, name, "x"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_called_empty(tmp_path, name, content):
    assert "is empty" in error_of(written(tmp_path, name, content))


def test_a_header_or_a_schema_alone_is_no_data(tmp_path):
    assert "is empty" in error_of(written(tmp_path, "a.csv", "chosen,rejected\n"))
    assert "is empty" in error_of(written(tmp_path, "a.json", "[]"))
    pa.parquet.write_table(pa.table({"chosen": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert "no rows" in error_of(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_a_cut_off_gzip_file_is_called_cut_off(tmp_path, name):
    path = written(tmp_path, name, lines(*[{"chosen": f"text {i}"} for i in range(5000)]))
    path.write_bytes(path.read_bytes()[:-20])
    assert "is truncated" in error_of(path)


def test_a_file_that_is_no_gzip_is_called_so(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"chosen")
    assert "not an intact gzip file" in error_of(path)
    intact = gzip.compress(b"x" * 1000 + b"y" * 1000)
    path.write_bytes(intact[:12] + b"\xff\xff\xff" + intact[15:])
    assert "not an intact gzip file" in error_of(path)


def test_broken_json_is_placed_by_its_line(tmp_path):
    good = lines({"chosen": "yes"})
    assert "a.jsonl, line 3: not valid JSON" in error_of(written(tmp_path, "a.jsonl", good * 2 + "{'chosen': 1}\n"))
    cut = error_of(written(tmp_path, "a.jsonl", good + '{"chosen": "ye'))
    assert "line 2" in cut
    assert "truncated?" in cut
    assert "truncated?" not in error_of(written(tmp_path, "a.jsonl", good + "nonsense\n"))
    assert "line 4" in error_of(written(tmp_path, "a.json", '[\n{"chosen": "a"},\n{"chosen": "b"},\n{oops}\n]'))


def test_a_line_that_is_no_object_is_refused(tmp_path):
    assert "line 2: found list" in error_of(written(tmp_path, "a.jsonl", lines({"chosen": "a"}, ["b"])))
    assert "item 1 of the array: found str" in error_of(written(tmp_path, "a.json", '[{"chosen": "a"}, "b"]'))


def test_text_that_is_not_utf8_is_placed_by_its_line(tmp_path):
    content = lines({"chosen": "a"}).encode() + '{"chosen": "é"}\n'.encode("latin-1")
    assert "line 2: not UTF-8 text" in error_of(written(tmp_path, "a.jsonl", content))
    assert "not a valid CSV file" in error_of(written(tmp_path, "a.csv", "chosen\né\n".encode("latin-1")))


@pytest.mark.parametrize(
    ("values", "place", "found"),
    [
        (["a", "b", 3], "line 3", "found int ('3'), but the rows before have string"),
        ([1, None, "b"], "line 3", "found str ('b'), but the rows before have int64"),
        (["a"] * 1500 + [{}], "line 1501", "found dict"),  # in the second batch of the reader
        ([["a"], [1]], "line 2", "found list"),
        (["a", "\ud800"], "line 2", "cannot be stored"),
        ([2**70], "line 1", "cannot be stored"),
    ],
)
def test_a_column_of_mixed_types_is_placed_by_its_first_bad_row(tmp_path, values, place, found):
    message = error_of(written(tmp_path, "a.jsonl", lines(*[{"chosen": value} for value in values])))
    assert f"a.jsonl, {place}, column 'chosen'" in message
    assert found in message


def test_broken_csv_says_which_row(tmp_path):
    message = error_of(written(tmp_path, "a.csv", "chosen,rejected\na,b\nc\n"))
    assert "Row #3: Expected 2 columns, got 1" in message
    assert "more than one column named ['a']" in error_of(written(tmp_path, "a.csv", "a,b,a\n1,2,3\n"))


def test_a_damaged_parquet_file_is_called_so(tmp_path):
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"chosen": ["a"] * 1000}), path)
    assert rows_of(path) == [{"chosen": "a"}] * 1000
    assert rows_of(path, streaming=True) == [{"chosen": "a"}] * 1000
    intact = path.read_bytes()
    path.write_bytes(intact[:-10])
    assert "not an intact Parquet file" in error_of(path)
    path.write_bytes(intact[:4] + bytes(40) + intact[44:])
    assert "not an intact Parquet file" in error_of(path)
