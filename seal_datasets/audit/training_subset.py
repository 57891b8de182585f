"""A subset of an audit's pairs to train on: doubtful pairs dropped or flagged, in the form TRL takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.data.dialogue import ASSISTANT_MARKER, HUMAN_MARKER
from seal_datasets.data.load import UNUSABLE
from seal_datasets.errors import DataError
from seal_datasets.labels.design import numbers
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze import unusable_pairs
from seal_datasets.report.files import PAIRS_FILE, REPORT_FILE, features_of, read_audit

Reason = Literal["resistant", "inconsistent", "mislabelled"]
Form = Literal["conversational", "standard"]

REASONS: dict[Reason, str] = {
    "resistant": "the post-training model does not give the chosen response the higher reward",
    "inconsistent": "preferences between the responses to its prompt go in a circle",
    "mislabelled": "by the targets' labels the rejected response is better in one and worse in none",
}
_COLUMNS: dict[Reason, str] = {
    "resistant": schema.RESISTANT,
    "inconsistent": schema.INCONSISTENT,
    "mislabelled": schema.MISLABELLED,
}
_MESSAGES = List({"role": Value("string"), "content": Value("string")})


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Pairs that a reason holds for, of those for which it can be told."""

    count: int
    n_judged: int


@dataclass(frozen=True, slots=True)
class Subset:
    """Pairs to train on, and what was left out.

    Attributes:
        table (`Dataset`): `pair_id`, `prompt`, `chosen`, `rejected`, and a column of true, false or null for each flag.
        n_pairs (`int`): Pairs of the audit.
        unusable (`dict[str, int]`): Pairs that cannot be trained on, by problem; they are always left out.
        counts (`dict[str, ReasonCount]`): By reason, over the usable pairs.
        dropped (`tuple[str, ...]`): Reasons for which pairs were dropped.
        n_dropped (`int`): Usable pairs dropped, each counted once.
    """

    table: Dataset
    n_pairs: int
    unusable: dict[str, int]
    counts: dict[Reason, ReasonCount]
    dropped: tuple[Reason, ...]
    n_dropped: int

    def lines(self) -> list[str]:
        """What was done, with counts and what they are out of."""
        n_usable = self.n_pairs - sum(self.unusable.values())
        found = [f"{self.n_pairs:,} pairs, {n_usable:,} of them usable"]
        found += [f"  left out: {count:,} {problem}" for problem, count in self.unusable.items()]
        for reason, each in self.counts.items():
            share = f" ({each.count / each.n_judged:.1%})" if each.n_judged else ""
            done = "dropped" if reason in self.dropped else "flagged"
            judged = f"{each.count:,} of {each.n_judged:,} judged{share}"
            found.append(f"  {reason}: {judged}, {n_usable - each.n_judged:,} not judged; {done} ({REASONS[reason]})")
        return [*found, f"{len(self.table):,} pairs written, {self.n_dropped:,} of {n_usable:,} dropped"]


def training_subset(
    folder: str | Path,
    *,
    drop: Sequence[Reason] = (),
    flag: Sequence[Reason] = (),
    form: Form = "conversational",
    tie_band: float | None = None,
) -> Subset:
    """Take the pairs of an audit that are worth training on.

    A pair that cannot be judged (a missing reward or label) is kept: nothing speaks against it. Human labels of all targets,
    where a pair has them, count instead of the labeler's.

    Args:
        folder (`str` or `Path`): A finished audit.
        drop (`Sequence[str]`): Of `REASONS`: those for which a pair is left out.
        flag (`Sequence[str]`): Those that become a column.
        form (`"conversational"` or `"standard"`, defaults to `"conversational"`): Messages, or text; the prompt is apart.
        tie_band (`float`, *optional*): As for `alignment_resistance`; the report's own when omitted.

    Returns:
        `Subset`: The pairs, in the order of the audit, and counts.

    Raises:
        DataError: The folder is no audit, a reason or form is unknown, or no pair is left.
    """
    reasons = list(dict.fromkeys([*drop, *flag]))
    if unknown := [each for each in reasons if each not in REASONS]:
        raise DataError(f"there is no reason {unknown[0]!r} to drop or flag a pair for; there are {list(REASONS)}")
    if not reasons:
        raise DataError(f"name what to drop or to flag: any of {list(REASONS)}")
    if form not in get_args(Form):
        raise DataError(f"form must be one of {list(get_args(Form))}, got {form!r}")
    folder = Path(folder)
    pairs, run = read_audit(folder)
    usable = ~unusable_pairs(pairs.select_columns([schema.PROBLEMS]).to_pandas())
    band = _tie_band(folder) if tie_band is None else tie_band
    kept = pairs.select(np.flatnonzero(usable))
    flags = {reason: _judged(kept, reason, features_of(run), band) for reason in reasons}
    out = np.zeros(len(kept), dtype=bool)
    for reason in drop:
        out |= np.array([value is True for value in flags[reason]], dtype=bool)
    if out.all():
        raise DataError(f"no pair of {folder / PAIRS_FILE} is left; drop for fewer reasons")
    counts = {
        reason: ReasonCount(sum(v is True for v in found), sum(v is not None for v in found))
        for reason, found in flags.items()
    }
    table = _for_training(kept, {reason: flags[reason] for reason in flag}, form).select(np.flatnonzero(~out))
    unusable = Counter(
        next(problem for problem in problems if problem in UNUSABLE)
        for problems, fine in zip(pairs[schema.PROBLEMS], usable, strict=True)
        if not fine
    )
    return Subset(table, len(pairs), dict(sorted(unusable.items())), counts, tuple(drop), int(out.sum()))


