"""The arithmetic of the page, and its reading of Parquet files, tested by node's own runner."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from seal_datasets.atomic import write_parquet


def write_pair_files(folder):
    """The file of an audit whose every third pair has no margin, others that are not it, and what a page holds of it."""
    n = 3000
    words = np.random.default_rng(0).integers(0, 10**9, (n, 12)).astype(str)
    filler = [f" | {' '.join(row)}" for row in words]
    table = pa.table(
        {
            "pair_id": [f"p{row}" for row in range(n)],
            "prompt": [f"Prompt {row}{'x' * (30_000 if row == n - 2 else 0)}" for row in range(n)],
            "chosen": [f"chosen é {row}{filler[row]}" if row % 7 else None for row in range(n)],
            "rejected": [f"rejected {row}{filler[row]}" for row in range(n)],
            "reward_rm_chosen": pa.array([row / 7 for row in range(n)], pa.float32()),
            "reward_rm_rejected": [None if row % 100 == 2 else -row / 3 for row in range(n)],
            "problems": [["x"]] * n,
        }
    )
    rows = [row for row in range(n) if row % 3]
    held = {"n_rows": n, "ids": [f"p{row}" for row in rows], "rows": rows}
    names = ("reward_rm_chosen", "reward_rm_rejected")
    held["rewards"] = {name: [table[name][row].as_py() for row in rows] for name in names}
    (folder / "held.json").write_text(json.dumps(held))
    whole = folder / "pairs.parquet"
    write_parquet(Dataset(table), whole)
    pq.write_table(table, folder / "plain.parquet", row_group_size=1000)
    pq.write_table(table, folder / "zstd.parquet", compression="zstd")
    pq.write_table(table.slice(1), folder / "fewer.parquet")
    pq.write_table(table.drop_columns(["pair_id"]), folder / "something.parquet")
    others = {
        "numbers": ("prompt", list(range(n))),
        "ids": ("pair_id", [f"q{row}" for row in range(n)]),
        "rewards": ("reward_rm_rejected", [*table["reward_rm_rejected"].to_pylist()[:-1], 5.0]),
    }
    for name, (column, values) in others.items():
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, [values]), folder / f"{name}.parquet")
    content = whole.read_bytes()
    (folder / "short.parquet").write_bytes(content[:-1000])
    (folder / "broken.parquet").write_bytes(content[:4] + b"\xff" * 60_000 + content[60_004:])
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "pairs.csv").write_text("pair_id,prompt\np0,x\n")


def test_the_page_s_logic_by_node(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser's tests still run the same code")
    write_pair_files(tmp_path)
    environment = {**os.environ, "SEAL_PAIR_FILES": str(tmp_path)}
    command = [node, "--test", str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# skipped 0" in done.stdout
