"""The answers of people, each on disk before the next question is asked."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_datasets.endpoints.store_file import ForeignFileError, Tables, address, check_owner, damaged, reading
from seal_datasets.errors import DataError

_TABLES: Tables = {"answers": {"number", "annotator", "pair_id", "side", "feature", "answer", "skipped", "at"}}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (number INTEGER PRIMARY KEY AUTOINCREMENT, annotator TEXT, pair_id TEXT, side TEXT, "
    "feature TEXT, answer TEXT, skipped TEXT, at REAL)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one question about one text.

    Attributes:
        annotator (`str`): Who gave it.
        pair_id (`str`): The pair.
        side (`str`): `chosen` or `rejected`; the page does not show it.
        feature (`str`): The feature that was asked for.
        answer (`Any`): The label; `None` where it was skipped.
        skipped (`str`): Why there is no label, or empty.
    """

    annotator: str
    pair_id: str
    side: str
    feature: str
    answer: Any
    skipped: str = ""

    @property
    def question(self) -> tuple[str, str, str]:
        """What was asked: pair, side and feature."""
        return self.pair_id, self.side, self.feature


class Journal:
    """An SQLite file of answers.

    Args:
        path (`str` or `Path`): The file; made if missing.

    Raises:
        DataError: The file cannot be written to, or belongs to another program.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_owner(self.path, _TABLES)
            # The page answers from several threads, one request at a time.
            self._file = sqlite3.connect(
                address(self.path, "mode=rwc"), uri=True, timeout=60.0, check_same_thread=False
            )
            self._file.execute("PRAGMA synchronous=FULL")
            with self._file:
                self._file.execute(_SCHEMA)
        except (ForeignFileError, OSError, sqlite3.OperationalError) as error:
            raise DataError(f"cannot keep answers in {self.path}: {error}; choose a writable folder") from error
        except sqlite3.Error as error:
            raise damaged(self.path, error) from error

    def add(self, answer: Answer) -> None:
        """Keep an answer.

        Raises:
            DataError: The file cannot be written to.
        """
        row = (
            *(answer.annotator, answer.pair_id, answer.side, answer.feature),
            *(json.dumps(answer.answer), answer.skipped, time.time()),
        )
        self._change(
            "INSERT INTO answers (annotator, pair_id, side, feature, answer, skipped, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def undo(self, annotator: str) -> Answer | None:
        """Take back an annotator's last answer, and return it; `None` without any."""
        mine = [(number, answer) for number, answer in self._read() if answer.annotator == annotator]
        if not mine:
            return None
        number, answer = mine[-1]
        self._change("DELETE FROM answers WHERE number = ?", (number,))
        return answer

    def answers(self) -> list[Answer]:
        """All answers in the order in which they were given."""
        return [answer for _, answer in self._read()]

    def pace(self) -> float:
        """Median seconds between two answers of an annotator, without long pauses; nan for fewer than three answers."""
        with reading(self.path):
            rows = self._file.execute("SELECT annotator, at FROM answers ORDER BY annotator, at").fetchall()
        gaps = sorted(
            later[1] - earlier[1]
            for earlier, later in itertools.pairwise(rows)
            if earlier[0] == later[0] and later[1] - earlier[1] < 600
        )
        return float(gaps[len(gaps) // 2]) if len(gaps) > 1 else float("nan")

    def _change(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            with self._file:
                self._file.execute(statement, values)
        except sqlite3.Error as error:
            raise DataError(f"cannot change the answers in {self.path}: {error}; free disk space") from error

    def _read(self) -> Iterator[tuple[int, Answer]]:
        query = "SELECT number, annotator, pair_id, side, feature, answer, skipped FROM answers ORDER BY number"
        with reading(self.path):
            rows: Sequence[tuple[Any, ...]] = self._file.execute(query).fetchall()
        for number, annotator, pair_id, side, feature, answer, skipped in rows:
            yield number, Answer(annotator, pair_id, side, feature, json.loads(answer), skipped)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
