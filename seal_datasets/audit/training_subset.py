"""A training subset of an audit's pairs in the format of TRL, with doubtful pairs dropped or flagged."""

from __future__ import annotations

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
from seal_datasets.data.dialogue import ASSISTANT_MARKER, has_turns
from seal_datasets.data.load import UNUSABLE
from seal_datasets.data.sources import open_source
from seal_datasets.data.texts import known_ids
from seal_datasets.errors import DataError
from seal_datasets.labels.design import numbers
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze import unusable_pairs
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import PAIRS_FILE, features_of, read_audit

Reason = Literal["resistant", "inconsistent", "mislabelled"]
Form = Literal["conversational", "standard"]

REASONS: dict[Reason, str] = {
    "resistant": "the model does not give the chosen response the higher reward",
    "inconsistent": "preferences between the responses to its prompt go in a circle",
    "mislabelled": "by the targets' labels the rejected response is better in one and worse in none",
}
_PARTS = {
    "heldout": "held out from training",
    "train": "trained on, whose rewards are partly memory: fewer look resistant than are",
    "unknown": "not known whether trained on; if so, rewards are partly memory and fewer look resistant than are",
}
_COLUMNS: dict[Reason, str] = {
    "resistant": schema.RESISTANT,
    "inconsistent": schema.INCONSISTENT,
    "mislabelled": schema.MISLABELLED,
}
# By the form of a row's source: what follows the prompt's text, and what stands before the response's. A dialogue's response
# begins with the space after "Assistant:"; the content of a message does not.
_AS_TEXT: dict[str, tuple[str, str]] = {
    "standard": ("", ""),
    "dialogue": (ASSISTANT_MARKER, ""),
    "conversational": (ASSISTANT_MARKER, " "),
    "conversational_implicit": (ASSISTANT_MARKER, " "),
}
_MESSAGES = List({"role": Value("string"), "content": Value("string")})


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Number of pairs that a reason applies to, and number of judged pairs."""

    count: int
    n_judged: int


@dataclass(frozen=True, slots=True)
class Subset:
    """Pairs to train on, and counts of excluded pairs.

    Attributes:
        table (`Dataset`): `pair_id`, `prompt`, `chosen`, `rejected`, and one column of true, false or null per flag.
        n_pairs (`int`): Pairs of the audit.
        unusable (`dict[str, int]`): Numbers of pairs that cannot be trained on, by problem; they are always excluded.
        counts (`dict[str, ReasonCount]`): By reason, over the usable pairs.
        dropped (`tuple[str, ...]`): Reasons for which pairs were dropped.
        n_dropped (`int`): Number of usable pairs dropped; a pair with several reasons counts once.
        resistant_by_part (`dict[str, ReasonCount]`): Resistant pairs among those held out from training (`heldout`), trained on
            (`train`), or of an audit that does not know (`unknown`).
    """

    table: Dataset
    n_pairs: int
    unusable: dict[str, int]
    counts: dict[Reason, ReasonCount]
    dropped: tuple[Reason, ...]
    n_dropped: int
    resistant_by_part: dict[str, ReasonCount]

    def lines(self) -> list[str]:
        """Lines that report the counts and their denominators."""
        n_usable = self.n_pairs - sum(self.unusable.values())
        lines = [f"{self.n_pairs:,} pairs, {n_usable:,} of them usable"]
        lines += [f"  unusable: {count:,} {problem}" for problem, count in self.unusable.items()]
        for reason, tally in self.counts.items():
            count, n_judged = tally.count, tally.n_judged
            share = f" ({count / n_judged:.1%})" if n_judged else ""
            done = "dropped" if reason in self.dropped else "flagged"
            judged = f"{count:,} of {n_judged:,} judged{share}"
            lines.append(f"  {reason}: {judged}, {n_usable - n_judged:,} not judged; {done} ({REASONS[reason]})")
            if reason == "resistant":
                lines += [
                    f"    {_PARTS[part]}: {found.count:,} of {found.n_judged:,} judged"
                    for part, found in self.resistant_by_part.items()
                ]
        return [*lines, f"{len(self.table):,} pairs written, {self.n_dropped:,} of {n_usable:,} dropped"]


def training_subset(
    folder: str | Path,
    *,
    drop: Sequence[Reason] = (),
    flag: Sequence[Reason] = (),
    form: Form = "conversational",
    tie_band: float | None = None,
    model: str | None = None,
    pairs: str | Path | None = None,
) -> Subset:
    """Select the pairs of an audit for training.

    A pair that cannot be judged, because a reward or label is missing, is kept. If a pair has human labels of all targets,
    they replace those of the labeler.

    Args:
        folder (`str` or `Path`): A finished audit.
        drop (`Sequence[str]`): Reasons to drop a pair, from `REASONS`.
        flag (`Sequence[str]`): Reasons to report in a column, from `REASONS`.
        form (`"conversational"` or `"standard"`, defaults to `"conversational"`): Messages or text; prompts are
            in their own column.
        tie_band (`float`, *optional*): As for `alignment_resistance`; the audit's own when omitted.
        model (`str`, *optional*): Short name of the model by which a pair is resistant; the last of the audit when omitted.
        pairs (`str` or `Path`, *optional*): A table with the column `pair_id`, such as the report's page exports; only its
            pairs are kept, and no reason is needed.

    Returns:
        `Subset`: The pairs, in the order of the audit, and counts.

    Raises:
        DataError: The folder does not hold an audit, a reason or form is unknown, or no pair is usable or left. A pair of the
            table is not in the audit.
    """
    reasons = list(dict.fromkeys([*drop, *flag]))
    if unknown := [reason for reason in reasons if reason not in REASONS]:
        raise DataError(f"there is no reason {unknown[0]!r} to drop or flag a pair for; there are {list(REASONS)}")
    if not reasons and pairs is None:
        raise DataError(f"no reason is given; give any of {list(REASONS)} to drop or to flag")
    if form not in get_args(Form):
        raise DataError(f"form must be one of {list(get_args(Form))}, got {form!r}")
    folder = Path(folder)
    table, run = read_audit(folder)
    if pairs is not None:
        table = _marked(table, pairs)
    usable = ~unusable_pairs(table.select_columns([schema.PROBLEMS]).to_pandas())
    models = models_of(run)
    if model is not None and model not in models.names:
        raise DataError(f"{folder} has no model {model!r}; its models are {', '.join(models.names)}")
    judge = _Judge(
        features_of(run), float(run.get("tie_band", 0.0)) if tie_band is None else tie_band, model or models.last
    )
    kept = table.select(np.flatnonzero(usable))
    if not len(kept):
        raise DataError(
            f"none of the {len(table):,} pairs can be trained on; see the problems in {folder / PAIRS_FILE}"
        )
    flags = {reason: judge.judge(kept, reason) for reason in reasons}
    dropped = np.zeros(len(kept), dtype=bool)
    for reason in drop:
        dropped |= np.array([value is True for value in flags[reason]], dtype=bool)
    if dropped.all():
        raise DataError(f"no pair of {folder / PAIRS_FILE} is left; give fewer reasons to drop")
    counts = {
        reason: ReasonCount(sum(value is True for value in values), sum(value is not None for value in values))
        for reason, values in flags.items()
    }
    written = _make_table(kept, {reason: flags[reason] for reason in flag}, form).select(np.flatnonzero(~dropped))
    unusable = Counter(
        next(problem for problem in problems if problem in UNUSABLE)
        for problems, fine in zip(table[schema.PROBLEMS], usable, strict=True)
        if not fine
    )
    by_part = _count_by_part(kept, flags["resistant"]) if "resistant" in flags else {}
    return Subset(written, len(table), dict(sorted(unusable.items())), counts, tuple(drop), int(dropped.sum()), by_part)


def _marked(table: Dataset, path: str | Path) -> Dataset:
    """The pairs of an audit that a table names."""
    given = open_source(Path(path)).rows
    if schema.PAIR_ID not in given.column_names:
        raise DataError(f"{path} has no column {schema.PAIR_ID!r}; it has {given.column_names}")
    ids = dict.fromkeys(str(pair_id) for pair_id in given[schema.PAIR_ID])
    wanted = known_ids(table, ids, of=str(path), where="the audit")
    return table.select([row for row, pair_id in enumerate(table[schema.PAIR_ID]) if pair_id in wanted])


def _count_by_part(pairs: Dataset, resistant: Sequence[bool | None]) -> dict[str, ReasonCount]:
    """Resistant pairs by what is known of their part in training."""
    known = pairs[schema.PARTITION][:] if schema.PARTITION in pairs.column_names else [None] * len(pairs)
    parts = pd.Series([part if part in ("heldout", "train") else "unknown" for part in known], dtype=object)
    judged = {part: [resistant[row] for row in rows] for part, rows in parts.groupby(parts, sort=True).indices.items()}
    return {str(part): ReasonCount(flags.count(True), len(flags) - flags.count(None)) for part, flags in judged.items()}


@dataclass(frozen=True, slots=True)
class _Judge:
    """What pairs are judged by.

    Attributes:
        features (`Sequence[Feature]`): The audit's features.
        tie_band (`float`): Rewards that differ by at most this are a tie.
        model (`str`): The model by which a pair is resistant.
    """

    features: Sequence[Feature]
    tie_band: float
    model: str

    def judge(self, pairs: Dataset, reason: Reason) -> list[bool | None]:
        """Whether the reason applies, by pair; `None` if that cannot be judged."""
        if reason == "resistant":
            return self._judge_rewards(pairs)
        if reason == "inconsistent":
            columns = (pairs[name][:] for name in (schema.PROMPT_ID, schema.CHOSEN, schema.REJECTED))
            return _fill_unknown(np.ones(len(pairs), dtype=bool), estimate.inconsistent_pairs(*columns))
        return _judge_labels(pairs, self.features)

    def _judge_rewards(self, pairs: Dataset) -> list[bool | None]:
        rewards = [schema.reward_column(self.model, side) for side in schema.SIDES]
        if missing := [name for name in rewards if name not in pairs.column_names]:
            raise DataError(f"the pairs lack {', '.join(missing)}; give the folder of a finished `seal audit`")
        chosen, rejected = (pairs.select_columns([name]).to_pandas()[name].to_numpy(float) for name in rewards)
        known = np.asarray(np.isfinite(chosen) & np.isfinite(rejected), dtype=np.bool_)
        aligned = estimate.aligned_pairs(chosen[known], rejected[known], tie_band=self.tie_band)
        return _fill_unknown(known, np.asarray(~aligned, dtype=np.bool_))


def _judge_labels(pairs: Dataset, features: Sequence[Feature]) -> list[bool | None]:
    targets = [feature.name for feature in features if feature.role == "target"]
    if not targets:
        raise DataError("the audit has no labels of target features, which are needed to find mislabelled pairs")
    sources = [schema.feature_column]
    gold = [schema.gold_column(name, side) for name in targets for side in schema.SIDES]
    if all(name in pairs.column_names for name in gold):
        sources.append(schema.gold_column)  # later sources replace earlier ones
    verdict: list[bool | None] = [None] * len(pairs)
    for column in sources:
        frame = pairs.select_columns([column(name, side) for name in targets for side in schema.SIDES]).to_pandas()
        chosen, rejected = (
            np.column_stack([numbers(frame[column(name, side)]) for name in targets]) for side in schema.SIDES
        )
        known = np.asarray(~np.isnan(np.hstack([chosen, rejected])).any(axis=1), dtype=np.bool_)
        if known.any():
            update = _fill_unknown(known, estimate.clearly_rejected(chosen[known], rejected[known]))
            verdict = [before if now is None else now for before, now in zip(verdict, update, strict=True)]
    return verdict


def _fill_unknown(known: NDArray[np.bool_], values: NDArray[np.bool_]) -> list[bool | None]:
    placed = pd.Series([None] * len(known), dtype=object)
    placed[known] = values.tolist()
    return placed.where(placed.notna(), None).tolist()


def _make_table(pairs: Dataset, flags: dict[Reason, list[bool | None]], form: Form) -> Dataset:
    columns: dict[str, list[Any]] = {name: [] for name in (schema.PAIR_ID, schema.PROMPT, *schema.SIDES)}
    needed = [schema.PAIR_ID, schema.PROMPT, schema.CONVERSATION, *schema.SIDES, schema.SOURCE_FORMAT]
    for row in pairs.select_columns([name for name in needed if name in pairs.column_names]):
        source = row.get(schema.SOURCE_FORMAT) or ("dialogue" if has_turns(row[schema.PROMPT]) else "standard")
        before, content_of = _AS_TEXT[source] if form == "standard" else ("", None)
        columns[schema.PAIR_ID].append(row[schema.PAIR_ID])
        columns[schema.PROMPT].append(row[schema.PROMPT] + before if form == "standard" else row[schema.CONVERSATION])
        after_marker = source == "dialogue" or (source == "standard" and row[schema.PROMPT].endswith(ASSISTANT_MARKER))
        for side in schema.SIDES:
            if content_of is not None:
                columns[side].append(content_of + row[side])
            else:
                content = row[side].removeprefix(" ") if after_marker else row[side]
                columns[side].append([{"role": "assistant", "content": content}])
    kind = Value("string") if form == "standard" else _MESSAGES
    types = {schema.PAIR_ID: Value("string"), schema.PROMPT: kind, schema.CHOSEN: kind, schema.REJECTED: kind}
    for reason, values in flags.items():
        columns[_COLUMNS[reason]] = values
        types[_COLUMNS[reason]] = Value("bool")
    return Dataset.from_dict(columns, features=Features(types))