def _tie_band(folder: Path) -> float:
    try:
        return float(json.loads((folder / REPORT_FILE).read_text("utf-8"))["resistance"]["all"]["tie_band"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder / REPORT_FILE} does not tell its tie band ({error}); give tie_band") from error


def _judged(pairs: Dataset, reason: Reason, features: Sequence[Feature], tie_band: float) -> list[bool | None]:
    """Whether the reason holds for each pair, `None` where that cannot be told."""
    if reason == "resistant":
        rewards = [schema.reward_column("post", side) for side in schema.SIDES]
        if missing := [name for name in rewards if name not in pairs.column_names]:
            raise DataError(f"the pairs lack {', '.join(missing)}; give the folder of a finished `seal audit`")
        chosen, rejected = (pairs.select_columns([name]).to_pandas()[name].to_numpy(float) for name in rewards)
        known = np.asarray(np.isfinite(chosen) & np.isfinite(rejected), dtype=np.bool_)
        aligned = estimate.aligned_pairs(chosen[known], rejected[known], tie_band=tie_band)
        return _placed(known, np.asarray(~aligned, dtype=np.bool_))
    if reason == "inconsistent":
        columns = (pairs[name][:] for name in (schema.PROMPT_ID, schema.CHOSEN, schema.REJECTED))
        return _placed(np.ones(len(pairs), dtype=bool), estimate.inconsistent_pairs(*columns))
    return _mislabelled(pairs, features)


def _mislabelled(pairs: Dataset, features: Sequence[Feature]) -> list[bool | None]:
    targets = [each.name for each in features if each.role == "target"]
    if not targets:
        raise DataError(
            "the audit has no labels of target features, so that nothing says which choices are mislabelled"
        )
    sources = [schema.feature_column]
    gold = [schema.gold_column(name, side) for name in targets for side in schema.SIDES]
    if all(name in pairs.column_names for name in gold):
        sources.append(schema.gold_column)  # later ones count instead of earlier ones
    verdict: list[bool | None] = [None] * len(pairs)
    for column in sources:
        frame = pairs.select_columns([column(name, side) for name in targets for side in schema.SIDES]).to_pandas()
        chosen, rejected = (
            np.column_stack([numbers(frame[column(name, side)]) for name in targets]) for side in schema.SIDES
        )
        known = np.asarray(~np.isnan(np.hstack([chosen, rejected])).any(axis=1), dtype=np.bool_)
        if known.any():
            found = _placed(known, estimate.clearly_rejected(chosen[known], rejected[known]))
            verdict = [before if now is None else now for before, now in zip(verdict, found, strict=True)]
    return verdict


def _placed(known: NDArray[np.bool_], values: NDArray[np.bool_]) -> list[bool | None]:
    placed = pd.Series([None] * len(known), dtype=object)
    placed[known] = values.tolist()
    return placed.where(placed.notna(), None).tolist()


def _for_training(pairs: Dataset, flags: dict[Reason, list[bool | None]], form: Form) -> Dataset:
    columns: dict[str, list[Any]] = {name: [] for name in (schema.PAIR_ID, schema.PROMPT, *schema.SIDES)}
    needed = [schema.PAIR_ID, schema.PROMPT, schema.CONVERSATION, *schema.SIDES]
    for row in pairs.select_columns(needed):
        columns[schema.PAIR_ID].append(row[schema.PAIR_ID])
        is_dialogue = HUMAN_MARKER in row[schema.PROMPT]
        if form == "standard":
            columns[schema.PROMPT].append(row[schema.PROMPT] + (ASSISTANT_MARKER if is_dialogue else ""))
        else:
            columns[schema.PROMPT].append(row[schema.CONVERSATION])
        for side in schema.SIDES:
            text = row[side]
            content = text.removeprefix(" ") if is_dialogue else text  # the space after "Assistant:"
            columns[side].append(text if form == "standard" else [{"role": "assistant", "content": content}])
    kind = Value("string") if form == "standard" else _MESSAGES
    types = {schema.PAIR_ID: Value("string"), schema.PROMPT: kind, schema.CHOSEN: kind, schema.REJECTED: kind}
    for reason, values in flags.items():
        columns[_COLUMNS[reason]] = values
        types[_COLUMNS[reason]] = Value("bool")
    return Dataset.from_dict(columns, features=Features(types))
