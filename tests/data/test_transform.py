import os
import time

import pytest
from datasets import Dataset, IterableDataset, Value

from seal_datasets.data import transform
from seal_datasets.data.transform import map_batches


def run(pairs, version, calls, **options):
    def double(batch):
        calls.append(len(batch["x"]))
        return {"y": [2 * value for value in batch["x"]]}

    return map_batches(
        pairs,
        double,
        new_columns={"y": Value("int64")},
        provenance={"version": version},
        batch_size=2,
        desc="d",
        **options,
    )


@pytest.fixture
def on_disk(tmp_path):
    Dataset.from_dict({"x": [1, 2, 3]}).save_to_disk(tmp_path / "d")
    return Dataset.load_from_disk(tmp_path / "d")


def test_an_edited_version_recomputes_and_the_same_version_does_not(on_disk):
    calls = []
    assert run(on_disk, 1, calls)["y"][:] == [2, 4, 6]
    assert run(on_disk, 1, calls)["y"][:] == [2, 4, 6]
    assert calls == [2, 1]
    run(on_disk, 2, calls)
    assert calls == [2, 1, 2, 1]


def test_without_reuse_every_call_computes(on_disk):
    calls = []
    for _ in range(2):
        run(on_disk, 1, calls, pure=False)
    assert calls == [2, 1, 2, 1]


def test_streams_stay_streams_and_columns_are_replaced_in_place():
    stream = run(Dataset.from_dict({"x": [1, 2, 3]}).to_iterable_dataset(), 1, [])
    assert isinstance(stream, IterableDataset)
    assert [row["y"] for row in stream] == [2, 4, 6]
    replaced = run(Dataset.from_dict({"y": [0, 0], "x": [5, 6]}), 1, [])
    assert replaced.to_dict() == {"x": [5, 6], "y": [10, 12]}


def test_several_processes_give_the_rows_of_one_in_order(on_disk, tmp_path, monkeypatch):
    def name_process(batch):
        (tmp_path / f"{os.getpid()}.began").touch()
        for _ in range(600):  # neither takes both parts before the other began
            if len(list(tmp_path.glob("*.began"))) == 2:
                break
            time.sleep(0.1)
        return {"y": [10 * value for value in batch["x"]], "process": [os.getpid()] * len(batch["x"])}

    monkeypatch.setattr(transform, "_ROWS_OF_PROCESS", 1)
    monkeypatch.setattr(transform, "_processors", lambda: 2)
    settings = {"provenance": {"version": 1}, "batch_size": 2, "desc": "d"}
    columns = {"y": Value("int64"), "process": Value("int64")}
    shared = map_batches(on_disk, name_process, new_columns=columns, **settings)
    assert shared.remove_columns("process").to_dict() == {"x": [1, 2, 3], "y": [10, 20, 30]}
    assert len({os.getpid(), *shared["process"][:]}) == 3
    with pytest.raises(ZeroDivisionError):
        map_batches(on_disk, lambda batch: 1 / 0, new_columns=columns, **settings | {"provenance": {"version": 2}})


def test_a_short_table_and_one_in_memory_stay_in_this_process(on_disk, monkeypatch):
    assert transform.n_processes(on_disk) is None
    monkeypatch.setattr(transform, "_ROWS_OF_PROCESS", 1)
    monkeypatch.setattr(transform, "_processors", lambda: 8)
    assert transform.n_processes(on_disk) == 3
    assert transform.n_processes(Dataset.from_dict({"x": [1, 2, 3]})) is None


def test_an_added_column_is_written_without_the_others(on_disk):
    added = run(on_disk, 1, [])
    own = [file["filename"] for file in added.cache_files if file not in on_disk.cache_files]
    assert [Dataset.from_file(name).column_names for name in own] == [["y"]]
