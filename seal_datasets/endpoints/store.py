"""A content-addressed store of LM responses, so that no response is paid for twice.

The key of a response has two parts. Its *subject* is a hash of model, instructions, sampling and text; its *questions* are
those in the request. So a new feature in a taxonomy causes requests for that feature only, and a changed parser or role
reuses stored responses. Neither a dataset nor its order is part of a key.

The store is one SQLite file in write-ahead mode. Threads and processes share it, and a killed process leaves every
finished response readable. A process *claims* a subject before its request, so that no two processes pay for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jiter

from seal_datasets.endpoints import store_file
from seal_datasets.endpoints.claims import Renewal, is_active
from seal_datasets.endpoints.cost import Usage
from seal_datasets.errors import DataError
from seal_datasets.owners import this_process

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS questions (id INTEGER PRIMARY KEY, model TEXT, kind TEXT, asked TEXT, UNIQUE (model, kind, asked));
CREATE TABLE IF NOT EXISTS responses (
    subject BLOB NOT NULL, questions INTEGER NOT NULL REFERENCES questions, response TEXT NOT NULL, created REAL NOT NULL,
    UNIQUE (subject, questions)
);
CREATE TABLE IF NOT EXISTS claims (subject BLOB PRIMARY KEY, owner TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (token TEXT PRIMARY KEY, model TEXT NOT NULL, id TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dialects (endpoint TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
"""
TABLES: store_file.Tables = {
    "questions": {"id", "model", "kind", "asked"},
    "responses": {"subject", "questions", "response", "created"},
    "claims": {"subject", "owner", "since"},
    "batches": {"token", "model", "id"},
}
_CHUNK = 500


class Questions(NamedTuple):
    """The questions of one request.

    Attributes:
        model (`str`): The model that answered.
        kind (`str`): Form of the answer, e.g. `json_schema`.
        asked (`tuple[str, ...]`): The questions, as digests of their wording or as names.
    """

    model: str
    kind: str
    asked: tuple[str, ...]


class StoredResponse(NamedTuple):
    """A raw response as stored text, decoded on access.

    Attributes:
        questions (`Questions`): Questions of the request.
        text (`str`): The response, as JSON.
        created (`float`): Time of storage, in seconds since 1970.
    """

    questions: Questions
    text: str
    created: float

    @property
    def response(self) -> dict[str, object]:
        """The decoded response: content, usage, finish reason.

        Raises:
            DataError: It is damaged.
        """
        try:
            decoded: dict[str, object] = jiter.from_json(self.text.encode())
        except (AttributeError, ValueError) as error:
            raise DataError(
                f"a stored response of {self.questions.model} is damaged: {error}; run `seal store repair` on the store, "
                "and the same command again"
            ) from error
        return decoded


def subject_key(parts: Sequence[object]) -> bytes:
    """Hash of everything that a response depends on, except the questions.

    Args:
        parts (`Sequence[object]`): Model, instructions, sampling and text; JSON-ready, without API keys.

    Returns:
        `bytes`: 16 bytes, the same on every machine.

    Example:

    ```python
    >>> subject_key(["my-model", "a text"]).hex()
    '19e93004c1aeb2f9decd22e0c72ccc52'

    ```
    """
    return _hash(json.dumps(parts, sort_keys=True)).digest()


def subject_keys(common: Sequence[object]) -> Callable[[str], bytes]:
    """A function from a text to `subject_key([*common, text])` that hashes the common parts once.

    Example:

    ```python
    >>> subject_keys(["my-model"])("a text").hex()
    '19e93004c1aeb2f9decd22e0c72ccc52'

    ```
    """
    prefix = _hash(json.dumps([*common, ""], sort_keys=True).removesuffix('""]'))
    encode = json.JSONEncoder().encode

    def key(text: str) -> bytes:
        hashed = prefix.copy()
        hashed.update(f"{encode(text)}]".encode())
        return hashed.digest()

    return key


def response_text(response: Mapping[str, object]) -> str:
    """Encode a response as stored text.

    Raises:
        ValueError: The response has numbers that JSON cannot express, e.g. NaN.
    """
    return json.dumps(dict(response), ensure_ascii=False, allow_nan=False)


