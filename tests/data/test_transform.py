import pytest
from datasets import Dataset, IterableDataset, Value

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
        run(on_disk, 1, calls, reuse_cache=False)
    assert calls == [2, 1, 2, 1]


def test_streams_stay_streams_and_columns_are_replaced_in_place():
    stream = run(Dataset.from_dict({"x": [1, 2, 3]}).to_iterable_dataset(), 1, [])
    assert isinstance(stream, IterableDataset)
    assert [row["y"] for row in stream] == [2, 4, 6]
    replaced = run(Dataset.from_dict({"y": [0, 0], "x": [5, 6]}), 1, [])
    assert replaced.to_dict() == {"x": [5, 6], "y": [10, 12]}
