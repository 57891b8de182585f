"""Coverage and false-positive rates of every interval and test on planted truth; writes docs/validation.md.

python benchmarks/validation.py            # 1,000 draws each, some minutes
python benchmarks/validation.py --draws 200 --out /tmp/validation.md
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import groups_and_items
import null_reports
import numpy as np
from scipy import stats
from scipy.special import expit
from tqdm import tqdm

from seal_datasets.estimate import (
    alignment_resistance,
    alignment_robustness,
    amplification,
    compare_estimates,
    congruent_accuracy,
    corrected_imprint,
    feature_imprint,
    imprint_trajectory,
    known_rates_imprint,
    labeler_agreement,
    labeler_stability,
    memorisation_gap,
    misalignment_drivers,
    rank_models,
    resistance_trajectory,
    reward_calibration,
    reward_shift,
    ruler_accuracy,
    shift_imprint,
    simex_imprint,
    spoiler_balance,
    standardised_imprint,
    treatment_effect,
)
from seal_datasets.estimate.standardised import Unit
from seal_datasets.estimate.synthetic import planted_pairs
from seal_datasets.version import __version__

# Result of a draw: whether its interval covers the truth, and whether its test rejects a true null.
Found = Iterator[tuple[bool | None, bool | None]]
ROOT = Path(__file__).parents[1]


def held(interval: tuple[float, float], truth: float) -> bool:
    """Whether an interval covers the truth; an undefined one does not."""
    return bool(interval[0] <= truth <= interval[1])


def prompts(rng: np.random.Generator, n: int) -> np.ndarray:
    """Prompt ids of n pairs, one to eight pairs a prompt."""
    return np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]


def texts(rng: np.random.Generator, groups: np.ndarray, correlation: float = 0.0) -> tuple[np.ndarray, ...]:
    """Rewards with imprint (1, 0), uneven noise and two texts a pair; features may be correlated."""
    both = np.concatenate([groups, groups])
    level = rng.normal(size=groups.max() + 1)[both]
    quality = rng.normal(size=(len(both), 1))
    latent = math.sqrt(correlation) * quality + math.sqrt(1 - correlation) * rng.normal(size=(len(both), 2))
    x = (latent + 0.3 * level[:, None] > 0).astype(float)
    # The effect of a feature differs between prompts, so errors are clustered.
    worth = 1 + rng.normal(size=groups.max() + 1)[both]
    y = level + worth * x[:, 0] + (1 + x[:, 1]) * rng.normal(size=len(both))
    return y, x, both


def imprint(n: int, errors: str = "crv1", correlation: float = 0.0) -> Callable[[np.random.Generator], Found]:
    """Eq. (1) with clusters of 1-8 pairs."""

    def draw(rng: np.random.Generator) -> Found:
        fit = feature_imprint(*texts(rng, prompts(rng, n), correlation), ["a", "b"], errors=errors, n_bootstrap=199)
        one, none = fit.imprint
        yield held(one.confidence_interval, 1.0), None
        yield held(none.confidence_interval, 0.0), none.p_value < 0.05

    return draw


def rare(n_discordant: int, errors: str = "cr2", estimator: str = "imprint") -> Callable[[np.random.Generator], Found]:
    """A feature that differs in a few of 1,000 prompts, beside two common ones; its truth is 0."""

    def draw(rng: np.random.Generator) -> Found:
        x = (rng.random((2, 1000, 3)) < 0.5).astype(float)
        x[:, :, 0] = 0.0
        x[0, rng.choice(1000, n_discordant, replace=False), 0] = 1.0
        both, names = np.vstack([x[0], x[1]]), ["rare", "b", "c"]
        if estimator == "imprint":
            row: Any = feature_imprint(
                rng.normal(size=2000), both, np.tile(np.arange(1000), 2), names, errors=errors
            ).imprint[0]
        elif estimator == "change":
            rewards = {"pre": rng.normal(size=2000), "post": rng.normal(size=2000)}
            row = imprint_trajectory(rewards, both, np.tile(np.arange(1000), 2), names, errors=errors)
            row = row.changes["post - pre"].imprint[0]
        elif estimator == "shift":
            row = shift_imprint(rng.normal(size=1000), *x, names, errors=errors).imprint[0]
        else:
            row = misalignment_drivers(rng.random(1000) < 0.5, *x, names, estimator="linear_probability").drivers[0]
        yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def joint(errors: str) -> Callable[[np.random.Generator], Found]:
    """The joint test of ten features in 40 prompts of two texts."""

    def draw(rng: np.random.Generator) -> Found:
        names = list("abcdefghij")
        x, y = (rng.random((80, 10)) < 0.4).astype(float), rng.normal(size=80)
        fit = feature_imprint(y, x, np.arange(80) // 2, names, errors=errors, blocks={"all": names})
        yield None, fit.blocks[0].p_value < 0.05

    return draw


def planted(**options: Any) -> Callable[[np.random.Generator], Found]:  # noqa: ANN401 - as planted_pairs
    """Eq. (1) on the package's own planted pairs."""

    def draw(rng: np.random.Generator) -> Found:
        pairs = planted_pairs(200, imprint={"a": 1.0, "b": 0.0}, seed=int(rng.integers(1 << 30)), **options)
        one, none = feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names).imprint
        yield held(one.confidence_interval, 1.0), None
        yield held(none.confidence_interval, 0.0), none.p_value < 0.05

    return draw


def ties(rng: np.random.Generator) -> Found:
    """Resistance where rewards are whole numbers: P(D <= 0) of a difference of two rounded normals."""
    pairs = planted_pairs(300, imprint={"none": 0.0}, prompt_effect=0.0, decimals=0, seed=int(rng.integers(1 << 30)))
    estimate = alignment_resistance(pairs.chosen_rewards, pairs.rejected_rewards)
    edges = np.arange(-12, 13)
    shares = stats.norm.cdf(edges + 0.5) - stats.norm.cdf(edges - 0.5)
    yield held(estimate.confidence_interval, (1 + float(shares @ shares)) / 2), None


