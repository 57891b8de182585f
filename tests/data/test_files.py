import gzip
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_datasets.data import row_file
from seal_datasets.data.csv_rows import csv_rows
from seal_datasets.data.files import file_kind, load_files
from seal_datasets.data.json_rows import json_rows
from seal_datasets.errors import DataError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(tmp_path, name, content):
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def rows_of(path, *, streaming=False):
    return list(load_files([path], streaming=streaming)[0])


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
    found, *_ = load_files([written(tmp_path, "a.jsonl", lines(*rows))], streaming=False)
    assert found["gold"][:] == [None] * 1100 + [0.5] * 100
    assert found[1199]["turns"] == [{"role": "user", "content": "é"}]
    assert found[0]["turns"] == []


def test_the_hash_is_that_of_the_files_bytes(tmp_path):
    path = written(tmp_path, "a.csv", "chosen\n")
    path.write_bytes(b"abc\nx\n")
    assert load_files([path], streaming=True)[1] == hashlib.sha256(b"abc\nx\n").hexdigest()


def test_a_file_that_changes_under_the_same_name_and_time_is_read_again(tmp_path):
    path = written(tmp_path, "a.jsonl", lines({"chosen": "one"}))
    os.utime(path, (1, 1))
    assert rows_of(path) == [{"chosen": "one"}]
    path.write_text(lines({"chosen": "two"}))
    os.utime(path, (1, 1))
    assert rows_of(path) == [{"chosen": "two"}]


def error_of(path):
    with pytest.raises(DataError) as caught:
        load_files([path], streaming=False)
    return str(caught.value)


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"there is no file {tmp_path / 'no.jsonl'}" in error_of(Path("no.jsonl"))


@pytest.mark.parametrize("name", ["a.pkl", "a.txt", "a.parquet.gz"])
def test_other_kinds_of_files_are_not_opened(tmp_path, name):
    assert "give .jsonl, .ndjson, .json, .csv, .tsv (each also as .gz) or .parquet" in error_of(
        written(tmp_path, name, "x")
    )


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
    message = error_of(written(tmp_path, "a.csv", "chosen\né\n".encode("latin-1")))
    assert "a.csv, line 2: not UTF-8 text" in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b", 3],
        [1, None, "b"],
        ["a"] * 1500 + [{}],  # in the second batch of the reader
        [["a"], [1]],
        [2**70, 1],
        [{}, {}],
        [{"a": {}}],
        ["3", 3],
    ],
)
def test_values_that_no_one_type_holds_are_kept_as_json(tmp_path, values):
    path = written(tmp_path, "a.jsonl", lines(*[{"chosen": value, "meta": value} for value in values]))
    table, _, as_text = load_files([path], streaming=False)
    assert as_text == ("meta",)
    assert [None if text is None else json.loads(text) for text in table["meta"]] == values
    # A column that pairs may be read from gives the values themselves.
    assert [value if isinstance(value, int) and value > 2**63 else None for value in values] or table["chosen"][
        :
    ] == values
    assert rows_of(path, streaming=True) == list(table)


@pytest.mark.parametrize("start", ["", "["])
def test_a_value_may_be_read_in_two_parts_anywhere(tmp_path, monkeypatch, start):
    rows = [{"a": '“é😀\\ "', "b": True, "c": None, "d": False, "e": -1.5e-07, "f": [12.5, {}], "g": ""}] * 3
    text = ",\n".join(map(json.dumps, rows)) if start else "\n".join(map(json.dumps, rows))
    (tmp_path / "rows.json").write_text(f"{start}{text}]" if start else text)
    for size in range(4, 90):
        monkeypatch.setattr("seal_datasets.data.json_rows._CHUNK_BYTES", size)
        assert list(json_rows(tmp_path / "rows.json")) == rows, size


def test_half_a_character_is_replaced_and_the_rest_stays(tmp_path):
    path = written(tmp_path, "a.jsonl", lines({"chosen": "a\ud83db", "n": [{"k\ud83d": "\ud83d\ude00"}]}))
    assert rows_of(path) == [{"chosen": "a\ufffdb", "n": [{"k\ufffd": "\U0001f600"}]}]


def test_broken_csv_says_which_row(tmp_path):
    message = error_of(written(tmp_path, "a.csv", "chosen,rejected\na,b\nc\n"))
    assert "line 3 has 1 cells, and the header has 2" in message
    assert "is not a valid CSV file" in error_of(written(tmp_path, "a.csv", 'a,b\n"x"y,z\n'))
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


