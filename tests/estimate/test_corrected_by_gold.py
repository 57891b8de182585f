"""Imprints, drivers, amplification and agreement corrected by gold labels: identities, dense formulas, planted truth."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from seal_datasets import estimate
from seal_datasets.errors import DataError
from tests.estimate.gold_world import NAMES, corrected, make_world, naive


@pytest.fixture(scope="module")
def world():
    return make_world(np.random.default_rng(5), 3000, 0.2)


def of(function, world, features, gold, **how):
    chosen, rejected = world.rewards
    if function == "units":
        return estimate.corrected_units({"rm": chosen}, {"rm": rejected}, *features, *gold, NAMES, **how)
    if function == "drivers":
        return estimate.corrected_drivers(chosen > rejected, *features, *gold, NAMES, **how).drivers
    if function == "amplification":
        return estimate.corrected_amplification(chosen, rejected, *features, *gold, NAMES, **how).features
    return estimate.corrected_agreement(*features, *gold, NAMES, **how).rates["all"]


@pytest.mark.parametrize("labels", ["labels", "truth"])
def test_with_gold_labels_everywhere_estimates_are_those_of_the_gold_labels(world, labels):
    given, truth = getattr(world, labels), world.truth
    chosen, rejected = world.rewards
    for unit in ("sd", "logit"):
        plain = estimate.standardised_imprint({"rm": chosen}, {"rm": rejected}, *truth, NAMES, unit=unit)
        found = of("units", world, given, truth)[unit]
        assert [row.coefficient for row in found.models["rm"]] == pytest.approx(
            [row.estimate for row in plain.models["rm"]], rel=1e-9
        )
        # CR2 and the correction differ by factors that vanish with the number of prompts.
        assert [row.std_error for row in found.models["rm"]] == pytest.approx(
            [row.std_error for row in plain.models["rm"]], rel=0.02
        )
    plain = estimate.misalignment_drivers(chosen > rejected, *truth, NAMES).drivers
    found = of("drivers", world, given, truth)
    assert [row.coefficient for row in found] == pytest.approx([row.coefficient for row in plain], rel=1e-6)
    assert [row.std_error for row in found] == pytest.approx([row.std_error for row in plain], rel=0.05)
    plain = estimate.amplification(chosen, rejected, *truth, NAMES).features
    found = of("amplification", world, given, truth)
    assert [row.amplification for row in found] == pytest.approx([row.amplification for row in plain], rel=1e-4)
    assert [row.std_error for row in found] == pytest.approx([row.std_error for row in plain], rel=0.02)
    plain = estimate.labeler_agreement(*truth, NAMES, aligned=chosen > rejected)
    assert of("agreement", world, given, truth).rate == pytest.approx(plain.overall.agreement_rate, rel=1e-9)


def test_labels_that_are_right_are_left_as_they_are(world):
    """Where labels equal gold labels, nothing is corrected, whatever was drawn."""
    chosen, rejected = world.rewards
    how = {"gold_probability": world.probability}
    plain = estimate.standardised_imprint({"rm": chosen}, {"rm": rejected}, *world.truth, NAMES).models["rm"]
    found = of("units", world, world.truth, world.gold, **how)["sd"].models["rm"]
    assert [row.coefficient for row in found] == pytest.approx([row.estimate for row in plain], rel=1e-9)
    assert [row.naive_coefficient for row in found] == pytest.approx([row.estimate for row in plain], rel=1e-9)
    rate = of("agreement", world, world.truth, world.gold, **how)
    assert rate.rate == pytest.approx(rate.naive_rate, rel=1e-9)


def test_a_change_is_the_difference_of_two_models(world):
    chosen, rejected = world.rewards
    rewards = {"pre": chosen - 1.5 * world.truth[0, :, 0], "post": chosen}, {"pre": rejected, "post": rejected}
    found = estimate.corrected_units(*rewards, *world.labels, *world.gold, NAMES, gold_probability=world.probability)
    for unit in ("points", "sd", "logit"):
        models, (change,) = found[unit].models, found[unit].changes.values()
        for i, row in enumerate(change):
            assert row.coefficient == pytest.approx(
                models["post"][i].coefficient - models["pre"][i].coefficient, nan_ok=True
            )
            assert row.naive_coefficient == pytest.approx(
                models["post"][i].naive_coefficient - models["pre"][i].naive_coefficient, nan_ok=True
            )
    same = estimate.corrected_units(
        {"a": chosen, "b": 3 * chosen}, {"a": rejected, "b": 3 * rejected}, *world.labels, *world.gold, NAMES
    )["sd"].changes["b - a"]
    assert [row.coefficient for row in same] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_corrected_logit_solves_the_published_equations():
    """Eq. 6 of Egami et al., coded densely: the score of labels plus R / p times the score's error has its root there."""
    rng = np.random.default_rng(2)
    world = make_world(rng, 800, 0.3)
    aligned = (world.rewards[0] > world.rewards[1]).astype(float)
    rows = estimate.corrected_drivers(
        aligned, *world.labels, *world.gold, NAMES, gold_probability=world.probability
    ).drivers
    is_gold = ~np.isnan(world.gold[0, :, 0])
    weights = is_gold / world.probability
    weights *= len(weights) / weights.sum()
    beta = np.array([row.coefficient for row in rows])
    designs = [np.hstack([sides[0], sides[1]]) for sides in (world.labels, world.truth)]

    def total(intercept):
        score = [design * (aligned - expit(intercept + design @ beta))[:, None] for design in designs]
        return ((1 - weights)[:, None] * score[0] + weights[:, None] * score[1]).sum(axis=0)

    grid = np.linspace(-3, 3, 60001)
    best = grid[np.argmin([abs(total(value)[0]) for value in grid[::200]]) * 200]
    near = np.linspace(best - 0.02, best + 0.02, 4001)
    assert min(float(np.abs(total(value)).max()) for value in near) < 0.05
    # With all labels right it is the logit of statsmodels.
    plain = sm.Logit(aligned, sm.add_constant(designs[1])).fit(disp=0)
    right = estimate.corrected_drivers(aligned, *world.truth, *world.gold, NAMES, gold_probability=world.probability)
    assert [row.coefficient for row in right.drivers] == pytest.approx(plain.params[1:], rel=1e-5)