def simultaneous(rng: np.random.Generator) -> Found:
    """All of ten intervals at once."""
    x = (rng.random((400, 10)) < 0.5).astype(float)
    fit = feature_imprint(rng.normal(size=400), x, np.arange(400) // 4, list("abcdefghij"))
    whole = all(held(row.simultaneous_interval, 0.0) for row in fit.imprint)
    yield whole, any(row.p_adjusted < 0.05 for row in fit.imprint)


def change(rng: np.random.Generator) -> Found:
    """The change between two models, and between any of three."""
    y, x, groups = texts(rng, prompts(rng, 200))
    later = y + x[:, 0] + rng.normal(size=len(y))
    trajectory = imprint_trajectory(
        {"pre": y, "mid": y + rng.normal(size=len(y)), "post": later}, x, groups, ["a", "b"]
    )
    moved, still = trajectory.changes["post - pre"].imprint
    yield held(moved.confidence_interval, 1.0), None
    yield held(still.confidence_interval, 0.0), still.p_value < 0.05
    yield None, trajectory.any_change[1].p_value < 0.05


def second(rng: np.random.Generator) -> Found:
    """Eq. (2)."""
    groups = prompts(rng, 300)
    x = (rng.random((2, 300, 1)) < 0.4).astype(float)
    angles = 10 * x[0, :, 0] + 5 * rng.normal(size=groups.max() + 1)[groups] + 10 * rng.normal(size=300)
    chosen, rejected = shift_imprint(angles, *x, ["a"], groups=groups).imprint
    yield held(chosen.confidence_interval, 10.0), None
    yield held(rejected.confidence_interval, 0.0), rejected.p_value < 0.05


def margins(rng: np.random.Generator) -> Found:
    """Mean change of the margin, clustered."""
    groups = prompts(rng, 300)
    level = rng.normal(size=groups.max() + 1)[groups]
    zero = np.zeros(300)
    estimate = reward_shift(zero + 1, zero, 1.5 + level + rng.normal(size=300), zero, groups=groups)
    yield held(estimate.margin.confidence_interval, 0.5), None


def resistance(rng: np.random.Generator) -> Found:
    """Clustered share, McNemar by prompt."""
    groups = prompts(rng, 400)
    level = rng.normal(size=(2, groups.max() + 1))[:, groups]
    post, pre = level + rng.normal(size=(2, 400))
    estimate = alignment_resistance(
        post, np.zeros(400), pre_chosen_rewards=pre, pre_rejected_rewards=np.zeros(400), groups=groups
    )
    assert estimate.change is not None
    yield held(estimate.confidence_interval, 0.5), estimate.change.p_value < 0.05


def shares(
    n_prompts: int, sizes: tuple[int, ...], share: float, within: float
) -> Callable[[np.random.Generator], Found]:
    """A share over prompts whose pairs go together (`within`: their correlation)."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        scale = (1 - within) / within
        misaligned = rng.random(len(groups)) < rng.beta(share * scale, (1 - share) * scale, n_prompts)[groups]
        estimate = alignment_resistance(1.0 - 2.0 * misaligned, np.zeros(len(groups)), groups=groups)
        yield held(estimate.confidence_interval, share), None

    return draw


def any_change(rng: np.random.Generator) -> Found:
    """Four models that are aligned equally often, in prompts of eight."""
    groups = np.repeat(np.arange(40), 8)
    models = {name: 2 * rng.normal(size=40)[groups] + rng.normal(size=320) for name in "abcd"}
    yield None, resistance_trajectory(models, groups=groups).any_change_p_value < 0.05


def ranked(n_prompts: int, shares: tuple[float, ...]) -> Callable[[np.random.Generator], Found]:
    """Ranks of models that are aligned with these probabilities, in prompts of two pairs; all intervals at once."""
    models = [str(i) for i in range(len(shares))]
    true = [(1 + sum(other > share for other in shares), sum(other >= share for other in shares)) for share in shares]

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), 2)
        common = 0.6 * rng.normal(size=n_prompts)[groups]
        margins = {
            name: common + 0.8 * rng.normal(size=len(groups)) + stats.norm.ppf(share)
            for name, share in zip(models, shares, strict=True)
        }
        rows = rank_models(margins, groups=groups).ranking
        yield (
            all(
                row.rank_interval[0] <= true[int(row.model)][0] and row.rank_interval[1] >= true[int(row.model)][1]
                for row in rows
            ),
            None,
        )

    return draw


def wilson(rng: np.random.Generator) -> Found:
    """Wilson and McNemar where pairs are independent."""
    post, pre = rng.normal(size=(2, 150)) + 1.0
    trajectory = resistance_trajectory({"pre": pre, "post": post})
    yield (
        held(trajectory.models["post"].confidence_interval, 0.15865525),
        trajectory.changes["post - pre"].p_value < 0.05,
    )


def binary(estimator: str, rare: bool = False) -> Callable[[np.random.Generator], Found]:
    """Eq. (3): log-odds of 1 (or none, in the linear model) on the chosen side, 0 on the other."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.arange(400) if rare else prompts(rng, 400)
        x = (rng.random((2, 400, 1)) < (0.02 if rare else 0.4)).astype(float)
        linear = 0.2 + 1.0 * x[0, :, 0]
        share = 1 / (1 + np.exp(-linear))
        # Pairs of a prompt share a random number half of the time; the probability of a pair stays the same.
        luck = np.where(rng.random(400) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(400))
        fit = misalignment_drivers(luck < share, *x, ["a"], groups=None if rare else groups, estimator=estimator)
        chosen, rejected = fit.drivers
        truth = 1.0 if estimator != "linear_probability" else 1 / (1 + math.exp(-1.2)) - 1 / (1 + math.exp(-0.2))
        yield held(chosen.confidence_interval, truth), None
        yield held(rejected.confidence_interval, 0.0), rejected.p_value < 0.05

    return draw


def robustness(rng: np.random.Generator) -> Found:
    """Eq. (4)."""
    groups = prompts(rng, 600)
    flips = rng.integers(-1, 2, (2, 600, 1))
    share = 1 / (1 + np.exp(1.0 - 1.0 * (flips[0, :, 0] > 0)))
    luck = np.where(rng.random(600) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(600))
    fit = alignment_robustness(np.ones(600), luck >= share, *flips, ["a"], groups=groups)
    yield held(fit.scores[0].confidence_interval, 1.0), None
    yield held(fit.scores[2].confidence_interval, 0.0), fit.scores[2].p_value < 0.05


def lost_alignment(among: str) -> Callable[[np.random.Generator], Found]:
    """Eq. (4) where flips are commoner among aligned pairs, which lose alignment as often with a flip as without."""

    def draw(rng: np.random.Generator) -> Found:
        before = rng.random(600) < 0.7
        flips = (rng.random((600, 1)) < np.where(before, 0.6, 0.2)[:, None]).astype(float)
        after = before & (rng.random(600) >= 0.2)
        score = alignment_robustness(before, after, flips, 0 * flips, ["a"], among=among).scores[0]
        yield None, score.p_value < 0.05

    return draw


def wrong_labels(
    method: str, *, n_gold: int = 200, prevalence: float = 0.5, differential: bool = False, uneven: bool = False
) -> Callable[[np.random.Generator], Found]:
    """Imprint 1 from labels of which 10 % are wrong, beside a feature with imprint 0 whose labels are right."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.tile(prompts(rng, 800) if uneven else np.arange(800), 2)
        truth, other = (rng.random((2, 1600)) < [[prevalence], [0.5]]).astype(float)
        noise = rng.normal(size=1600)
        rate = np.where(noise > 0, 0.2, 0.0) if differential else 0.1
        given = np.column_stack([np.where(rng.random(1600) < rate, 1 - truth, truth), other])
        y = truth + noise + rng.normal(size=groups.max() + 1)[groups]
        arguments, rates = (y, given, groups, ["a", "b"]), {"sensitivity": {"a": 0.9}, "specificity": {"a": 0.9}}
        rows: Any
        if method == "gold":
            gold = np.isin(groups, rng.choice(groups.max() + 1, n_gold, replace=False))[:, None]
            right = np.where(gold, np.column_stack([truth, other]), np.nan)
            rows = corrected_imprint(y, given, right, groups, ["a", "b"]).imprint
        elif method == "rates":
            rows = known_rates_imprint(*arguments, **rates).imprint
        elif method == "MC-SIMEX":
            rows = simex_imprint(*arguments, **rates, n_replicates=10, seed=int(rng.integers(1 << 30))).imprint
        else:
            rows = feature_imprint(*arguments).imprint
        if rows[0].status != "ok":
            yield None, None
        else:
            yield held(rows[0].confidence_interval, 1.0), rows[1].p_value < 0.05

    return draw


def agreement(rng: np.random.Generator) -> Found:
    """Rates and tests between regimes by prompt."""
    groups = prompts(rng, 400)
    aligned = rng.random(groups.max() + 1)[groups] < 0.5
    luck = np.where(rng.random(400) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(400))
    chosen = (luck < 0.6).astype(float)[:, None]
    estimate = labeler_agreement(chosen, 1 - chosen, ["harmless"], aligned=aligned, groups=groups)
    yield held(estimate.overall.confidence_interval, 0.6), estimate.tests[0].p_value < 0.05


def stability(rng: np.random.Generator) -> Found:
    """Cohen's kappa, bootstrap by prompt: agreement 0.8 at even classes is a kappa of 0.6."""
    groups = prompts(rng, 400)
    first = rng.integers(0, 2, 400)
    luck = np.where(rng.random(400) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(400))
    estimate = labeler_stability(
        np.column_stack([first, np.where(luck < 0.8, first, 1 - first)]), ["a", "b"], groups=groups, n_bootstrap=300
    )
    yield held(estimate.pairs[0].kappa_interval, 0.6), None


def choices(
    rng: np.random.Generator,
    groups: np.ndarray,
    spoiler: float = 0.0,
    omitted: float = 1.5,
    differing: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Margins and differences of three features, oriented by the human choices, which share luck within a prompt.

    The margin is the human utility, with `omitted` of it outside the features, and `spoiler` for the first feature. With
    `differing`, the first feature differs in that many prompts.
    """
    n = len(groups)
    shared = rng.normal(size=(groups.max() + 1, 4))[groups]
    latent = 0.6 * shared + 0.8 * rng.normal(size=(n, 4))
    x = np.column_stack([(latent[:, :2] > 0) - (rng.random((n, 2)) < 0.5).astype(float), latent[:, 2]])
    if differing is not None:
        x[:, 0] = np.where(groups < differing, np.where(rng.random(n) < 0.5, 1.0, -1.0), 0.0)
    utility = 0.8 * x[:, 1] + 0.5 * x[:, 2] + omitted * latent[:, 3]
    luck = np.where(rng.random(n) < 0.4, rng.random(groups.max() + 1)[groups], rng.random(n))
    sign = np.where(luck < 1 / (1 + np.exp(-utility)), 1.0, -1.0)
    return sign * (utility + spoiler * x[:, 0]), sign[:, None] * x


def amplified(
    n: int, *, per_prompt: int | None = None, differing: int | None = None, calibration: str = "temperature"
) -> Callable[[np.random.Generator], Found]:
    """No amplification: the reward is three times the human utility (once without calibration), half of it outside."""

    def draw(rng: np.random.Generator) -> Found:
        groups = prompts(rng, n) if per_prompt is None else np.arange(n) // per_prompt
        margin, x = choices(rng, groups, differing=differing)
        scale = 1.0 if calibration == "none" else 3.0
        fit = amplification(
            scale * margin, 0 * margin, x, 0 * x, ["a", "b", "c"], groups=groups, calibration=calibration
        )
        for row in fit.features[: 1 if differing else 3]:
            if row.status == "ok":
                yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def spoiled(rng: np.random.Generator) -> Found:
    """Amplification 0.6 of the first feature, none of the others, uncalibrated, with no utility outside the features."""
    groups = prompts(rng, 1000)
    margin, x = choices(rng, groups, spoiler=0.6, omitted=0.0)
    fit = amplification(margin, 0 * margin, x, 0 * x, ["a", "b", "c"], groups=groups, calibration="none")
    for row, truth in zip(fit.features, (0.6, 0.0, 0.0), strict=True):
        yield held(row.confidence_interval, truth), row.p_value < 0.05 if truth == 0 else None


def score_test(rng: np.random.Generator) -> Found:
    """The regression of probability minus choice."""
    groups = prompts(rng, 300)
    margin, x = choices(rng, groups)
    for row in amplification(3 * margin, 0 * margin, x, 0 * x, ["a", "b", "c"], groups=groups).features:
        yield None, row.score_p_value < 0.05


def calibrated(n: int, temperature: float) -> Callable[[np.random.Generator], Found]:
    """Slope and its test, then expected calibration error and its test; margins of size 1.5."""
    size = np.abs(1.5 * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000))
    error = float(np.mean(1 / (1 + np.exp(-size)) - 1 / (1 + np.exp(-size / temperature))))

    def draw(rng: np.random.Generator) -> Found:
        groups = prompts(rng, n)
        margin = 1.5 * (0.7 * rng.normal(size=groups.max() + 1)[groups] + math.sqrt(0.51) * rng.normal(size=n))
        luck = np.where(rng.random(n) < 0.5, rng.random(groups.max() + 1)[groups], rng.random(n))
        margin = np.where(luck < 1 / (1 + np.exp(-margin / temperature)), margin, -margin)
        fit = reward_calibration(margin, 0 * margin, groups=groups)
        null = temperature == 1.0
        yield held(fit.slope_interval, 1 / temperature), fit.slope_p_value < 0.05 if null else None
        yield held(fit.calibration_error.interval, error), fit.calibration_error.p_value < 0.05 if null else None

    return draw


def gaps(differing: int | None = None) -> Callable[[np.random.Generator], Found]:
    """Accuracy where a feature that neither people nor the model care for is right and wrong."""

    def draw(rng: np.random.Generator) -> Found:
        groups = prompts(rng, 300)
        margin, x = choices(rng, groups, differing=differing)
        row = congruent_accuracy(margin, 0 * margin, x[:, :1], 0 * x[:, :1], ["a"], groups=groups).features[0]
        if row.status == "ok":
            yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def rulers(level: float) -> Callable[[np.random.Generator], Found]:
    """Model, and one of three rulers, right with the same probability: that ruler, and the best of the three."""

    def draw(rng: np.random.Generator) -> Found:
        groups = prompts(rng, 300)
        luck = np.where(rng.random((300, 4)) < 0.5, rng.random((groups.max() + 1, 4))[groups], rng.random((300, 4)))
        right = np.where(luck < [level, level, 0.5, 0.5], 1.0, -1.0)
        fit = ruler_accuracy(right[:, 0], np.zeros(300), right[:, 1:], 0 * right[:, 1:], ["a", "b", "c"], groups=groups)
        assert fit.best is not None
        yield held(fit.rulers[0].difference_interval, 0.0), fit.rulers[0].p_value < 0.05
        yield held(fit.best.difference_interval, 0.0), fit.best.p_value < 0.05

    return draw


def few(estimator: str, n_prompts: int) -> Callable[[np.random.Generator], Found]:
    """Prompts of eight pairs that share half of their noise; the truth of the first feature is 0."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), 8)
        n = len(groups)
        x = (rng.random((2, n, 2)) < 0.4).astype(float)
        worth = rng.normal(size=n_prompts)[groups]  # the effect of the first feature differs between prompts
        noise = rng.normal(size=(2, n)) + rng.normal(size=(2, n_prompts))[:, groups]
        if estimator == "imprint":
            rewards = np.concatenate([worth * x[side, :, 0] + x[side, :, 1] + noise[side] for side in (0, 1)])
            row: Any = feature_imprint(rewards, np.vstack([x[0], x[1]]), np.tile(groups, 2), ["a", "b"]).imprint[0]
        elif estimator == "shift":
            row = shift_imprint(worth * x[0, :, 0] + noise[0], *x, ["a", "b"], groups=groups).imprint[0]
        else:
            chosen = (rng.random(n) < np.where(rng.random(n) < 0.7, rng.random(n_prompts)[groups], 0.5)).astype(int)
            aligned = rng.random(n_prompts)[groups] < 0.5
            labels = chosen[:, None], 1 - chosen[:, None]
            tests = labeler_agreement(*labels, ["harmless"], aligned=aligned, groups=groups).tests
            yield from ((None, test.p_value < 0.05) for test in tests[1:] if not math.isnan(test.p_value))
            return
        if row.status == "ok":
            yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def across_targets(n_rare: int) -> Callable[[np.random.Generator], Found]:
    """A spoiler against a target that a few texts of 400 pairs have."""

    def draw(rng: np.random.Generator) -> Found:
        sides = (rng.random((2, 400, 2)) < 0.4).astype(float)
        sides[:, :, 1] = 0.0
        sides[0, rng.choice(400, n_rare, replace=False), 1] = 1.0
        fit = spoiler_balance(*sides, ["spoiler", "target"], targets=["target"], groups=np.arange(400))
        row = fit.across_targets[0]
        if row.status == "ok":
            yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def rescaled(
    n_prompts: int, per_prompt: int, differing: int | None = None, unit: Unit = "sd"
) -> Callable[[np.random.Generator], Found]:
    """Standardised change between two models with equal preferences, one in threefold points; imprints are 1 and 0.5.

    With `differing`, the first feature differs in that many prompts and its imprint is 0.
    """

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), per_prompt)
        n = len(groups)
        x = (rng.random((2, n, 2)) < 0.4).astype(float)
        worth = np.array([1.0, 0.5])
        if differing is not None:
            x[:, :, 0], worth[0] = 0.0, 0.0
            first = np.flatnonzero(np.isin(groups, rng.choice(n_prompts, differing, replace=False)))
            x[0, first, 0] = 1.0
        shared = rng.normal(size=(2, 2, n_prompts))[:, :, groups]
        own = 0.8 * rng.standard_t(6, (2, 2, n)) + 0.5 * shared
        rewards = [
            [scale * (side @ worth + noise) for side, noise in zip(x, own[m], strict=True)]
            for m, scale in enumerate((1, 3))
        ]
        swap = rng.random(n) > expit(sum(np.subtract(*model) / (3 if m else 1) for m, model in enumerate(rewards)) / 2)
        for first_side, second_side in ((x[0], x[1]), *rewards):
            first_side[swap], second_side[swap] = second_side[swap], first_side[swap].copy()
        chosen, rejected = ({"pre": rewards[0][side], "post": rewards[1][side]} for side in (0, 1))
        fit = standardised_imprint(chosen, rejected, x[0], x[1], ["a", "b"], groups=groups, unit=unit)
        row = fit.changes["post - pre"][0]
        if row.status == "ok":
            yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def remembered(n_train: int, n_heldout: int) -> Callable[[np.random.Generator], Found]:
    """The gap of two shares of clustered pairs, 90 % on pairs trained on and 70 % on held-out ones."""

    def draw(rng: np.random.Generator) -> Found:
        found = []
        for n, share in ((n_train, 0.9), (n_heldout, 0.7)):
            groups = np.repeat(np.arange(n), 4)
            level = rng.beta(3 * share, 3 * (1 - share), n)[groups]
            aligned = np.where(rng.random(4 * n) < level, 1.0, 0.0)
            fit = alignment_resistance(aligned, 1 - aligned, groups=groups)
            found += [fit.alignment_resistance, fit.confidence_interval]
        yield held(memorisation_gap(*found).confidence_interval, -0.2), None

    return draw


