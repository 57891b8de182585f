"""Worlds of labels with differential errors and gold labels drawn with unequal probabilities, and what is estimated in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from seal_datasets import estimate

NAMES = ("polite", "long")


@dataclass(frozen=True, slots=True)
class World:
    """Features, labels, gold labels and rewards of both sides, and the probability of gold labels."""

    truth: NDArray[np.float64]
    labels: NDArray[np.float64]
    gold: NDArray[np.float64]
    rewards: NDArray[np.float64]
    probability: NDArray[np.float64]

    @property
    def wrong(self) -> float:
        """Share of wrong labels."""
        return float((self.labels != self.truth).mean())


def make_world(rng: np.random.Generator, n: int, share: float) -> World:
    """Draw a world of n pairs."""
    truth = (rng.random((2, n, 2)) < [0.4, 0.3]).astype(float)
    asked = truth @ np.array([1.0, 0.3])
    turned = rng.random(n) >= expit(asked[0] - asked[1])
    truth[:, turned] = truth[::-1][:, turned]
    rewards = truth @ np.array([1.5, 0.0]) + rng.normal(size=(2, n))
    likely = expit(-1.75 + 0.8 * (rewards - rewards.mean()) / rewards.std())
    labels = np.where(rng.random(truth.shape) < likely[:, :, None], 1 - truth, truth)
    probability = share * (0.4 + 1.2 * rng.random(n))
    drawn = rng.random(n) < probability
    return World(truth, labels, np.where(drawn[None, :, None], truth, np.nan), rewards, probability)


def naive(world: World, features: NDArray[np.float64]) -> dict[str, tuple[float, tuple[float, float]]]:
    """Estimates and intervals from features taken as true."""
    chosen, rejected = world.rewards
    found = {}
    imprint = estimate.standardised_imprint({"rm": chosen}, {"rm": rejected}, *features, NAMES)
    for row in imprint.models["rm"]:
        found[f"imprint in SD, {row.feature}"] = row.estimate, row.confidence_interval
    for row in estimate.amplification(chosen, rejected, *features, NAMES).features:
        found[f"amplification, {row.feature}"] = row.amplification, row.confidence_interval
    for driver in estimate.misalignment_drivers(chosen > rejected, *features, NAMES).drivers:
        found[f"driver, {driver.feature}, {driver.side}"] = driver.coefficient, driver.confidence_interval
    preference = estimate.labeler_preference(*features)
    n = int((preference != "indifferent").sum())
    rate = float((preference == "chosen").sum()) / n
    half = 1.96 * math.sqrt(rate * (1 - rate) / n)
    found["agreement"] = rate, (rate - half, rate + half)
    return found


def corrected(world: World) -> dict[str, tuple[str, tuple[float, float]]]:
    """Statuses and intervals of the corrected estimates."""
    (chosen, rejected), sides = world.rewards, (*world.labels, *world.gold)
    how = {"gold_probability": world.probability}
    units = estimate.corrected_units({"rm": chosen}, {"rm": rejected}, *sides, NAMES, **how)
    found = {f"imprint in SD, {row.feature}": (row.status, row.confidence_interval) for row in units["sd"].models["rm"]}
    for row in estimate.corrected_amplification(chosen, rejected, *sides, NAMES, **how).features:
        found[f"amplification, {row.feature}"] = row.status, row.confidence_interval
    for driver in estimate.corrected_drivers(chosen > rejected, *sides, NAMES, **how).drivers:
        found[f"driver, {driver.feature}, {driver.side}"] = driver.status, driver.confidence_interval
    rate = estimate.corrected_agreement(*sides, NAMES, **how).rates["all"]
    return found | {"agreement": (rate.status, rate.confidence_interval)}
