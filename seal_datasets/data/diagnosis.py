"""Count the pairs, prompts and problems of a table, so that every lost row is reported."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset, IterableDataset

from seal_datasets import schema
from seal_datasets.data.parquet_files import release_memory
from seal_datasets.data.problems import PROBLEMS, UNUSABLE
from seal_datasets.errors import DataError


@dataclass(frozen=True, slots=True)
class ProblemCount:
    """Number of pairs with a problem, and the first of them."""

    count: int
    first_pair_id: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Counts of what was read; `None` means unknown, as for a stream before it is read.

    Attributes:
        format (`str`, *optional*): Format of the source, or of most of its rows.
        form (`str`, *optional*): Name of its form in `docs/reference/forms.md`.
        source (`str`, *optional*): Name of the source.
        fingerprint (`str`, *optional*): `sha256:` of a local file, `hub:` and the commit, or `datasets:` and the fingerprint
            of a dataset object.
        n_rows (`int`, *optional*): Rows of the source.
        n_rows_without_pair (`int`, *optional*): Rows with several responses but no preference between them.
        n_tied_responses (`int`, *optional*): Pairs of responses that were judged equal; they make no pair.
        n_unjudged_responses (`int`, *optional*): Responses without a score, or in a row without a winner.
        n_pairs (`int`, *optional*): Rows of the pairs table.
        n_usable_pairs (`int`, *optional*): Pairs without a problem that excludes them from within-prompt estimates.
        n_prompts (`int`, *optional*): Distinct prompts.
        prompt_columns (`tuple[str, ...]`): Columns that the prompt is made of, in their order in it.
        columns_not_read (`tuple[str, ...]`): Columns of the source that no part of a pair is read from; they are kept.
        columns_as_json (`tuple[str, ...]`): Columns stored as JSON text, because no one type holds their values.
        first_unreadable (`str`, *optional*): What is wrong with the first row that cannot be read.
        problems (`dict[str, ProblemCount]`, *optional*): Only problems that occur, in the order of `PROBLEMS`.
    """

    format: str | None = None
    form: str | None = None
    source: str | None = None
    fingerprint: str | None = None
    n_rows: int | None = None
    n_rows_without_pair: int | None = None
    n_tied_responses: int | None = None
    n_unjudged_responses: int | None = None
    n_pairs: int | None = None
    n_usable_pairs: int | None = None
    n_prompts: int | None = None
    prompt_columns: tuple[str, ...] = ()
    columns_not_read: tuple[str, ...] = ()
    columns_as_json: tuple[str, ...] = ()
    first_unreadable: str | None = None
    problems: dict[str, ProblemCount] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain, JSON-serializable values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        form = f" ({self.form})" if self.form else ""
        yield f"{self.source or 'pairs'}: format {self.format or 'unknown'}{form}"
        if len(self.prompt_columns) > 1:
            yield f"  the prompt is made of the columns {', '.join(self.prompt_columns)}"
        for columns, state in (
            (self.columns_not_read, "not read, but kept"),
            (self.columns_as_json, "stored as JSON text, because no one type holds the values"),
        ):
            if columns:
                several = len(columns) > 1
                yield f"  column{'s' * several} {', '.join(columns)} {'are' if several else 'is'} {state}"
        if self.n_pairs is None:
            yield "  a stream: counts are unknown until it is read; count with diagnose(pairs)"
            return
        rows = "" if self.n_rows is None else f"{self.n_rows:,} rows, "
        yield f"  {rows}{self.n_pairs:,} pairs ({self.n_usable_pairs:,} usable), {self.n_prompts:,} distinct prompts"
        for count, meaning in (
            (self.n_rows_without_pair, "rows made no pair: ties, no verdict, or fewer than two responses"),
            (self.n_tied_responses, "pairs of responses are tied"),
            (self.n_unjudged_responses, "responses have no verdict"),
        ):
            if count:
                yield f"  {count:,} {meaning}"
        for name, problem in (self.problems or {}).items():
            kept = "kept, not usable" if name in UNUSABLE else "kept"
            why = self.first_unreadable if name == "unreadable_row" and self.first_unreadable else PROBLEMS[name]
            yield f"  {name:<28}{problem.count:>8,}  first: {problem.first_pair_id}  ({why}; {kept})"
        if not self.problems:
            yield "  no problems found"