def drivers(
    n_prompts: int, sizes: tuple[int, ...], differing: int | None, aligned: float, estimator: str = "logit"
) -> Callable[[np.random.Generator], Found]:
    """Eq. (3) without drivers: pairs of a prompt share luck half of the time, and a feature is in a few prompts, or common.

    A row without a test is left out.
    """

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        n = len(groups)
        x = (rng.random((2, n, 2)) < 0.4).astype(float)
        if differing is not None:
            x[0, :, 0] = np.isin(groups, rng.choice(n_prompts, differing, replace=False))
        luck = np.where(rng.random(n) < 0.5, rng.random(n_prompts)[groups], rng.random(n))
        row = misalignment_drivers(luck < aligned, *x, ["a", "b"], groups=groups, estimator=estimator).drivers[0]
        if not math.isnan(row.p_value):
            yield held(row.confidence_interval, 0.0), row.p_value < 0.05

    return draw


def chance(n_prompts: int, sizes: tuple[int, ...]) -> Callable[[np.random.Generator], Found]:
    """Choices that no spoiler predicts: whether 0.5 lies in the interval of the accuracy."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        n = len(groups)
        level = (rng.random((n_prompts, 3)) < 0.5)[groups]
        sides = (rng.random((2, n, 3)) < np.where([level, level & False], 0.6, 0.4)).astype(float)
        turned = np.where(rng.random(n) < 0.5, rng.random(n_prompts)[groups], rng.random(n)) < 0.5
        sides[:, turned] = sides[::-1, turned]
        fit = spoiler_balance(*sides, ["a", "b", "c"], groups=groups, seed=int(rng.integers(1 << 30)))
        covered = held(fit.predictions[0].confidence_interval, 0.5)
        yield covered, not covered

    return draw


def rare_labels(n_prompts: int, sizes: tuple[int, ...], prevalence: float) -> Callable[[np.random.Generator], Found]:
    """Cohen's kappa of 0.6 at a prevalence; an interval that is withheld is left out."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        n = len(groups)

        def share(p: float) -> np.ndarray:
            return np.where(rng.random(n) < 0.5, rng.random(n_prompts)[groups], rng.random(n)) < p

        first = share(prevalence)
        both = np.column_stack([first, np.where(share(0.6), first, share(prevalence))]).astype(float)
        interval = labeler_stability(both, ["a", "b"], groups=groups, n_bootstrap=2).pairs[0].kappa_interval
        if not math.isnan(interval[0]):
            yield held(interval, 0.6), None

    return draw


