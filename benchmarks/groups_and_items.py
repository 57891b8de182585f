"""Groups, items with several responses and styles on planted truth: cases of validation.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import integrate, special, stats

from seal_datasets.estimate import TiesScore, best_of_n_accuracy, group_differences, style_matrix, ties_score

Found = Iterator[tuple[bool | None, bool | None]]


def equal_shares(
    n_prompts: tuple[int, ...], per_prompt: tuple[int, ...], share: float, within: float
) -> Callable[[np.random.Generator], Found]:
    """Groups of prompts with one share; pairs of a prompt go together (`within`: their correlation).

    `per_prompt` is the number of pairs of a prompt, one for each group, or choices for all.
    """

    def draw(rng: np.random.Generator) -> Found:
        by = np.repeat(np.arange(len(n_prompts)), n_prompts)
        by_group = len(per_prompt) == len(n_prompts)
        sizes = np.array(per_prompt)[by] if by_group else rng.choice(per_prompt, len(by))
        groups = np.repeat(np.arange(len(by)), sizes)
        scale = (1 - within) / within
        values = rng.random(len(groups)) < rng.beta(share * scale, (1 - share) * scale, len(by))[groups]
        found = group_differences(values, by[groups], groups=groups)
        for row in found.groups:
            low, high = row.confidence_interval
            yield low <= share <= high, None
        yield None, found.p_value < 0.05

    return draw


def equal_means(n_prompts: tuple[int, ...], spreads: tuple[float, ...]) -> Callable[[np.random.Generator], Found]:
    """Groups of prompts of one to eight pairs with one mean and a spread of their own."""

    def draw(rng: np.random.Generator) -> Found:
        by = np.repeat(np.arange(len(n_prompts)), n_prompts)
        groups = np.repeat(np.arange(len(by)), rng.integers(1, 9, len(by)))
        values = rng.normal(size=len(by))[groups] + rng.normal(size=len(groups))
        values = 1 + np.array(spreads)[by[groups]] * values
        found = group_differences(values, by[groups], groups=groups)
        for row in found.groups:
            low, high = row.confidence_interval
            yield low <= 1 <= high, None
        yield None, found.p_value < 0.05

    return draw


def crossed(share: float) -> Callable[[np.random.Generator], Found]:
    """Groups within prompts: the eight pairs of each of 40 prompts are of four groups."""

    def draw(rng: np.random.Generator) -> Found:
        groups = np.repeat(np.arange(40), 8)
        values = rng.normal(size=40)[groups] + rng.normal(size=320) < np.sqrt(2) * special.ndtri(share)
        found = group_differences(values, rng.integers(0, 4, 320), groups=groups)
        yield None, found.p_value < 0.05

    return draw


def best_of_four(n: int) -> Callable[[np.random.Generator], Found]:
    """Items of one correct and three wrong responses, two items a prompt, which share how much better the correct one is."""
    better = stats.norm(1, np.sqrt(2))
    truth = integrate.quad(lambda x: better.pdf(x) * special.ndtr(x) ** 3, -10, 12)[0]

    def draw(rng: np.random.Generator) -> Found:
        items, correct = np.repeat(np.arange(n), 4), np.tile([1.0, 0, 0, 0], n)
        rewards = rng.normal(size=4 * n) + correct * (1 + rng.normal(size=n)[items // 2])
        found = best_of_n_accuracy(rewards, correct, items, groups=items // 2)
        low, high = found.confidence_interval
        yield low <= truth <= high, None

    return draw


def ties(n: int) -> Callable[[np.random.Generator], Found]:
    """Prompts with a tied item of four correct and five wrong responses, and a reference item of one and five."""

    def score(rng: np.random.Generator, n: int) -> TiesScore:
        correct = np.tile([1.0] * 4 + [0.0] * 5 + [1.0] + [0.0] * 5, n)
        reference = np.tile([0] * 9 + [1] * 6, n)
        rewards = correct + 0.4 * rng.normal(size=15 * n)
        return ties_score(rewards, correct, np.repeat(np.arange(n), 15), reference)

    truth = score(np.random.default_rng(0), 200_000).score

    def draw(rng: np.random.Generator) -> Found:
        low, high = score(rng, n).confidence_interval
        yield low <= truth <= high, None

    return draw


def styles(n: int) -> Callable[[np.random.Generator], Found]:
    """Three styles of a correct and of a wrong response; each style is worth half a point, a correct answer one."""
    cells = {step: special.ndtr((1 + step / 2) / np.sqrt(2)) for step in (-2, -1, 1, 2)}
    truth = (2 * cells[1] + cells[2] - 2 * cells[-1] - cells[-2]) / 3

    def draw(rng: np.random.Generator) -> Found:
        rewards = rng.normal(size=(2, n, 3)) + np.arange(3) / 2
        chosen, rejected = np.repeat(rewards[0], 3, axis=1) + 1, np.tile(rewards[1], 3)
        names = np.array(["concise", "detailed", "markdown"])
        found = style_matrix(
            chosen.ravel(),
            rejected.ravel(),
            np.tile(np.repeat(names, 3), n),
            np.tile(names, 3 * n),
            names.tolist(),
            groups=np.repeat(np.arange(n), 9),
        )
        low, high = found.style_gap_interval
        yield low <= truth <= high, None
        low, high = found.hard.confidence_interval
        yield low <= (2 * cells[-1] + cells[-2]) / 3 <= high, None

    return draw


MIXED = (200, 50, 20, 10)
CASES: list[tuple[str, str, Callable[[np.random.Generator], Found]]] = [
    *(
        (
            "shares of groups; any difference",
            f"{sizes} prompts of {most}, correlation {within}, {100 * share:.0f} %",
            equal_shares(n_prompts, per_prompt, share, within),
        )
        for sizes, most, n_prompts, per_prompt, share, within in (
            ("6 x 30", "1-8", (30,) * 6, tuple(range(1, 9)), 0.7, 0.3),
            ("6 x 30", "1-8", (30,) * 6, tuple(range(1, 9)), 0.95, 0.3),
            ("6 x 10", "1-8", (10,) * 6, tuple(range(1, 9)), 0.7, 0.3),
            ("20 x 20", "1", (20,) * 20, (1,), 0.9, 0.3),
            ("200, 50, 20 and 10", "1-8", MIXED, tuple(range(1, 9)), 0.9, 0.3),
            ("200, 50, 20 and 10", "1-8", MIXED, tuple(range(1, 9)), 0.9, 0.8),
            ("200, 50, 20 and 10", "1, 3, 1 and 9", MIXED, (1, 3, 1, 9), 0.8, 0.6),
            ("200 and 20", "1 and 8", (200, 20), (1, 8), 0.7, 0.5),
        )
    ),
    ("shares of groups; any difference", "40 prompts of 8, groups within prompts, 70 %", crossed(0.7)),
    ("means of groups; any difference, AHT", "6 x 30 prompts of 1-8", equal_means((30,) * 6, (1.0,) * 6)),
    ("means of groups; any difference, AHT", "6 x 10 prompts of 1-8", equal_means((10,) * 6, (1.0,) * 6)),
    (
        "means of groups; any difference, AHT",
        "200, 50, 20 and 10 prompts of 1-8, spreads of 1 to 4",
        equal_means(MIXED, (1.0, 2.0, 3.0, 4.0)),
    ),
    ("best of four, clustered", "100 items of 50 prompts", best_of_four(100)),
    ("best of four, clustered", "20 items of 10 prompts", best_of_four(20)),
    ("Ties score", "50 prompts", ties(50)),
    ("Ties score", "15 prompts", ties(15)),
    ("accuracy by style: gap and hard pairs", "100 prompts", styles(100)),
    ("accuracy by style: gap and hard pairs", "15 prompts", styles(15)),
]
