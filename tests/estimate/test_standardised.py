"""Imprints and changes in units that do not depend on a model's scale."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from seal_datasets.errors import DataError
from seal_datasets.estimate import imprint_trajectory, standardised_imprint
from seal_datasets.estimate.choice_probability import choice_probability
from seal_datasets.estimate.confounding import robustness_value

NAMES = ["polite", "long"]


def world(n, seed, *, strength=1.0, rare=None, single=False):
    """Two models with the same standardised imprints, the second in threefold points; pairs of a prompt share noise."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) if single else np.repeat(np.arange(n), rng.integers(1, 5, n))[:n]
    chosen, rejected = (np.column_stack([rng.random(n) < 0.4, rng.normal(size=n)]).astype(float) for _ in range(2))
    if rare is not None:
        chosen[:, 0], rejected[:, 0] = np.arange(n) < rare, 0.0
        flip = rng.random(n) < 0.5
        chosen[flip, 0], rejected[flip, 0] = rejected[flip, 0], chosen[flip, 0]
    shared = rng.normal(size=(groups.max() + 1, 3))[groups]
    rewards = ({}, {})
    for model, scale in (("pre", 1.0), ("post", 3.0)):
        for side, x in enumerate((chosen, rejected)):
            noise = (rng.standard_t(6, n) + 0.5 * shared[:, side]) / math.sqrt(1.5 + 0.25)
            rewards[side][model] = scale * (strength * (x @ [0.8, 0.5]) + noise)
    # People choose by what both models reward.
    utility = sum(rewards[0][model] - rewards[1][model] for model in ("pre", "pre", "pre", "post"))
    swap = rng.random(n) > expit(utility / 3)
    for first, second in ((chosen, rejected), *((rewards[0][m], rewards[1][m]) for m in ("pre", "post"))):
        first[swap], second[swap] = second[swap], first[swap].copy()
    return rewards, (chosen, rejected), groups


def fit(rewards, features, groups, **options):
    return standardised_imprint(*rewards, *features, NAMES, groups=groups, **options)


def test_the_unit_is_the_spread_within_prompts_and_the_estimate_the_imprint_in_it():
    rewards, features, groups = world(120, 0)
    found = fit(rewards, features, groups)
    prompts = np.tile(groups, 2)
    trajectory = imprint_trajectory(
        {model: np.concatenate([side[model] for side in rewards]) for model in rewards[0]},
        np.vstack(features),
        prompts,
        NAMES,
    )
    for model in ("pre", "post"):
        values = pd.Series(np.concatenate([side[model] for side in rewards]))
        within = values - values.groupby(prompts).transform("mean")
        spread = math.sqrt((within**2).sum() / (len(values) - len(set(groups))))
        assert found.scales[model] == pytest.approx(spread)
        for row, points in zip(found.models[model], trajectory.models[model].imprint, strict=True):
            assert row.estimate == pytest.approx(points.coefficient / spread)
            assert row.degrees_of_freedom == pytest.approx(points.degrees_of_freedom)
            assert row.n_discordant == points.n_discordant
    changes = found.changes["post - pre"]
    for before, after, change in zip(found.models["pre"], found.models["post"], changes, strict=True):
        assert change.estimate == pytest.approx(after.estimate - before.estimate)


@pytest.mark.parametrize("unit", ["sd", "logit"])
def test_the_scale_of_a_model_does_not_matter(unit):
    rewards, features, groups = world(150, 1)
    one = fit(rewards, features, groups, unit=unit)
    larger = fit([{**side, "post": 50 * side["post"] + 7} for side in rewards], features, groups, unit=unit)
    for before, after in zip(one.changes["post - pre"], larger.changes["post - pre"], strict=True):
        for name in ("estimate", "std_error", "p_value", "robustness_value", "equivalence_bound"):
            assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6)


@pytest.mark.parametrize("unit", ["sd", "logit"])
def test_three_times_the_same_preferences_are_no_change_and_have_no_error(unit):
    rewards, features, groups = world(150, 2)
    tripled = [{"pre": side["pre"], "post": 3 * side["pre"]} for side in rewards]
    for row in fit(tripled, features, groups, unit=unit).changes["post - pre"]:
        assert (row.estimate, row.status) == (0.0, "no_residual_variation")
        assert math.isnan(row.p_value)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("unit", ["sd", "logit"])