def few_prompts(n_prompts: int, sizes: tuple[int, ...]) -> Callable[[np.random.Generator], Found]:
    """Mean change of the margin, and change of resistance, with few prompts."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), rng.choice(sizes, n_prompts))
        pre, post = rng.normal(size=(2, n_prompts))[:, groups] + rng.normal(size=(2, len(groups)))
        zero = np.zeros(len(groups))
        yield held(reward_shift(pre, zero, post, zero, groups=groups).margin.confidence_interval, 0.0), None
        change = resistance_trajectory({"pre": pre, "post": post}, groups=groups).changes["post - pre"]
        yield held(change.confidence_interval, 0.0), change.p_value < 0.05

    return draw


def effects(n_prompts: int, n_with: int) -> Callable[[np.random.Generator], Found]:
    """Effect 1 of an attribute by rewriting, and the difference of original rewards, which is 0; few texts have it."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(n_prompts), 8)
        has = np.isin(groups, rng.choice(n_prompts, n_with, replace=False))
        level, worth = rng.normal(size=(2, n_prompts))[:, groups]
        original, once, noise = level + rng.normal(size=(3, len(groups)))
        twice = once + np.where(has, 1, -1) * (1 + worth) + noise - level
        fit = treatment_effect(original, once, twice, has, groups=groups)
        by_name = {row.estimand: row for row in fit.effects}
        yield held(by_name["att"].interval, 1.0), by_name["naive"].p_value < 0.05

    return draw