def diagnose(pairs: Dataset | IterableDataset) -> Diagnosis:
    """Count pairs, prompts and problems in one pass over a table or a stream.

    Args:
        pairs (`Dataset` or `IterableDataset`): A table of canonical pairs; a stream is read to its end.

    Returns:
        `Diagnosis`: The counts that pairs alone give: `n_pairs`, `n_usable_pairs`, `n_prompts` and `problems`.

    Raises:
        DataError: The table is not canonical, has an unknown problem, or lacks or repeats a `pair_id`.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from seal_datasets import load_pairs
    >>> rows = {"prompt": ["Hi", "Hi"], "chosen": ["Hello!", "Yes?"], "rejected": ["What?", "Yes?"]}
    >>> pairs, _ = load_pairs(Dataset.from_dict(rows))
    >>> diagnosis = diagnose(pairs)
    >>> diagnosis.n_pairs, diagnosis.n_prompts, diagnosis.problems
    (2, 1, {'identical_responses': ProblemCount(count=1, first_pair_id='1')})

    ```
    """
    needed = [schema.PAIR_ID, schema.PROMPT_ID, schema.PROBLEMS]
    if pairs.column_names is not None and not set(needed) <= set(pairs.column_names):
        raise DataError(f"the table lacks some of {needed}; it has {pairs.column_names}. Make it with load_pairs")
    counts: dict[str, ProblemCount] = {}
    n_unusable = 0
    ids: list[pa.Table] = []
    for batch in pairs.select_columns(needed).with_format("arrow").iter(batch_size=10_000):
        ids.append(batch.select(needed[:2]))
        faulty = batch.filter(pc.greater(pc.list_value_length(batch[schema.PROBLEMS]), 0))
        for pair_id, problems in zip(
            faulty[schema.PAIR_ID].to_pylist(), faulty[schema.PROBLEMS].to_pylist(), strict=True
        ):
            n_unusable += bool(UNUSABLE.intersection(problems))
            _count_problems(counts, problems, pair_id)
    if not ids:
        return Diagnosis(n_pairs=0, n_usable_pairs=0, n_prompts=0, problems={})
    known = pa.concat_tables(ids, promote_options="permissive")
    if known[schema.PAIR_ID].null_count:
        row = pc.index(pc.is_null(known[schema.PAIR_ID]), True).as_py()
        raise DataError(f"pair_id is null in row {row}; give every pair its own id")
    if pc.count_distinct(known[schema.PAIR_ID], mode="all").as_py() < len(known):
        repeated = _first_repeated(known[schema.PAIR_ID])
        raise DataError(f"pair_id {repeated!r} occurs more than once; give every pair its own id")
    n_prompts = pc.count_distinct(known[schema.PROMPT_ID]).as_py()
    release_memory()
    return Diagnosis(
        n_pairs=len(known),
        n_usable_pairs=len(known) - n_unusable,
        n_prompts=n_prompts,
        problems={name: counts[name] for name in PROBLEMS if name in counts},
    )


def _first_repeated(values: pa.ChunkedArray) -> object:
    """The value that is the first to occur again; there is one."""
    seen: set[object] = set()
    for value in itertools.chain.from_iterable(chunk.to_pylist() for chunk in values.chunks):
        if value in seen:
            return value
        seen.add(value)
    return None


def _count_problems(counts: dict[str, ProblemCount], problems: list[str], pair_id: str) -> None:
    for name in problems:
        if name not in PROBLEMS:
            raise DataError(f"pair {pair_id!r} has the problem {name!r}; known problems are {list(PROBLEMS)}")
        before = counts.get(name, ProblemCount(0, pair_id))
        counts[name] = ProblemCount(before.count + 1, before.first_pair_id)