def test_errors_are_those_of_the_jackknife_over_prompts(unit, single):
    rewards, features, groups = world(160, 3, single=single)
    whole = fit(rewards, features, groups, unit=unit)
    left_out = []
    for prompt in np.unique(groups):
        kept = groups != prompt
        part = fit(
            [{m: v[kept] for m, v in side.items()} for side in rewards],
            [x[kept] for x in features],
            groups[kept],
            unit=unit,
        )
        left_out.append([row.estimate for row in (*part.models["post"], *part.changes["post - pre"])])
    n = len(left_out)
    errors = np.sqrt((n - 1) / n * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    found = [row.std_error for row in (*whole.models["post"], *whole.changes["post - pre"])]
    # CR2 lies below the jackknife, by a few percent at 160 pairs.
    np.testing.assert_allclose(found, errors, rtol=0.05)


def test_robustness_is_the_published_formula_of_the_plain_regression():
    rewards, features, groups = world(100, 4, single=True)
    row = fit(rewards, features, groups).models["post"][0]
    y, x = rewards[0]["post"] - rewards[1]["post"], features[0] - features[1]
    coefficients, residual, *_ = np.linalg.lstsq(x, y, rcond=None)
    t2 = coefficients[0] ** 2 / (np.linalg.inv(x.T @ x)[0, 0] * residual[0] / (len(y) - 2))
    assert row.robustness_value == pytest.approx(float(robustness_value(np.array([t2 / (len(y) - 2)]))[0]))
    # A confounder with both partial R2 at the value moves the estimate by itself: |bias| = |estimate|.
    rv = row.robustness_value
    assert rv * math.sqrt(1 / (1 - rv)) == pytest.approx(math.sqrt(t2 / (len(y) - 2)))


def test_the_logit_unit_is_the_temperature_and_a_model_below_chance_has_none():
    rewards, features, groups = world(300, 5)
    reversed_model = [{**side, "pre": -side["pre"]} for side in rewards]
    found = fit(reversed_model, features, groups, unit="logit")
    choice = choice_probability(rewards[0]["post"] - rewards[1]["post"], "temperature")
    assert found.scales["post"] == pytest.approx(1 / choice.slopes[0])
    rows = (*found.models["pre"], *found.changes["post - pre"])
    assert {row.status for row in rows} == {"no_better_than_chance"}
    assert all(math.isnan(row.estimate) and math.isnan(row.p_value) for row in rows)


def test_rewards_that_never_differ_within_a_prompt_have_no_unit():
    rewards, features, groups = world(50, 6)
    flat = [{**side, "pre": np.ones(50)} for side in rewards]
    found = fit(flat, features, groups)
    assert {row.status for row in (*found.models["pre"], *found.changes["post - pre"])} == {"constant_rewards"}
    assert {row.status for row in found.models["post"]} == {"ok"}


def test_one_model_has_no_change_and_five_have_neighbours_and_the_whole_way():
    rewards, features, groups = world(80, 7)
    one = standardised_imprint({"a": rewards[0]["pre"]}, {"a": rewards[1]["pre"]}, *features, NAMES, groups=groups)
    assert one.changes == {}
    five = [{str(step): side["pre"] + step * side["post"] for step in range(5)} for side in rewards]
    assert list(fit(five, features, groups).changes) == ["1 - 0", "2 - 1", "3 - 2", "4 - 3", "4 - 0"]


@pytest.mark.parametrize(("strength", "rare"), [(0.0, None), (1.0, None), (0.0, 5)])
def test_equal_preferences_are_seldom_called_changed(strength, rare):
    rejected = []
    for seed in range(200):
        rewards, features, groups = world(120, seed, strength=strength, rare=rare)
        rejected.append([row.p_value < 0.05 for row in fit(rewards, features, groups).changes["post - pre"]])
    # 5 % and three Monte Carlo errors of 1.5 points.
    assert max(np.mean(rejected, axis=0)) < 0.097


def test_equivalence_is_two_one_sided_tests():
    rewards, features, groups = world(400, 8)
    row = fit(rewards, features, groups).changes["post - pre"][0]
    below, above = ((row.estimate + side * row.equivalence_bound) / row.std_error for side in (1, -1))
    p_values = stats.t.sf(below, row.degrees_of_freedom), stats.t.cdf(above, row.degrees_of_freedom)
    assert max(p_values) == pytest.approx(0.05)


def test_models_must_be_the_same_on_both_sides():
    rewards, features, groups = world(20, 9)
    with pytest.raises(DataError, match=r"must name the same models.*\['pre'\]"):
        fit([rewards[0], {"pre": rewards[1]["pre"]}], features, groups)
    with pytest.raises(DataError, match=r"rejected_rewards\['post'\] has 1 value.* row 3"):
        fit([rewards[0], {**rewards[1], "post": np.where(np.arange(20) == 3, np.nan, 1.0)}], features, groups)
    with pytest.raises(DataError, match="unit must be one of"):
        fit(rewards, features, groups, unit="points")


def test_robustness_of_an_almost_perfect_fit_is_one():
    # (sqrt(f^4 + 4 f^2) - f^2) / 2 is 1 - 1 / f^2 + ...; as a difference of floats it is 0 from f^2 = 1e17 on.
    np.testing.assert_allclose(robustness_value(np.array([1e6, 1e17, 1e40])), [1 - 1e-6, 1.0, 1.0], atol=1e-11)
    assert robustness_value(np.zeros(1))[0] == 0
