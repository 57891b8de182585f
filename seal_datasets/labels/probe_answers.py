"""What the heads of a probe learn of a feature, how their probabilities become labels, and whether these are worth anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seal_datasets import estimate
from seal_datasets.labels.design import Floats
from seal_datasets.labels.probe_heads import Codes
from seal_datasets.labels.taxonomy import Feature

MIN_PROMPTS = 10
"""Fewest prompts with gold labels from which a head is trained."""

MIN_TEXTS = 5
"""Fewest gold texts of a second answer from which a head is trained."""


@dataclass(frozen=True, slots=True)
class ProbedFeature:
    """What a probe learned of one feature.

    Attributes:
        status (`str`): `ok`; `weak` (not better than always giving the commonest answer); `one_answer`; `too_few_gold`;
            `no_gold`.
        detail (`str`): The numbers behind the status, as a sentence.
        n_texts (`int`): Texts with a gold label.
        n_prompts (`int`): Their prompts.
        accuracy (`dict`): `LabelAccuracy` of labels of prompts that the head did not see, by feature, or by answer where a text
            may have several.
        worth (`dict`): `ProbabilityWorth` of the probabilities of the same texts.
        not_learned (`tuple[str, ...]`): Answers of a feature with several that are never given, since too few texts have them.
    """

    status: str
    detail: str
    n_texts: int
    n_prompts: int
    accuracy: dict[str, Any]
    worth: dict[str, Any]
    not_learned: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def targets_of(feature: Feature, values: Sequence[Any]) -> dict[str, tuple[Codes, int]]:
    """What the heads of a feature learn: by answer (empty where a text has one answer), codes from 0 and their number."""
    if feature.type == "labels":
        return {
            answer: (np.array([answer in value for value in values], dtype=np.int64), 2) for answer in feature.answers
        }
    if feature.type == "ordinal":
        codes = sorted(dict(feature.values).values())
        return {"": (np.searchsorted(codes, np.array(values, dtype=np.int64)), len(codes))}
    return {"": (np.array(values, dtype=np.int64), 2)}


def label_of(feature: Feature, found: Sequence[Floats | None]) -> Any:  # noqa: ANN401 - a label of any type
    """The label of a text, from the probabilities of each target of its feature; `None` where a target was not learned."""
    if feature.type == "labels":
        return [
            answer
            for answer, part in zip(feature.answers, found, strict=True)
            if part is not None and part[1] >= part[0]
        ]
    best = int(np.argmax(found[0])) if found[0] is not None else 0
    return bool(best) if feature.type == "bool" else sorted(dict(feature.values).values())[best]


def judge(
    accuracy: Mapping[str, estimate.LabelAccuracy],
    n_texts: int,
    n_prompts: int,
    targets: Mapping[str, tuple[Codes, int]],
) -> tuple[str, str]:
    """Status of a feature and its reason."""
    if not n_texts:
        return "no_gold", "no text has a gold label"
    if all(len(np.unique(codes)) < 2 for codes, _ in targets.values()):
        return "one_answer", f"all {n_texts:,} gold labels are the same"
    if not accuracy:
        return "too_few_gold", (
            f"{n_texts:,} gold texts of {n_prompts:,} prompts; needed are {MIN_PROMPTS} prompts, and {MIN_TEXTS} texts of a "
            "second answer"
        )
    best = max(accuracy.values(), key=lambda found: found.agreement - found.majority_share)
    shares = (
        f"{best.agreement:.1%} of gold texts; always giving the commonest answer is right in {best.majority_share:.1%}"
    )
    detail = f"right in {shares}"
    return ("ok" if best.agreement > best.majority_share else "weak"), detail
