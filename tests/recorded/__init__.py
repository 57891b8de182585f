"""Recorded answers of the embedded model, so that tests of what comes after labels need not wait for them.

A store of responses is its own recording: its keys are hashes of the model, the instructions, the sampling and the text.
`record.py` makes the two files. `demo.sqlite` answers what an audit of the embedded demo asks and nothing else, so that its
report does not change; `more.sqlite` answers what other tests and the README commands ask.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from seal_datasets.endpoints.store import ResponseStore

FOLDER = Path(__file__).parent
RECORDINGS = (FOLDER / "demo.sqlite", FOLDER / "more.sqlite")


def merge(target: Path, *sources: Path) -> None:
    """Add the responses of some stores to another store, which is made when missing."""
    with ResponseStore(target) as store, tempfile.TemporaryDirectory() as folder:
        for source in sources:
            # To open a store changes its file, and the recordings are under version control.
            with ResponseStore(shutil.copy(source, folder)) as recorded:
                store.add(list(recorded.responses()))