def test_probabilities_may_be_known_for_gold_prompts_only(world):
    drawn = ~np.isnan(world.gold[0, :, 0])
    some = np.where(drawn, world.probability, np.nan)
    for function in ("units", "drivers", "amplification", "agreement"):
        whole = of(function, world, world.labels, world.gold, gold_probability=world.probability)
        part = of(function, world, world.labels, world.gold, gold_probability=some)
        if function == "units":
            assert part["sd"].models == whole["sd"].models
        else:
            assert part == whole
    one = of("units", world, world.labels, world.gold, gold_probability=np.where(drawn, 0.2, np.nan))
    assert one["sd"] == of("units", world, world.labels, world.gold, gold_probability=np.full(3000, 0.2))["sd"]


def test_a_draw_that_contradicts_its_probabilities_is_refused_or_withheld(world):
    drawn = ~np.isnan(world.gold[0, :, 0])
    with pytest.raises(DataError, match="gold prompts stand for"):
        of("units", world, world.labels, world.gold, gold_probability=np.where(drawn, world.probability / 3, np.nan))
    high = world.rewards[0] > np.quantile(world.rewards[0], 0.6)  # people labelled what was rewarded
    gold = np.where(high[None, :, None], world.truth, np.nan)
    rows = of("units", world, world.labels, gold)["sd"].models["rm"]
    assert {row.status for row in rows} == {"gold_not_random"}
    drivers = of("drivers", world, world.labels, gold)
    assert {row.status for row in drivers} <= {"gold_not_random", "ok"}
    few = np.where((np.arange(3000) < 12)[None, :, None], world.truth, np.nan)
    for function in ("drivers", "amplification"):
        assert {row.status for row in of(function, world, world.labels, few)} == {"too_few_gold_prompts"}
    rate = of("agreement", world, world.labels, few)
    assert (rate.status, math.isnan(rate.rate)) == ("too_few_gold_prompts", True)


def test_intervals_hold_where_naive_ones_do_not():
    rng = np.random.default_rng(11)
    big = make_world(rng, 400_000, 0.1)
    truth = {name: value for name, (value, _) in naive(big, big.truth).items()}
    covered, missed = {name: [] for name in truth}, {name: [] for name in truth}
    for _ in range(60):
        world = make_world(rng, 1500, 0.1)
        for name, (status, (low, high)) in corrected(world).items():
            if status == "ok":
                covered[name].append(low <= truth[name] <= high)
        for name, (_, (low, high)) in naive(world, world.labels).items():
            missed[name].append(low <= truth[name] <= high)
    assert all(len(hits) > 50 for hits in covered.values())
    assert min(np.mean(hits) for hits in covered.values()) >= 0.85
    assert np.mean([np.mean(hits) for hits in covered.values()]) == pytest.approx(0.95, abs=0.035)
    assert np.mean([np.mean(hits) for hits in missed.values()]) < 0.6


def test_a_reward_that_is_the_only_feature_has_no_error_of_its_amplification():
    rng = np.random.default_rng(3)
    x = np.where(rng.random(400) < 0.3, -1.0, 1.0)[:, None] * np.abs(rng.normal(size=(400, 1)))
    margin, zero = 3 * x[:, 0], np.zeros((400, 1))
    row = estimate.corrected_amplification(margin, zero[:, 0], x, zero, x, zero, ["long"]).features[0]
    assert (row.status, math.isnan(row.p_value)) == ("no_residual_variation", True)


def test_arguments_are_named_as_the_caller_knows_them():
    labels, other = [[1]] * 4, [[0]] * 4
    with pytest.raises(DataError, match="by row 2 is 'all', which names the rate over all pairs"):
        estimate.corrected_agreement(labels, other, labels, other, ["kind"], by=["a", "b", "all", "all"])
    with pytest.raises(DataError, match="chosen_labels has 4, groups has 3"):
        estimate.corrected_agreement(labels, other, labels, other, ["kind"], groups=[1, 2, 3])


@pytest.mark.parametrize("n_prompts", [30, 37])
def test_prompts_that_do_not_differ_leave_no_error(n_prompts):
    rng = np.random.default_rng(4)
    chosen, rejected = np.tile(rng.normal(0.5, 1, 6), n_prompts), np.tile(rng.normal(size=6), n_prompts)
    features = [np.tile(rng.integers(0, 2, (6, 1)), (n_prompts, 1)) for _ in range(2)]
    given, groups = (*features, *features, ["long"]), np.repeat(np.arange(n_prompts), 6)
    rows = [*estimate.amplification(chosen, rejected, *features, ["long"], groups=groups).features]
    assert math.isnan(rows[0].score_p_value)
    corrected = [*estimate.corrected_amplification(chosen, rejected, *given, groups=groups).features]
    for found in estimate.corrected_units({"rm": chosen}, {"rm": rejected}, *given, groups=groups).values():
        corrected += found.models["rm"]
    assert {row.status for row in corrected} == {"no_residual_variation"}
    assert all(math.isnan(row.p_value) for row in corrected)
