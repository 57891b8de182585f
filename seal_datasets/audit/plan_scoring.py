"""The steps of a plan that score: with each model, timed for a few seconds, and the doctor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.planned import PlannedStep, sample_rows
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.rewards.doctor.examine import DEFAULT_LIMIT
from seal_datasets.rewards.encoding import Encoded, Encoder
from seal_datasets.rewards.open import is_served, open_scorer, weights_are_local
from seal_datasets.rewards.score_store import stored_rewards
from seal_datasets.rewards.scorer import Scorer
from seal_datasets.rewards.speed import Speed, measure_scoring, weight_bytes

SAMPLE_PAIRS = 2000
"""Pairs whose texts are turned into tokens; those of a larger table are drawn at equal distances."""

_BYTES_PER_REWARD = 54  # measured on a store of 100,000 rewards
_DOCTOR_PASSES = 13  # measured on an encoder on a CPU


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scoring with one model will take.

    Attributes:
        step (`PlannedStep`): The row of the plan.
        seconds_per_text (`float`): Measured; nan if it was not.
        tokens_per_text (`float`): Mean; nan if it is not known.
    """

    step: PlannedStep
    seconds_per_text: float = math.nan
    tokens_per_text: float = math.nan


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Texts of a table as a model sees them.

    Attributes:
        by_pair (`list[list[Encoded]]`): Those with inputs, of the sampled pairs.
        n_sampled (`int`): Pairs in the sample.
        n_pairs (`int`): Pairs of the table.
    """

    by_pair: list[list[Encoded]]
    n_sampled: int
    n_pairs: int

    @property
    def lengths(self) -> dict[bytes, int]:
        """Tokens of each different text."""
        return {text.key: len(text.inputs["input_ids"]) for group in self.by_pair for text in group}

    def scaled(self, value: float) -> int:
        """A sum over the sample, for the whole table."""
        return round(value * self.n_pairs / max(1, self.n_sampled))

    @property
    def note(self) -> str:
        """What is said of a sample."""
        return of_sample(self.n_sampled, self.n_pairs)


def plan_scoring(name: str, text: str, pairs: Dataset, settings: AuditSettings, out: Path) -> Scoring:
    """Plan scoring with one model, which is opened if its weights are on this machine.

    Args:
        name (`str`): Short name of the model.
        text (`str`): The model, as for `open_scorer`.
        pairs (`Dataset`): Canonical pairs.
        settings (`AuditSettings`): How models are opened.
        out (`Path`): Folder of the report, with the rewards of earlier runs.

    Returns:
        `Scoring`: Texts, those stored, tokens and time.
    """
    opening = settings.models.opening(name) if name in settings.models.texts else {}
    if not weights_are_local(text, opening.get("options")):
        remote, missing = "a server computes it, and none is asked", "its weights are not here, and none are downloaded"
        why = remote if is_served(text) else missing
        return Scoring(unmeasured(f"score {name}", pairs, f"tokens, cached and time are not measured: {why}"))
    print_progress(f"Measuring: {name}")
    scorer = open_scorer(text, over_length=settings.over_length, **opening)
    texts = encode_texts(pairs, scorer)
    stored = set(stored_rewards(out / "rewards", scorer.identity_key(), list(texts.lengths)))
    left = [group for whole in texts.by_pair if (group := [each for each in whole if each.key not in stored])]
    again = settings.doctor or settings.rewrites is not None  # texts are scored that no store holds
    speed = measure_scoring(scorer, left or texts.by_pair if again else left)
    return scoring_with(name, texts, stored, weight_bytes(scorer), speed, scorer.notes)


def plan_doctor(n_pairs: int, scoring: Sequence[Scoring]) -> PlannedStep:
    """Plan a short examination of each model.

    Args:
        n_pairs (`int`): Pairs at hand.
        scoring (`Sequence[Scoring]`): Of each model.

    Returns:
        `PlannedStep`: The row of the plan.
    """
    pairs = min(DEFAULT_LIMIT, n_pairs)
    return PlannedStep(
        "doctor",
        pairs=pairs,
        texts=2 * pairs * len(scoring),
        seconds=sum(each.seconds_per_text for each in scoring) * 2 * pairs * _DOCTOR_PASSES,
        notes=(f"each text is scored in about {_DOCTOR_PASSES} ways; a rough estimate",),
    )


def scoring_with(
    name: str, texts: EncodedTexts, stored: set[bytes], size: int, speed: Speed, notes: tuple[str, ...]
) -> Scoring:
    """The plan of scoring encoded texts, of which some are stored, with weights of a size in bytes, at a measured speed."""
    lengths = texts.lengths
    left = {key: length for key, length in lengths.items() if key not in stored}
    tokens = texts.scaled(sum(left.values()))
    step = PlannedStep(
        f"score {name}",
        pairs=texts.n_pairs,
        texts=texts.scaled(len(lengths)),
        cached=texts.scaled(len(lengths) - len(left)),
        tokens=tokens,
        seconds=speed.seconds_for(tokens) if left else 0.0,
        memory=size,
        disk=texts.scaled(len(left)) * _BYTES_PER_REWARD,
        notes=(f"{texts.note}scored {speed}", *notes) if left else tuple(filter(None, (texts.note, *notes))),
    )
    mean = sum(lengths.values()) / max(1, len(lengths))
    return Scoring(step, speed.seconds_for(mean), mean)


def unmeasured(name: str, pairs: Dataset, why: str) -> PlannedStep:
    """The row of a model that does not run here."""
    return PlannedStep(
        name,
        pairs=len(pairs),
        texts=2 * len(pairs),
        cached=math.nan,
        tokens=math.nan,
        seconds=math.nan,
        memory=math.nan,
        disk=2 * len(pairs) * _BYTES_PER_REWARD,
        notes=(why,),
    )


def of_sample(n_sampled: int, n: int) -> str:
    """What is said of numbers that come from a sample; nothing where it is the whole table."""
    return f"counted on {n_sampled:,} of {n:,} pairs and scaled; " if n_sampled < n else ""


def encode_texts(pairs: Dataset, encoder: Encoder | Scorer) -> EncodedTexts:
    """Encode all texts, or those of a sample of pairs at equal distances."""
    rows = sample_rows(len(pairs), SAMPLE_PAIRS)
    texts: list[tuple[int, Exchange]] = []
    for index, row in enumerate(pairs.select(rows)):
        found = (exchange(row, side) for side in schema.SIDES)
        texts += [(index, text) for text in found if text is not None]
    groups: dict[int, list[Encoded]] = {}
    for (index, _), encoded in zip(texts, encoder.encode([text for _, text in texts]), strict=True):
        if encoded.inputs:
            groups.setdefault(index, []).append(encoded)
    return EncodedTexts(list(groups.values()), len(rows), len(pairs))