def audits(n: int, spread: float) -> Callable[[np.random.Generator], Found]:
    """The mean of independent audits that truly differ by `spread` of an error, and one more of them."""

    def draw(rng: np.random.Generator) -> Found:
        errors = rng.uniform(0.5, 1.5, n)
        values = rng.normal(0.0, spread, n) + errors * rng.normal(size=n)
        found = compare_estimates([f"audit {i}" for i in range(n)], values, errors).random_effects
        yield held(found.confidence_interval, 0.0), not held(found.confidence_interval, 0.0)
        yield held(found.prediction_interval, rng.normal(0.0, spread)), None

    return draw


CASES: list[tuple[str, str, Callable[[np.random.Generator], Found]]] = [
    ("Eq. (1), clustered (CRV1)", "200 pairs, prompts of 1-8", imprint(200)),
    ("Eq. (1), clustered (CRV1)", "40 pairs, prompts of 1-8", imprint(40)),
    ("Eq. (1), CR2 and Satterthwaite", "40 pairs, prompts of 1-8", imprint(40, "cr2")),
    ("Eq. (1), CR2 and Satterthwaite", "200 pairs, prompts of 1-8", imprint(200, "cr2")),
    *(
        (f"Eq. (1), {name}", f"feature differs in {m} of 1,000 prompts", rare(m, errors))
        for errors, name in (("cr2", "CR2 and Satterthwaite"), ("crv1", "clustered (CRV1)"))
        for m in (2, 3, 5, 10, 20, 50)
    ),
    *(
        (f"{name}, CR2 and Satterthwaite", f"feature differs in {m} of 1,000 prompts", rare(m, "cr2", kind))
        for kind, name in (
            ("change", "change of imprint"),
            ("shift", "Eq. (2)"),
            ("lpm", "Eq. (3), linear probability"),
        )
        for m in ((2, 5, 20) if kind != "lpm" else (5, 20, 50))
    ),
    ("joint test of 10 features, AHT", "40 prompts of two texts", joint("cr2")),
    ("joint test of 10 features, F(q, G - 1)", "40 prompts of two texts", joint("crv1")),
    ("Eq. (1), wild cluster bootstrap", "40 pairs, prompts of 1-8", imprint(40, "wild")),
    ("Eq. (1), HC1 (ignores prompts)", "200 pairs, prompts of 1-8", imprint(200, "hc1")),
    ("Eq. (1), CR2, collinear", "200 pairs, latent correlation 0.9", imprint(200, "cr2", correlation=0.9)),
    ("Eq. (1), CR2, planted_pairs", "200 pairs, prompts of 1-8", planted(pairs_per_prompt=(1, 8))),
    ("Eq. (1), CR2, planted_pairs", "200 pairs, correlation 0.9", planted(correlation=0.9)),
    ("resistance, Wilson, ties", "300 pairs, rewards whole numbers", ties),
    ("Eq. (1), simultaneous; Bonferroni", "10 features at once", simultaneous),
    ("change of imprint; any change", "3 models, 200 pairs, prompts of 1-8", change),
    ("Eq. (2), CR2", "300 pairs, prompts of 1-8", second),
    ("mean margin shift, clustered", "300 pairs, prompts of 1-8", margins),
    ("resistance, clustered; change", "400 pairs, prompts of 1-8", resistance),
    ("resistance, Wilson; McNemar", "150 independent pairs", wilson),
    ("Eq. (3), logit, clustered", "400 pairs, prompts of 1-8", binary("logit")),
    ("Eq. (3), linear probability, CR2", "400 pairs, prompts of 1-8", binary("linear_probability")),
    ("Eq. (3), logit with Firth at separation", "400 pairs, features in 2 %", binary("logit", rare=True)),
    ("Eq. (3), Firth, profile intervals", "400 pairs, features in 2 %", binary("firth", rare=True)),
    ("Eq. (4), logit, clustered", "600 pairs, prompts of 1-8", robustness),
    ("Eq. (4), joint, all pairs", "600 pairs, flips commoner among aligned pairs", lost_alignment("all")),
    ("Eq. (4), conditional, aligned pairs", "600 pairs, flips commoner among aligned pairs", lost_alignment("aligned")),
    ("imprint, 10 % wrong labels, uncorrected", "feature in 50 % of 1,600 texts", wrong_labels("none")),
    *(
        (
            "imprint, wrong labels go with rewards, gold",
            f"feature in {100 * share:.0f} %, {n_gold} gold prompts{more}",
            each,
        )
        for uneven, more in ((False, ""), (True, " of 1-8 pairs"))
        for share in (0.3, 0.05)
        for n_gold in ((2, 3, 5, 10, 20, 50, 200) if not uneven else (5, 10, 20, 50, 120))
        for each in [wrong_labels("gold", n_gold=n_gold, prevalence=share, differential=True, uneven=uneven)]
    ),
    *(
        (
            f"imprint, 10 % wrong labels, {name}",
            f"feature in {100 * share:.0f} % of 1,600 texts",
            wrong_labels(method, prevalence=share),
        )
        for method, name in (("rates", "known rates"), ("MC-SIMEX", "MC-SIMEX"))
        for share in (0.5, 0.3, 0.05)
    ),
    ("labeler agreement; tests of regimes", "400 pairs, prompts of 1-8", agreement),
    ("Cohen's kappa, cluster bootstrap", "400 rows, prompts of 1-8", stability),
    ("amplification 0, temperature", "300 pairs, prompts of 1-8", amplified(300)),
    ("amplification 0, temperature", "40 prompts of 8 pairs", amplified(320, per_prompt=8)),
    ("amplification 0, temperature", "15 prompts of 8 pairs", amplified(120, per_prompt=8)),
    ("amplification 0, temperature", "8 prompts of 8 pairs", amplified(64, per_prompt=8)),
    ("amplification 0, temperature", "1,000 prompts of one pair", amplified(1000, per_prompt=1)),
    ("amplification 0, temperature", "400 pairs, feature differs in 2 prompts", amplified(400, differing=2)),
    ("amplification 0, temperature", "400 pairs, feature differs in 5 prompts", amplified(400, differing=5)),
    ("amplification 0, temperature", "400 pairs, feature differs in 10 prompts", amplified(400, differing=10)),
    ("amplification 0, temperature", "400 pairs, feature differs in 50 prompts", amplified(400, differing=50)),
    ("amplification 0, calibration curve", "300 pairs, prompts of 1-8", amplified(300, calibration="curve")),
    ("amplification 0, no calibration", "300 pairs, prompts of 1-8", amplified(300, calibration="none")),
    ("amplification 0.6 of a planted spoiler", "1,000 pairs, prompts of 1-8", spoiled),
    ("amplification 0, score test", "300 pairs, prompts of 1-8", score_test),
    ("accuracy gap of a feature, CR2", "300 pairs, prompts of 1-8", gaps()),
    ("accuracy gap of a feature, CR2", "300 pairs, feature differs in 10 prompts", gaps(10)),
    ("model against a ruler, and the best of 3", "300 pairs, all right in 50 %", rulers(0.5)),
    ("model against a ruler, and the best of 3", "300 pairs, two right in 65 %", rulers(0.65)),
    ("temperature 1; calibration error", "300 pairs, prompts of 1-8", calibrated(300, 1.0)),
    ("temperature 2; calibration error", "300 pairs, prompts of 1-8", calibrated(300, 2.0)),
    ("temperature 1.5; calibration error", "1,000 pairs, prompts of 1-8", calibrated(1000, 1.5)),
    ("resistance of 50 %, clustered", "10 prompts of 8, correlation 0.5", shares(10, (8,), 0.5, 0.5)),
    ("resistance of 10 %, clustered", "15 prompts of 8, correlation 0.5", shares(15, (8,), 0.1, 0.5)),
    ("resistance of 3 %, clustered", "40 prompts of 8, correlation 0.5", shares(40, (8,), 0.03, 0.5)),
    ("resistance of 50 %, clustered", "40 prompts of 1 or 8, correlation 0.9", shares(40, (1, 1, 1, 8), 0.5, 0.9)),
    ("any change of resistance, clustered", "4 models, 40 prompts of 8", any_change),
    ("rank intervals of all models at once", "3 equal models, 12 prompts of 2", ranked(12, (0.65,) * 3)),
    ("rank intervals of all models at once", "3 equal models, 100 prompts of 2", ranked(100, (0.65,) * 3)),
    ("rank intervals of all models at once", "5 equal models, 300 prompts of 2", ranked(300, (0.65,) * 5)),
    (
        "rank intervals of all models at once",
        "5 models 5 points apart, 300 prompts of 2",
        ranked(300, (0.5, 0.55, 0.6, 0.65, 0.7)),
    ),
    *(
        ("change of a standardised imprint", f"{n:,} prompts of {m} pair{'s' if m > 1 else ''}", rescaled(n, m))
        for n, m in ((8, 8), (15, 8), (40, 8), (40, 1), (1000, 1))
    ),
    *(
        ("change of a standardised imprint", f"feature differs in {m} of 1,000 prompts", rescaled(1000, 1, m))
        for m in (2, 5, 10, 50)
    ),
    ("change of an imprint in log-odds", "40 prompts of 8 pairs", rescaled(40, 8, unit="logit")),
    ("change of an imprint in log-odds", "1,000 prompts of 1 pair", rescaled(1000, 1, unit="logit")),
    ("memorisation gap of two shares", "200 and 50 prompts of 4 pairs", remembered(200, 50)),
    ("memorisation gap of two shares", "60 and 15 prompts of 4 pairs", remembered(60, 15)),
    *(
        (name, f"{n} prompts of 8 pairs", few(kind, n))
        for kind, name in (
            ("imprint", "Eq. (1), CR2, few prompts"),
            ("shift", "Eq. (2), CR2, few prompts"),
            ("agreement", "agreement of two regimes, CR2"),
        )
        for n in (8, 15, 40)
    ),
    *(("spoiler across a target, CR2", f"400 pairs, target in {n} texts", across_targets(n)) for n in (10, 50)),
    *null_reports.CASES,
    *(
        (
            f"Eq. (3), {name}",
            f"{'common feature' if m is None else f'feature in {m} prompts'}, {n} prompts of {most}, {100 * share:.0f} % right",
            drivers(n, sizes, m, share, kind),
        )
        for kind, name in (("logit", "logit, CR2 or Firth"), ("firth", "Firth over design effects"))
        for n, sizes, most, m, share in (
            (8, (8,), "8", None, 0.8),
            (15, (8,), "8", None, 0.8),
            (40, (8,), "8", 2, 0.8),
            (40, (8,), "8", 5, 0.8),
            (40, (8,), "8", 5, 0.95),
            (40, (8,), "8", 10, 0.95),
            (40, tuple(range(1, 9)), "1-8", None, 0.8),
            (40, tuple(range(1, 9)), "1-8", 10, 0.8),
            (1000, (1,), "1", 5, 0.95),
            (1000, (1,), "1", 50, 0.95),
        )
    ),
    *(
        ("spoilers that predict nothing: accuracy 50 %", f"{n} prompts of {most}", chance(n, sizes))
        for n, sizes, most in ((15, (8,), "8"), (40, tuple(range(1, 9)), "1-8"), (1000, (1,), "1"))
    ),
    *(
        (
            "Cohen's kappa of 0.6, rare labels",
            f"{n} prompts of {most}, prevalence {100 * p:.0f} %",
            rare_labels(n, sizes, p),
        )
        for n, sizes, most, p in (
            (15, (8,), "8", 0.5),
            (40, (8,), "8", 0.03),
            (90, tuple(range(1, 9)), "1-8", 0.03),
            (400, (1,), "1", 0.03),
        )
    ),
    *(
        ("mean margin shift; change of resistance, CR2", f"{n} prompts of {most}", few_prompts(n, sizes))
        for n, sizes, most in (
            (8, (8,), "8"),
            (15, (8,), "8"),
            (40, tuple(range(1, 9)), "1-8"),
            (40, (1, 1, 1, 8), "1 or 8"),
        )
    ),
    ("effect by rewriting; naive difference", "40 prompts of 8, 5 with the attribute", effects(40, 5)),
    ("effect by rewriting; naive difference", "40 prompts of 8, 20 with the attribute", effects(40, 20)),
    ("mean of audits, and one more", "3 audits, no spread", audits(3, 0.0)),
    ("mean of audits, and one more", "10 audits, spread of half an error", audits(10, 0.5)),
    ("mean of audits, and one more", "10 audits, spread of three errors", audits(10, 3.0)),
    *groups_and_items.CASES,
]