ROW = {"prompt": "Hi", "chosen": "Hellö", "rejected": "No"}
TWO = [ROW, ROW | {"chosen": "b"}]
LAYOUTS = {
    "pretty.json": "\n".join(json.dumps(row, indent=1) for row in TWO),
    "joined.json": "".join(json.dumps(row) for row in TWO),
    "mixed.jsonl": json.dumps(TWO[0]) + "\n" + json.dumps(TWO[1], indent=2),
    "data.json": json.dumps({"version": 1, "data": TWO}, indent=1),
    "rows.json": json.dumps({"rows": [{"row_idx": index, "row": row} for index, row in enumerate(TWO)]}),
    "columns.json": json.dumps({name: {"0": TWO[0][name], "1": TWO[1][name]} for name in ROW}),
    "index.json": json.dumps({"0": TWO[0], "1": TWO[1]}),
    "split.json": json.dumps({"columns": list(ROW), "index": [0, 1], "data": [list(row.values()) for row in TWO]}),
    "lines.ndjson": "\ufeff" + lines(*TWO),
    "utf16.jsonl": lines(*TWO).encode("utf-16"),
    "utf16le.jsonl": json.dumps(TWO, ensure_ascii=False).encode("utf-16-le"),
    "a.tsv": "prompt\tchosen\trejected\nHi\tHellö\tNo\nHi\tb\tNo\n",
    "semicolon.csv": "\ufeffprompt;chosen;rejected\r\nHi;Hellö;No\r\nHi;b;No\r\n",
    "utf16.csv": "prompt,chosen,rejected\nHi,Hellö,No\nHi,b,No\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_of_a_file_gives_the_same_rows(tmp_path, name):
    assert rows_of(written(tmp_path, name, LAYOUTS[name])) == TWO


def test_several_files_are_one_table_with_the_types_of_all(tmp_path):
    paths = [
        written(tmp_path, "a.jsonl", lines({"n": 1})),
        written(tmp_path, "b.jsonl.gz", lines({"n": 1.5, "m": "x"})),
    ]
    assert list(load_files(paths, streaming=False)[0]) == [{"n": 1.0, "m": None}, {"n": 1.5, "m": "x"}]
    with pytest.raises(DataError, match="mixes files of the kinds"):
        load_files([*paths, written(tmp_path, "c.csv", "n\n1\n")], streaming=False)


def test_numbers_of_a_csv_file_are_read_and_names_that_look_like_them_are_not(tmp_path):
    content = "prompt,n,code,share,yes,mixed,none\n3,1,007,1,true,1,\n4,,008,2.5,False,x,\n"
    first, second = rows_of(written(tmp_path, "a.csv", content))
    assert first == {"prompt": "3", "n": 1, "code": "007", "share": 1.0, "yes": True, "mixed": "1", "none": None}
    assert second == {"prompt": "4", "n": None, "code": "008", "share": 2.5, "yes": False, "mixed": "x", "none": None}


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz", "a.csv.gz"])
def test_an_archive_is_never_unpacked_as_a_whole(tmp_path, name):
    rows = [{"prompt": "a" * 1000, "chosen": "b"}] * 20_000  # 20 MB, from an archive of 100 KB
    text = {"a.json.gz": json.dumps(rows), "a.jsonl.gz": lines(*rows)}.get(name) or (
        "prompt,chosen\n" + f"{'a' * 1000},b\n" * len(rows)
    )
    path = written(tmp_path, name, text)
    tracemalloc.start()
    assert sum(1 for _ in (csv_rows(path) if "csv" in name else json_rows(path))) == len(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6


def test_a_pointer_in_place_of_a_file_is_named(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for name in ("a.jsonl", "a.parquet", "a.csv", "a.jsonl.gz"):
        path = tmp_path / name
        path.write_text(pointer)
        assert "`git lfs pull`" in error_of(path)


def test_a_column_without_a_name_has_the_one_that_pandas_gives(tmp_path):
    assert rows_of(written(tmp_path, "a.csv", ",prompt\n0,Hi\n")) == [{"Unnamed: 0": 0, "prompt": "Hi"}]


def test_json_that_is_nested_too_deeply_or_has_endless_numbers_is_refused(tmp_path):
    assert "nested too deeply" in error_of(written(tmp_path, "a.jsonl", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"))
    assert "too long a number" in error_of(written(tmp_path, "a.jsonl", '{"a": ' + "9" * 5000 + "}"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_types_that_change_after_the_first_rows_hold_for_all_rows(tmp_path, monkeypatch, name):
    scores, notes = [1, None, 2**40, 0.5, 3], [True, None, None, False, True]
    rows = [{"chosen": "yes", "score": score, "note": note} for score, note in zip(scores, notes, strict=True)]
    del rows[0]["note"]
    table = pd.DataFrame(rows, dtype=object)
    path = written(tmp_path, name, lines(*rows) if name == "a.jsonl" else table.to_csv(index=False))
    whole = load_files([path], streaming=False)[0]
    assert (whole.features["score"].dtype, whole.features["note"].dtype) == ("float64", "bool")
    assert whole["score"][:] == [1.0, None, 2.0**40, 0.5, 3.0]
    for size in (1, 2, 3):
        monkeypatch.setattr(row_file, "_BATCH", size)
        monkeypatch.setattr(row_file, "READ_VERSION", f"of {size}")
        assert load_files([path], streaming=False)[0].to_dict() == whole.to_dict()
        assert rows_of(path, streaming=True) == list(whole)


def test_a_file_is_read_once_and_not_again(tmp_path, monkeypatch):
    path = written(tmp_path, "a.jsonl", lines(*ROWS))
    read = []
    monkeypatch.setattr(row_file, "json_rows", lambda path: read.append(path) or json_rows(path))
    first, second = (load_files([path], streaming=False)[0] for _ in range(2))
    assert (first.to_dict(), first._fingerprint) == (second.to_dict(), second._fingerprint)
    assert read == [path]


def test_a_fault_in_a_later_row_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(row_file, "_BATCH", 1)
    path = written(tmp_path, "a.jsonl", lines(*ROWS) + "{")
    with pytest.raises(DataError, match="line 3: not valid JSON"):
        load_files([path], streaming=False)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_the_line_of_a_short_row_counts_blank_lines_before_the_header(tmp_path):
    for before, line in (("", 3), ("\n \n", 5)):
        path = written(tmp_path, "a.csv", f"{before}prompt,chosen,rejected\nQ,a,b\nQ,a\n")
        with pytest.raises(DataError, match=f"line {line} has 2 cells, and the header has 3"):
            list(csv_rows(path))
