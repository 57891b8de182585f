"""Recorded answers of the embedded model, so that tests of what comes after labels need not wait for them.

A store of responses is its own recording: its keys are hashes of the model, the instructions, the sampling and the text.
`record.py` makes the two files. `demo.sqlite` answers what an audit of the first rows of the demo asks and nothing else, so
that its report does not change; `more.sqlite` answers what other tests and the README commands ask.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from seal_datasets.data.demo import demo_path
from seal_datasets.endpoints.store import ResponseStore

FOLDER = Path(__file__).parent
RECORDINGS = (FOLDER / "demo.sqlite", FOLDER / "more.sqlite")
N_ROWS = 104  # the model takes seconds for a text, so the later rows are not recorded


def write_recorded_rows(path: Path) -> Path:
    """Write those rows of the demo whose labels are recorded."""
    lines = demo_path().read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:N_ROWS]), "utf-8")
    return path


def merge(target: Path, *sources: Path) -> None:
    """Add the responses of some stores to another store, which is made when missing."""
    with ResponseStore(target) as store, tempfile.TemporaryDirectory() as folder:
        for source in sources:
            # To open a store changes its file, and the recordings are under version control.
            with ResponseStore(shutil.copy(source, folder)) as recorded:
                store.add(list(recorded.responses()))