def main() -> None:
    """Draw the data, count coverage and rejections, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", help="rows whose estimator or data contain this text")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "validation.md")
    given = parser.parse_args()
    if given.only and given.out == parser.get_default("out"):
        parser.error(f"--only makes some of the rows, and {given.out} holds all: name another file with --out")
    rows = []
    for number, (name, setting, draw) in enumerate(tqdm(CASES, desc="Planted truths", unit="case")):
        if given.only and given.only not in f"{name}, {setting}":
            continue
        covered, rejected, missing = [], [], []
        for seed in range(given.draws):
            for interval, test in draw(np.random.default_rng([number, seed])):
                missing.append(interval is None and test is None)
                covered += [] if interval is None else [interval]
                rejected += [] if test is None else [test]
        withheld = f"; withheld in {100 * np.mean(missing):.3g} %" if any(missing) else ""
        rows.append((name, setting + withheld, _share(covered), _share(rejected)))
    lines = [
        "# Validation on planted truth",
        "",
        "Data are drawn with a stated truth. The table counts how often a 95 % interval covers it (coverage) and how often",
        "a 5 % test rejects a true null. Made by `python benchmarks/validation.py`",
        f"(seal_datasets {__version__}, {given.draws:,} draws a row; ± is one standard error).",
        "Some rows fall short on purpose: they show what an estimator does not allow for.",
        "",
        "| estimator | data | coverage of 95 % intervals | true nulls rejected |",
        "|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        _READING,
    ]
    given.out.write_text("\n".join(lines), encoding="utf-8")


_READING = """## How to read it

