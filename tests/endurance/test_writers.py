"""Writers that are killed at random moments leave whole files, at the level of `seal_datasets.atomic`."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from seal_datasets import atomic
from tests.test_atomic import names

WRITER = """
import sys
from datasets import Dataset
from seal_datasets import atomic
tables = [Dataset.from_dict({"a": [n] * 200_000}) for n in range(2)]
print("ready", flush=True)
while True:
    for table in tables:
        with atomic.filling(sys.argv[1]) as written:
            atomic.write_parquet(table, written / "pairs.parquet")
            atomic.write_json(written / "run.json", {"a": table[0]["a"]})
"""


@pytest.mark.parametrize("n_kills", [3, pytest.param(100, marks=pytest.mark.endurance)])
def test_however_often_a_writer_is_killed_each_file_is_whole(tmp_path, n_kills):
    rng = np.random.default_rng(n_kills)
    for _ in range(n_kills):
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=-1, stderr=-1, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05 + rng.random() * 0.3)
            process.kill()
        if (tmp_path / "pairs.parquet").exists():
            column = pq.read_table(tmp_path / "pairs.parquet")["a"].unique().to_pylist()
            assert column in ([0], [1])
        if (tmp_path / "run.json").exists():
            assert json.loads((tmp_path / "run.json").read_text())["a"] in (0, 1)
    with atomic.filling(tmp_path) as written:
        atomic.write_json(written / "run.json", {"a": 2})
    assert names(tmp_path) == ["pairs.parquet", "run.json"]
