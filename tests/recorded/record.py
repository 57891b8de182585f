"""Record the answers of the real embedded model anew: `python -m tests.recorded.record [finished/labels.sqlite]`.

Needed when a prompt, the embedded model or a test's request has changed; takes some ten minutes on two cores. Give the store of
an audit of the rows that `write_recorded_rows` writes to reuse its answers. The tests below are run to ask the rest.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from seal_datasets.cli import main
from tests.recorded import FOLDER, RECORDINGS, merge, write_recorded_rows

ROOT = FOLDER.parents[1]
TESTS = (
    "tests/audit/test_run.py",
    "tests/labels/test_agreement.py",
    "tests/docs/test_guides.py",
)


def record(demo: Path | None) -> None:
    """Write both recordings.

    Args:
        demo (`Path`, *optional*): The store of a finished audit of those rows; without it the model is asked.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        finished = folder / "labels.sqlite"
        rows = write_recorded_rows(folder / "demo.jsonl")
        if demo is not None:
            shutil.copy(demo, finished)
        elif main(["featurize", str(rows), "--out", str(folder / "demo.parquet"), "--store", str(finished)]):
            raise SystemExit("the demo could not be labelled")
        for path in RECORDINGS:
            path.unlink(missing_ok=True)
        merge(RECORDINGS[0], finished)
        merge(RECORDINGS[1])
        asked = folder / "asked.sqlite"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-n0", "-q", "-m", "recorded", *TESTS],
            cwd=ROOT,
            env={**os.environ, "SEAL_RECORD_TO": str(asked), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        merge(RECORDINGS[1], asked)
    drop_known(RECORDINGS[1], RECORDINGS[0])
    for path in RECORDINGS:
        strip(path)


def drop_known(path: Path, other: Path) -> None:
    """Drop from one recording the responses that another one holds."""
    with sqlite3.connect(path) as store:
        store.execute("ATTACH ? AS other", (str(other),))
        store.execute(
            "DELETE FROM responses WHERE EXISTS (SELECT 1 FROM other.responses AS theirs "
            "JOIN other.questions AS asked ON asked.id = theirs.questions "
            "JOIN questions AS ours ON (ours.model, ours.kind, ours.asked) = (asked.model, asked.kind, asked.asked) "
            "WHERE theirs.subject = responses.subject AND ours.id = responses.questions)"
        )
        store.execute("DELETE FROM questions WHERE id NOT IN (SELECT questions FROM responses)")
    store.close()


def strip(path: Path) -> None:
    """Leave one small file that names no machine."""
    store = sqlite3.connect(path, isolation_level=None)
    for statement in ("DELETE FROM claims", "DELETE FROM batches", "PRAGMA journal_mode=DELETE", "VACUUM"):
        store.execute(statement).fetchall()
    store.close()


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
