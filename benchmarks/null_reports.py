"""Whole reports of nothing: how often a report claims anything where rewards and choices are noise.

Rows of `benchmarks/validation.py`, which writes them to docs/validation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.estimate import standardised_imprint
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze import analyze
from seal_datasets.report.analyze_part import MIN_INFORMATION
from seal_datasets.report.audited_models import PRE_AND_POST, AuditedModels, name_models
from seal_datasets.report.claims import LEVEL, add_claims
from seal_datasets.report.headline import headline

Found = Iterator[tuple[bool | None, bool | None]]

SHARES = {
    "harmless": 0.92,
    "helpful": 0.74,
    "honest": 0.95,
    "coherent": 0.84,
    "eloquent": 0.3,
    "sentiment": 0.17,
    "anthropomorphic": 0.045,
    "creative": 0.04,
    "refusal": 0.039,
    "discriminatory": 0.018,
    "manipulative": 0.01,
    "privacy": 0.009,
    "insult": 0.0075,
    "explicit": 0.005,
}
"""Share of texts with each feature, as in the labels published with the paper; the first two are targets."""

_FEATURES = [
    Feature(name, "target" if i < 2 else "spoiler", "response", "bool", "?", i + 1 if i < 2 else None, ())
    for i, name in enumerate(SHARES)
]
_SAID = (
    "The post-training model ",
    "After training the model ",
    "The model ",
    "Imprints, ",
    "Changes ",
    "Amplification, ",
)
_FIVE = name_models(["sft", "a", "b", "c", "d"])


def null_report(
    n: int, *, per_prompt: int = 8, heldout: float | None = None, models: AuditedModels = PRE_AND_POST
) -> Callable[[np.random.Generator], Found]:
    """A report of noise: texts and all models' rewards share what belongs to their prompt, and choices are tosses.

    Args:
        n (`int`): Pairs.
        per_prompt (`int`): Largest number of pairs of a prompt, from 1.
        heldout (`float`, *optional*): Share of prompts held out from training.
        models (`AuditedModels`, *optional*): The models; `pre` and `post` when omitted.

    Returns:
        `Callable`: Draws whether the report has a claim or its headline states one.
    """

    def draw(rng: np.random.Generator) -> Found:
        prompts = np.repeat(np.arange(n), rng.integers(1, per_prompt + 1, n))[:n]
        frame = pd.DataFrame({schema.PAIR_ID: [str(i) for i in range(n)], schema.PROMPT_ID: [f"p{p}" for p in prompts]})
        frame[schema.PROBLEMS] = [[] for _ in range(n)]
        shared = rng.random((prompts.max() + 1, len(SHARES)))[prompts]
        for side in schema.SIDES:
            own = rng.random((n, len(SHARES)))
            labels = np.where(rng.random((n, len(SHARES))) < 0.3, shared, own) < list(SHARES.values())
            for j, feature in enumerate(_FEATURES):
                frame[schema.feature_column(feature.name, side)] = labels[:, j]
            level = rng.normal(size=(prompts.max() + 1, max(2, len(models.names))))[prompts]
            noise = rng.standard_t(5, level.shape)
            for j, model in enumerate(models.names):
                frame[schema.reward_column(model, side)] = level[:, j] + noise[:, j] + 0.7 * noise[:, 0]
        if heldout is not None:
            frame[schema.PARTITION] = np.where(prompts < heldout * prompts.max(), "heldout", "train")
        run = {"labeler": None, "models": {name: {} for name in models.names}, "baseline": models.baseline}
        report = {"run": run, **analyze(Dataset.from_pandas(frame), _FEATURES, models)}
        add_claims(report, _FEATURES, models)
        yield None, bool(report["claims"]) or any(line.startswith(_SAID) for line in headline(report))

    return draw


def three_models(n: int) -> Callable[[np.random.Generator], Found]:
    """Standardised imprints of three models and all their changes, adjusted together, where rewards are noise."""

    def draw(rng: np.random.Generator) -> Found:
        prompts = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]
        chosen, rejected = (rng.random((2, n, len(SHARES))) < list(SHARES.values())).astype(float)
        level = rng.normal(size=(prompts.max() + 1, 3))[prompts]
        sides = [level + np.cumsum(rng.standard_t(5, (n, 3)), axis=1) for _ in range(2)]
        first, second = ({str(m): side[:, m] for m in range(3)} for side in sides)
        fit = standardised_imprint(
            first, second, chosen, rejected, list(SHARES), groups=prompts, min_information=MIN_INFORMATION
        )
        rows = [row for part in (fit.models, fit.changes) for rows in part.values() for row in rows]
        adjusted = adjust_p(np.array([row.p_value for row in rows]), "holm")
        yield None, bool(np.nanmin(adjusted) < LEVEL)

    return draw


CASES = [
    *(
        (f"a report's claims and headline, {len(SHARES)} features", setting, draw)
        for setting, draw in (
            ("noise, 1,000 pairs of 1,000 prompts", null_report(1000, per_prompt=1)),
            ("noise, 1,000 pairs, prompts of 1-8", null_report(1000)),
            ("noise, 3,000 pairs, prompts of 1-8", null_report(3000)),
            ("noise, 1,000 pairs, prompts of 1-8, 20 % held out", null_report(1000, heldout=0.2)),
            ("noise, 3,000 pairs, prompts of 1-8, 20 % held out", null_report(3000, heldout=0.2)),
            ("noise, one model, 1,000 pairs, prompts of 1-8", null_report(1000, models=name_models(["rm"]))),
            ("noise, five models, 1,000 pairs, prompts of 1-8", null_report(1000, models=_FIVE)),
        )
    ),
    *(
        ("imprints and changes of three models, Holm", f"noise, {n:,} pairs, prompts of 1-8", three_models(n))
        for n in (1000, 3000)
    ),
]
