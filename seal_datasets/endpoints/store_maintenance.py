"""Inspect, merge, prune and export a response store."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seal_datasets.atomic import replacing
from seal_datasets.endpoints.store import ResponseStore, StoredResponse
from seal_datasets.errors import DataError

_MERGED_AT_ONCE = 500
_EXPORTED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """Number and age (seconds since 1970) of the responses of one model and form."""

    model: str
    kind: str
    n_responses: int
    n_subjects: int
    oldest: float
    newest: float


def summarize_store(store: ResponseStore) -> list[StoreSummary]:
    """Count the responses in a store, one entry for each model and form."""
    rows = store.select(
        "SELECT model, kind, count(*), count(DISTINCT subject), min(created), max(created) "
        "FROM responses JOIN questions ON questions.id = responses.questions GROUP BY model, kind ORDER BY 1, 2"
    )
    return [StoreSummary(*row) for row in rows]


def merge_store(store: ResponseStore, other: ResponseStore) -> int:
    """Copy the responses that a store lacks from another.

    Args:
        store (`ResponseStore`): The store to fill.
        other (`ResponseStore`): The source; it is not changed.

    Returns:
        `int`: Number of new responses. Where both answer one request, the first store keeps its own.
    """
    before, entries = len(store), other.responses()
    while batch := list(islice(entries, _MERGED_AT_ONCE)):
        store.add(batch)
    return len(store) - before


def prune_store(
    store: ResponseStore, *, model: str | None = None, before: float | None = None, finish_reason: str | None = None
) -> int:
    """Delete the responses that meet every given condition.

    Args:
        store (`ResponseStore`): The store.
        model (`str`, *optional*): Only of this model.
        before (`float`, *optional*): Only those older than this, in seconds since 1970.
        finish_reason (`str`, *optional*): Only those with this finish reason, e.g. `"length"` for truncated answers.

    Returns:
        `int`: Number of deleted responses.

    Raises:
        DataError: No condition was given.
    """
    conditions: list[tuple[str, object]] = []
    if model is not None:
        conditions.append(("questions IN (SELECT id FROM questions WHERE model = ?)", model))
    if before is not None:
        conditions.append(("created < ?", before))
    if finish_reason is not None:
        conditions.append(("json_extract(response, '$.finish_reason') = ?", finish_reason))
    if not conditions:
        raise DataError("prune needs a condition (model, before or finish_reason); to drop all, delete the file")
    where = " AND ".join(condition for condition, _ in conditions)
    return store.delete(where, [value for _, value in conditions])


def export_store(store: ResponseStore, path: str | Path) -> int:
    """Write every response as a row of a Parquet file: subject, model, form, questions, raw response, tokens and time.

    Args:
        store (`ResponseStore`): The store.
        path (`str` or `Path`): File to write; it appears once it is complete.

    Returns:
        `int`: Rows written.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    columns = pa.schema(
        [
            ("subject", pa.string()),
            ("model", pa.string()),
            ("kind", pa.string()),
            ("asked", pa.list_(pa.string())),
            ("content", pa.string()),
            ("finish_reason", pa.string()),
            ("prompt_tokens", pa.int64()),
            ("completion_tokens", pa.int64()),
            ("response", pa.string()),
            ("created", pa.timestamp("us", tz="UTC")),
        ]
    )
    n_rows, entries = 0, store.responses()
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, columns) as writer:
        while rows := [_response_row(*entry) for entry in islice(entries, _EXPORTED_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=columns))
            n_rows += len(rows)
    return n_rows


def _response_row(subject: bytes, stored: StoredResponse) -> dict[str, object]:
    response = stored.response
    usage = response.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return {
        "subject": subject.hex(),
        "model": stored.questions.model,
        "kind": stored.questions.kind,
        "asked": stored.questions.asked,
        "content": _only(str, response.get("content")),
        "finish_reason": _only(str, response.get("finish_reason")),
        "prompt_tokens": _only(int, usage.get("prompt_tokens")),
        "completion_tokens": _only(int, usage.get("completion_tokens")),
        "response": stored.text,
        "created": int(stored.created * 1e6),
    }


def _only(kind: type, value: object) -> object:
    """A value of this type; null for others, which odd servers give and `response` holds."""
    return value if isinstance(value, kind) else None
