"""Count what a pairs table holds and what is wrong in it, so that nothing is lost without a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from datasets import Dataset, IterableDataset

from seal_datasets import schema
from seal_datasets.data.pairs import PROBLEMS, UNUSABLE
from seal_datasets.errors import DataError


@dataclass(frozen=True, slots=True)
class ProblemCount:
    """How many pairs have a problem, and the first that has it."""

    count: int
    first_pair_id: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was read and what became of it; `None` is "not known", as for a stream before it is read.

    Attributes:
        format (`str`, *optional*): The format that was read.
        source (`str`, *optional*): Where the rows came from.
        fingerprint (`str`, *optional*): `sha256:` of a local file, `hub:` and the commit, or `datasets:` and the fingerprint
            of a dataset object.
        n_rows (`int`, *optional*): Rows of the source.
        n_rows_without_pair (`int`, *optional*): Rows of more than one response that make no pair.
        n_tied_responses (`int`, *optional*): Pairs of responses that were judged equal, which make no pair.
        n_unjudged_responses (`int`, *optional*): Responses without a score, or in a row without a winner.
        n_pairs (`int`, *optional*): Rows of the pairs table.
        n_usable_pairs (`int`, *optional*): Pairs without a problem that keeps them out of within-prompt estimates.
        n_prompts (`int`, *optional*): Distinct prompts.
        problems (`dict[str, ProblemCount]`, *optional*): Only problems that occur, in the order of `PROBLEMS`.
    """

    format: str | None = None
    source: str | None = None
    fingerprint: str | None = None
    n_rows: int | None = None
    n_rows_without_pair: int | None = None
    n_tied_responses: int | None = None
    n_unjudged_responses: int | None = None
    n_pairs: int | None = None
    n_usable_pairs: int | None = None
    n_prompts: int | None = None
    problems: dict[str, ProblemCount] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.source or 'pairs'}: format {self.format or 'not known'}"
        if self.n_pairs is None:
            yield "  a stream: counts are not known until it is read; count with diagnose(pairs)"
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
        for name, found in (self.problems or {}).items():
            kept = "kept, not usable" if name in UNUSABLE else "kept"
            yield f"  {name:<24}{found.count:>8,}  first: {found.first_pair_id}  ({PROBLEMS[name]}; {kept})"
        if not self.problems:
            yield "  no problems found"


def diagnose(pairs: Dataset | IterableDataset) -> Diagnosis:
    """Count pairs, prompts and problems in one pass, so that a stream can be judged as well as a table.

    Args:
        pairs (`Dataset` or `IterableDataset`): A table of canonical pairs; a stream is read to its end.

    Returns:
        `Diagnosis`: What the pairs alone can tell: `n_pairs`, `n_usable_pairs`, `n_prompts` and `problems`.

    Raises:
        DataError: The table is not canonical, names an unknown problem, or has a `pair_id` twice.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from seal_datasets import load_pairs
    >>> rows = {"prompt": ["Hi", "Hi"], "chosen": ["Hello!", "Yes?"], "rejected": ["What?", "Yes?"]}
    >>> pairs, _ = load_pairs(Dataset.from_dict(rows))
    >>> found = diagnose(pairs)
    >>> found.n_pairs, found.n_prompts, found.problems
    (2, 1, {'identical_responses': ProblemCount(count=1, first_pair_id='1')})

    ```
    """
    needed = [schema.PAIR_ID, schema.PROMPT_ID, schema.PROBLEMS]
    if pairs.column_names is not None and not set(needed) <= set(pairs.column_names):
        raise DataError(f"the table lacks some of {needed}; it has {pairs.column_names}. Make it with load_pairs")
    pair_ids: set[str] = set()
    prompt_ids: set[str] = set()
    found: dict[str, ProblemCount] = {}
    n_usable = 0
    for batch in pairs.select_columns(needed).iter(batch_size=1000):
        for pair_id, prompt_id, problems in zip(*(batch[name] for name in needed), strict=True):
            if pair_id in pair_ids:
                raise DataError(f"pair_id {pair_id!r} occurs more than once; every pair needs an id of its own")
            pair_ids.add(pair_id)
            if prompt_id is not None:
                prompt_ids.add(prompt_id)
            n_usable += not UNUSABLE.intersection(problems)
            _count(found, problems, pair_id)
    ordered = {name: found[name] for name in PROBLEMS if name in found}
    return Diagnosis(n_pairs=len(pair_ids), n_usable_pairs=n_usable, n_prompts=len(prompt_ids), problems=ordered)


def _count(found: dict[str, ProblemCount], problems: list[str], pair_id: str) -> None:
    for name in problems:
        if name not in PROBLEMS:
            raise DataError(f"pair {pair_id!r} has the problem {name!r}; known are {list(PROBLEMS)}")
        before = found.get(name, ProblemCount(0, pair_id))
        found[name] = ProblemCount(before.count + 1, before.first_pair_id)