class ResponseStore:
    """Raw LM responses by subject and questions.

    Args:
        path (`str` or `Path`): The SQLite file, created if missing; `":memory:"` is lost on closing. A file without
            write permission is opened read-only.

    Raises:
        DataError: The file cannot be opened or is not a store.

    Example:

    ```python
    >>> key, questions = subject_key(["my-model", "a text"]), Questions("my-model", "json_schema", ("is_kind",))
    >>> with ResponseStore(":memory:") as store:
    ...     store.put(key, questions, {"content": "{}"})
    ...     [stored.response for stored in store.get(key)], store.get(b"other")
    ([{'content': '{}'}], [])

    ```
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        self._ids: dict[Questions, int] = {}
        self._questions: dict[int, Questions] = {}
        self._owner = this_process()
        self._renewal = Renewal(self._renew)
        try:
            self._connection = self._connect()
        except (store_file.ForeignFileError, sqlite3.OperationalError, OSError) as error:
            raise DataError(
                f"cannot use {self.path} as a store of responses: {error}; "
                "give a writable path to a new or existing store"
            ) from error
        except sqlite3.Error as error:
            raise store_file.damaged(self.path, error) from error

    def _connect(self) -> sqlite3.Connection:
        exists = self.path != ":memory:" and Path(self.path).exists()
        self.read_only = exists and not (os.access(self.path, os.W_OK) and os.access(Path(self.path).parent, os.W_OK))
        if self.path != ":memory:" and not self.read_only:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        # SQLite opens a read-only file in write-ahead mode only if it is declared immutable.
        address = store_file.address(self.path, "immutable=1") if self.read_only else self.path
        holds_tables = self.path != ":memory:" and store_file.check_owner(self.path, TABLES)
        connection = sqlite3.connect(
            address, check_same_thread=False, timeout=60.0, isolation_level=None, uri=self.read_only
        )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in ({_VERSION} if holds_tables else {0, _VERSION}):
            connection.close()
            raise store_file.ForeignFileError("it was made by another version of seal_datasets, or another program")
        if not self.read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            # In write-ahead mode NORMAL survives a killed process; only a power cut can lose the latest responses.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
        elif not holds_tables:
            raise store_file.ForeignFileError("it holds no responses")
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction; raises `DataError` on a read-only store."""
        if self.read_only:
            raise DataError(
                f"the store {self.path} is read-only, but new responses must be stored; make the file and its folder writable"
            )
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._ids.clear()
                self._questions.clear()
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                    raise store_file.damaged(self.path, error) from error
                if isinstance(error, sqlite3.Error):
                    raise DataError(
                        f"cannot write to the store {self.path}: {error}; earlier responses are kept. "
                        "Free space or repair the disk, then run the same command again"
                    ) from error
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, store_file.reading(self.path):
            yield

    def _renew(self) -> None:
        with self._lock:
            self._connection.execute("UPDATE claims SET since = ? WHERE owner = ?", (time.time(), self._owner))

    def get(self, subject: bytes) -> list[StoredResponse]:
        """Responses about one subject, oldest first."""
        return self.get_many([subject]).get(subject, [])

    def get_many(self, subjects: Sequence[bytes]) -> dict[bytes, list[StoredResponse]]:
        """Responses by subject, oldest first; subjects without responses are omitted."""
        responses: dict[bytes, list[StoredResponse]] = {}
        with self._reading():
            for start in range(0, len(subjects), _CHUNK):
                chunk = subjects[start : start + _CHUNK]
                rows = self._connection.execute(
                    "SELECT subject, questions, response, created FROM responses "
                    f"WHERE subject IN ({','.join('?' * len(chunk))}) ORDER BY created, rowid",
                    chunk,
                )
                for subject, questions, text, created in rows:
                    stored = StoredResponse(self.questions_of(questions), text, created)
                    responses.setdefault(subject, []).append(stored)
        return responses

    def put(
        self, subject: bytes, questions: Questions, response: Mapping[str, object], *, finished: bool = True
    ) -> None:
        """Store a response; it is in the file when the call returns.

        Args:
            subject (`bytes`): Hash by `subject_key`.
            questions (`Questions`): The questions of the request.
            response (`Mapping[str, object]`): The response; JSON-ready.
            finished (`bool`, defaults to `True`): Whether this was the subject's last request; if so, its claim is released.

        Raises:
            DataError: The store cannot be written: the disk is full, or the file is read-only.
        """
        text = response_text(response)
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?)",
                (subject, self.questions_id(questions), text, time.time()),
            )
            if finished:
                connection.execute("DELETE FROM claims WHERE subject = ?", (subject,))

    def claim(self, subjects: Sequence[bytes]) -> set[bytes]:
        """Claim subjects before sending requests about them.

        Args:
            subjects (`Sequence[bytes]`): Subjects without a response.

        Returns:
            `set[bytes]`: The subjects now claimed by this process. The others are claimed by a living process on this machine,
            or by another machine that renewed its claim within the last 15 minutes. Claims are renewed until `close`.
        """
        claimed = set()
        self._renewal.start()
        with self.writing() as connection:
            for subject in subjects:
                row = connection.execute("SELECT owner, since FROM claims WHERE subject = ?", (subject,)).fetchone()
                if row is None or row[0] == self._owner or not is_active(*row):
                    connection.execute(
                        "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (subject, self._owner, time.time())
                    )
                    claimed.add(subject)
        return claimed

    def release(self, subjects: Iterable[bytes]) -> None:
        """Release claims on subjects that need no request from this process."""
        with self.writing() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE subject = ? AND owner = ?", [(subject, self._owner) for subject in subjects]
            )

    def note_batch(self, token: str, model: str, batch_id: str | None) -> None:
        """Record a batch under its token: with `None` before it is created, with its id afterwards."""
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?)", (token, model, batch_id))

    def forget_batch(self, token: str) -> None:
        """Delete the record of a batch whose answers are stored, or that was never created."""
        with self.writing() as connection:
            connection.execute("DELETE FROM batches WHERE token = ?", (token,))

    def batches(self, model: str) -> dict[str, str | None]:
        """Unfinished batches of a model: token to id, `None` where no id was recorded."""
        with self._reading():
            return dict(self._connection.execute("SELECT token, id FROM batches WHERE model = ?", (model,)).fetchall())

    def keep_dialect(self, endpoint: str, state: Mapping[str, Any]) -> None:
        """Keep how an endpoint wants requests to be spelled, see `Dialect.state`."""
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO dialects VALUES (?, ?)", (endpoint, json.dumps(state)))

    def dialect(self, endpoint: str) -> dict[str, Any] | None:
        """What `keep_dialect` kept for an endpoint."""
        # A read-only store of an earlier version has no such table.
        if not self.select("SELECT 1 FROM sqlite_master WHERE name = 'dialects'"):
            return None
        rows = self.select("SELECT state FROM dialects WHERE endpoint = ?", (endpoint,))
        return json.loads(rows[0][0]) if rows else None

    def select(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of an SQL query on the tables `responses` and `questions`."""
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    def __len__(self) -> int:
        return int(self.select("SELECT count(*) FROM responses")[0][0])

    def responses(self) -> Iterator[tuple[bytes, StoredResponse]]:
        """Every response with its subject, oldest first; uses constant memory."""
        last = 0
        while True:
            with self._reading():
                rows = self._connection.execute(
                    "SELECT rowid, subject, questions, response, created FROM responses "
                    f"WHERE rowid > ? ORDER BY rowid LIMIT {_CHUNK}",
                    (last,),
                ).fetchall()
                chunk = [(row[1], StoredResponse(self.questions_of(row[2]), row[3], row[4])) for row in rows]
            if not rows:
                return
            yield from chunk
            last = rows[-1][0]

    def usage(self) -> dict[tuple[str, bool], Usage]:
        """Token counts of all responses as reported by the endpoints, by model and use of the Batch API."""
        rows = self.select(
            "SELECT model, coalesce(json_extract(response, '$.batch'), 0), count(*), "
            "sum(json_extract(response, '$.usage.prompt_tokens')), "
            "sum(json_extract(response, '$.usage.prompt_tokens_details.cached_tokens')), "
            "sum(json_extract(response, '$.usage.completion_tokens')), "
            "sum(json_type(response, '$.usage') IS NOT 'object') "
            "FROM responses JOIN questions ON questions.id = responses.questions GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return {(model, bool(batch)): Usage(*(int(count or 0) for count in counts)) for model, batch, *counts in rows}

    def add(self, entries: Iterable[tuple[bytes, StoredResponse]]) -> None:
        """Store responses of another store; if both have a response to one request, this store keeps its own."""
        with self.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?)",
                [
                    (subject, self.questions_id(entry.questions), entry.text, entry.created)
                    for subject, entry in entries
                ],
            )

    def delete(self, condition: str, values: Sequence[object]) -> int:
        """Delete the responses that meet an SQL condition, and shrink the file.

        Returns:
            `int`: Number of deleted responses.
        """
        with self.writing() as connection:
            deleted = connection.execute(f"DELETE FROM responses WHERE {condition}", values).rowcount
        with (
            self._lock,
            contextlib.suppress(sqlite3.OperationalError),
        ):  # a full disk only keeps the file as large as it is
            self._connection.execute("VACUUM")
        return deleted

    def questions_id(self, questions: Questions) -> int:
        """Number of these questions in the store; unknown questions get a new number."""
        if questions not in self._ids:
            row = (questions.model, questions.kind, json.dumps(questions.asked))
            self._connection.execute("INSERT OR IGNORE INTO questions (model, kind, asked) VALUES (?, ?, ?)", row)
            (number,) = self._connection.execute(
                "SELECT id FROM questions WHERE model = ? AND kind = ? AND asked = ?", row
            ).fetchone()
            self._ids[questions] = int(number)
        return self._ids[questions]

    def questions_of(self, number: int) -> Questions:
        """The questions with this number."""
        if number not in self._questions:
            query = "SELECT model, kind, asked FROM questions WHERE id = ?"
            with self._reading():
                row = self._connection.execute(query, (number,)).fetchone()
            try:
                model, kind, asked = row
                self._questions[number] = Questions(model, kind, tuple(json.loads(asked)))
            except (TypeError, ValueError) as error:
                raise store_file.damaged(self.path, f"the questions with number {number} are missing") from error
        return self._questions[number]

    def close(self) -> None:
        """Close the file."""
        self._renewal.end()
        with self._lock:
            self._connection.close()

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _hash(text: str) -> hashlib.blake2b:
    return hashlib.blake2b(text.encode(), digest_size=16)