- Prompts of one to eight pairs make uneven clusters, and a rare feature rests on few prompts. CRV1 intervals are too narrow
  there; CR2 with Satterthwaite degrees of freedom, the default, holds. HC1 treats the texts of a prompt as independent.
- A linear probability of a feature in two pairs has few values, so its rows begin at five.
- Wrong labels bias an imprint towards zero, so an uncorrected interval rarely covers the truth. Gold labels of 20 prompts or
  more correct that, whatever the errors depend on; fewer give a status. Where the labels of a rare feature differ mostly by
  error, the status `no_variance_left` withholds many draws. Known error rates correct exactly, MC-SIMEX not.
- The outcome of Eq. (4) is joint: aligned before and not after. Where flips are commoner among aligned pairs it rejects though
  no flip costs alignment; among aligned pairs it does not.
- Where a rare feature separates the outcome, maximum likelihood has no finite estimate; Firth's profile interval does.
- Amplification and accuracy gaps take Satterthwaite's degrees of freedom, so a feature in few prompts is not called more often
  than it should be. In its rows the reward is the human utility, half of which lies outside the features.
- A whole report of noise claims something in at most 5 % of draws: its rows count reports, not tests.
- Logits refer to t by CR2. Separated rows, and Firth throughout, divide likelihood ratios by design effects: with few
  prompts they reject seldom. Rows and draws that are withheld with a status are left out.
- Shares of groups are tested with the variance of equal shares. By CR2 errors a small group that is all right has none: that
  test rejects 19 % of true nulls in the row of 90 % and correlation 0.3 (1,000 draws). A group of fewer than 10 prompts is
  described and not tested; where the smallest group has the largest prompts, the test rejects a little too often.
"""


def _share(outcomes: list[bool]) -> str:
    if not outcomes:
        return "–"
    share = float(np.mean(outcomes))
    return f"{100 * share:.1f} % ± {100 * math.sqrt(max(share * (1 - share), 1e-9) / len(outcomes)):.1f}"


if __name__ == "__main__":
    main()
