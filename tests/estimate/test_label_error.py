import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import (
    corrected_imprint,
    feature_imprint,
    implied_error_rate,
    label_error_curve,
    label_error_rates,
    simex_imprint,
)
from seal_datasets.estimate.synthetic import planted_pairs


def _draw(seed, n=3000, error=0.1, beta=(1.0,), differential=0.0):
    """Pairs whose true feature is shared within three of four pairs; labels are wrong at a rate that may go with noise."""
    rng = np.random.default_rng(seed)
    k = len(beta)
    shared, own = rng.random((n, k)) < 0.5, rng.random((2, n, k)) < 0.5
    same = rng.random((n, k)) < 0.5
    truth = np.concatenate([np.where(same, shared, each) for each in own]).astype(float)
    noise = rng.normal(size=2 * n)
    rewards = truth @ np.array(beta) + noise + np.tile(rng.normal(size=n), 2)
    wrong = rng.random(truth.shape) < error + differential * (noise > 0)[:, None]
    return rewards, np.where(wrong, 1 - truth, truth), truth, np.tile(np.arange(n), 2)


def _rows(fit, field):
    return np.array([getattr(row, field) for row in fit.imprint])


def test_rates_by_hand_and_their_intervals():
    found = label_error_rates([1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0])
    assert (found.sensitivity, found.specificity, found.n_with, found.n_without) == (2 / 3, 2 / 3, 3, 3)
    assert found.sensitivity_interval == pytest.approx(tuple(stats.binomtest(2, 3).proportion_ci(method="wilson")))
    none = label_error_rates([1, 0], [0, 0])
    assert math.isnan(none.sensitivity)
    assert none.specificity == 0.5
    with pytest.raises(DataError, match="labels must be true or false"):
        label_error_rates([2, 0], [1, 0])


@pytest.mark.parametrize(("error", "published"), [(0.05, 0.69), (0.10, 0.49), (0.20, 0.28)])
def test_prompt_effects_make_errors_worse_than_pooling(error, published):
    # Differences of truth are +-1 in a share d of pairs; wrong labels shrink them by 1 - 2e and add a variance of 2e(1 - e).
    rng = np.random.default_rng(0)
    n = 100_000
    shared = rng.random(n) < 0.5
    truth = np.concatenate([np.where(rng.random(n) < 0.79, shared, rng.random(n) < 0.5) for _ in range(2)]).astype(
        float
    )
    labels = np.where(rng.random(2 * n) < error, 1 - truth, truth)
    groups = np.tile(np.arange(n), 2)
    found = feature_imprint(truth + rng.normal(size=2 * n), labels[:, None], groups, ["a"]).imprint[0].coefficient
    discordant = np.mean(truth[:n] != truth[n:])
    expected = (1 - 2 * error) * discordant / (discordant * (1 - 2 * error) ** 2 + 2 * error * (1 - error))
    assert found == pytest.approx(expected, abs=0.02)
    assert found == pytest.approx(published, abs=0.08)


def test_gold_everywhere_is_the_imprint_of_gold_and_no_errors_is_the_naive_one():
    rewards, labels, truth, groups = _draw(1, beta=(1.0, -0.5))
    names = ["a", "b"]
    fit, reference = (
        corrected_imprint(rewards, labels, truth, groups, names),
        feature_imprint(rewards, truth, groups, names),
    )
    np.testing.assert_allclose(_rows(fit, "coefficient"), _rows(reference, "coefficient"), rtol=1e-8)
    np.testing.assert_allclose(_rows(fit, "std_error"), _rows(reference, "std_error"), rtol=1e-3)
    some = np.where((groups % 10 == 0)[:, None], labels, np.nan)
    same, naive = (
        corrected_imprint(rewards, labels, some, groups, names),
        feature_imprint(rewards, labels, groups, names),
    )
    np.testing.assert_allclose(_rows(same, "coefficient"), _rows(naive, "coefficient"), rtol=1e-8)
    np.testing.assert_allclose(_rows(same, "naive_coefficient"), _rows(naive, "coefficient"), rtol=1e-8)


def test_is_the_moment_correction_written_out_prompt_by_prompt():
    rewards, labels, truth, groups = _draw(2, n=300, beta=(1.0, -0.5))
    gold = np.where((groups < 60)[:, None], truth, np.nan)
    grams, crosses = [], []
    for prompt in range(300):
        rows = groups == prompt
        y = rewards[rows] - rewards[rows].mean()
        products = []
        for x in (labels[rows], truth[rows]):
            x = x - x.mean(axis=0)
            products.append((x.T @ x, x.T @ y))
        weight = 300 / 60 if prompt < 60 else 0.0
        grams.append(products[0][0] + weight * (products[1][0] - products[0][0]))
        crosses.append(products[0][1] + weight * (products[1][1] - products[0][1]))
    beta = np.linalg.solve(np.sum(grams, axis=0), np.sum(crosses, axis=0))
    scores = np.array([cross - gram @ beta for gram, cross in zip(grams, crosses, strict=True)])
    bread = np.linalg.inv(np.sum(grams, axis=0))
    errors = np.sqrt(np.diag(bread @ scores.T @ scores @ bread) * 300 / 299)
    fit = corrected_imprint(rewards, labels, gold, groups, ["a", "b"])
    np.testing.assert_allclose(_rows(fit, "coefficient"), beta, rtol=1e-9)
    np.testing.assert_allclose(_rows(fit, "std_error"), errors, rtol=1e-9)


@pytest.mark.parametrize("differential", [0.0, 0.15])
def test_corrected_intervals_cover_the_truth_where_naive_ones_never_do(differential):
    covered, naive = [], []
    for seed in range(200):
        rewards, labels, truth, groups = _draw(seed, n=600, beta=(1.0, -0.5), differential=differential)
        drawn = np.random.default_rng(seed + 10_000).random(600) < 0.3
        gold = np.where(drawn[groups][:, None], truth, np.nan)
        for row, beta in zip(
            corrected_imprint(rewards, labels, gold, groups, ["a", "b"]).imprint, (1.0, -0.5), strict=True
        ):
            covered.append(row.confidence_interval[0] <= beta <= row.confidence_interval[1])
        row = feature_imprint(rewards, labels, groups, ["a", "b"]).imprint[0]
        naive.append(row.confidence_interval[0] <= 1.0 <= row.confidence_interval[1])
    assert 0.91 <= np.mean(covered) <= 0.98
    assert np.mean(naive) < 0.1


def test_known_unequal_probabilities_of_gold_are_allowed_for():
    estimates = []
    for seed in range(100):
        rewards, labels, truth, groups = _draw(seed, n=600)
        gap = np.abs(rewards[:600] - rewards[600:])
        probability = np.where(gap > 1, 0.6, 0.2)
        drawn = np.random.default_rng(seed + 10_000).random(600) < probability
        gold = np.where(drawn[groups][:, None], truth, np.nan)
        fit = corrected_imprint(rewards, labels, gold, groups, ["a"], gold_probability=probability[groups])
        estimates.append(fit.imprint[0].coefficient)
    assert np.mean(estimates) == pytest.approx(1.0, abs=4 * np.std(estimates) / 10)


def test_partial_gold_is_counted_and_not_used():
    rewards, labels, truth, groups = _draw(3, n=50)
    gold = np.full_like(truth, np.nan)
    gold[:20] = truth[:20]
    gold[50:60] = truth[50:60]
    fit = corrected_imprint(rewards, labels, gold, groups, ["a"])
    assert (fit.n_prompts, fit.n_gold_prompts, fit.n_partial_prompts) == (50, 10, 10)
    with pytest.raises(DataError, match="no prompt with gold labels for every text"):
        corrected_imprint(rewards, labels, np.full_like(truth, np.nan), groups, ["a"])
    with pytest.raises(DataError, match=r"gold_probability row 0 is 0"):
        corrected_imprint(rewards, labels, truth, groups, ["a"], gold_probability=np.zeros(100))


def test_simex_takes_off_most_of_the_bias_and_nothing_where_labels_are_right():
    rewards, labels, truth, groups = _draw(4, n=20_000, error=0.05)
    rates = {"a": 0.95}
    row = simex_imprint(rewards, labels, groups, ["a"], sensitivity=rates, specificity=rates, n_replicates=10).imprint[
        0
    ]
    assert row.naive_coefficient < 0.85
    assert abs(row.coefficient - 1) < 0.35 * (1 - row.naive_coefficient)
    none = simex_imprint(
        rewards, truth, groups, ["a"], sensitivity={"a": 1.0}, specificity={"a": 1.0}, n_replicates=2
    ).imprint[0]
    reference = feature_imprint(rewards, truth, groups, ["a"]).imprint[0]
    assert none.coefficient == pytest.approx(reference.coefficient)
    assert none.std_error == pytest.approx(reference.std_error, rel=1e-3)
    with pytest.raises(DataError, match="add up to more than 1"):
        simex_imprint(rewards, labels, groups, ["a"], sensitivity={"a": 0.5}, specificity={"a": 0.5})


def test_the_curve_starts_at_the_imprint_and_finds_the_truth_at_the_true_rate():
    rewards, labels, _, groups = _draw(5, n=20_000, error=0.1, beta=(1.0, 0.0))
    curves = label_error_curve(rewards, labels, groups, ["a", "b"], rates=[0.0, 0.05, 0.1, 0.45])
    naive = feature_imprint(rewards, labels, groups, ["a", "b"]).imprint
    for curve, row in zip(curves, naive, strict=True):
        assert curve.coefficients[0] == pytest.approx(row.coefficient)
        assert curve.confidence_intervals[0] == pytest.approx(row.confidence_interval, rel=1e-3, abs=1e-4)
    assert curves[0].coefficients[2] == pytest.approx(1.0, abs=0.06)
    # At 45 % errors the labels' variance would be all error.
    assert math.isnan(curves[0].coefficients[3])
    assert curves[0].largest_rate == 0.1
    assert math.isnan(curves[0].sign_flips_at)
    assert curves[1].insignificant_at == 0.0
    with pytest.raises(DataError, match="rates must lie from 0 to below"):
        label_error_curve(rewards, labels, groups, ["a", "b"], rates=[0.5])


def test_an_imprint_that_only_a_confounded_label_shows_flips():
    # b is a noisy copy of a: were a's labels wrong at some rate, b's apparent credit would be a's.
    rng = np.random.default_rng(6)
    n = 20_000
    a = (rng.random(2 * n) < 0.5).astype(float)
    b = np.where(rng.random(2 * n) < 0.2, 1 - a, a)
    rewards = a - 0.05 * b + rng.normal(size=2 * n)
    labels = np.column_stack([np.where(rng.random(2 * n) < 0.15, 1 - a, a), b])
    curve = label_error_curve(rewards, labels, np.tile(np.arange(n), 2), ["a", "b"])[0]
    assert curve.coefficients[15] > curve.coefficients[0] > 0
    covered = [low <= 0.95 + 0.0 <= high for low, high in curve.confidence_intervals]
    assert any(covered[10:20])


def test_two_labelers_imply_the_rate_that_makes_simex_take_off_the_bias():
    pairs = planted_pairs(20_000, imprint={"a": 1.0}, label_error=0.05, seed=0)
    again = planted_pairs(20_000, imprint={"a": 1.0}, label_error=0.05, seed=0)
    assert (pairs.labels == again.labels).all()
    rng = np.random.default_rng(1)
    second = np.where(rng.random(40_000) < 0.05, 1 - pairs.features[:, 0], pairs.features[:, 0])
    rate, (low, high) = implied_error_rate(pairs.labels[:, 0], second)
    assert low < 0.05 < high
    assert rate == pytest.approx(0.05, abs=0.004)
    assert implied_error_rate([1, 0], [0, 1])[0] == 0.5
    assert implied_error_rate([1, 0], [1, 0])[0] == 0.0
    rates = {"a": 1 - rate}
    arguments = (pairs.rewards, pairs.labels, pairs.groups, ["a"])
    row = simex_imprint(*arguments, sensitivity=rates, specificity=rates, n_replicates=10).imprint[0]
    assert abs(row.coefficient - 1) < 0.4 * abs(row.naive_coefficient - 1)


def test_planted_options_do_what_they_say_and_leave_the_rest_of_the_draw():
    plain = planted_pairs(4000, imprint={"a": 1.0, "b": 0.0}, seed=3)
    wrong = planted_pairs(4000, imprint={"a": 1.0, "b": 0.0}, label_error=0.1, seed=3)
    assert (plain.labels == plain.features).all()
    assert (wrong.features == plain.features).all()
    assert (wrong.labels != wrong.features).mean() == pytest.approx(0.1, abs=0.01)
    alike = planted_pairs(4000, imprint={"a": 1.0, "b": 0.0}, correlation=0.9, seed=3)
    assert np.corrcoef(alike.features.T)[0, 1] > np.corrcoef(plain.features.T)[0, 1] + 0.3
    uneven = planted_pairs(4000, imprint={"a": 1.0}, pairs_per_prompt=(1, 8), seed=3)
    assert set(np.bincount(uneven.prompts)[:-1]) == set(range(1, 9))
    tied = planted_pairs(4000, imprint={"a": 1.0}, decimals=0, seed=3)
    assert (tied.chosen_rewards == tied.rejected_rewards).mean() > 0.1
    for bad in (
        {"correlation": 1.0},
        {"label_error": 0.5},
        {"pairs_per_prompt": (0, 3)},
        {"pairs_per_prompt": (1, 2), "n_prompts": 5},
    ):
        with pytest.raises(DataError, match=r"must lie from 0|is the fewest and the most"):
            planted_pairs(10, imprint={"a": 1.0}, seed=0, **bad)


@pytest.mark.parametrize("seed", range(6))
def test_a_feature_has_a_curve_beside_two_that_are_equal(seed):
    # Two equal columns leave an eigenvalue of 0 that rounding may put below 0.
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (60, 2)).astype(float)
    y, groups = x[:, 0] + rng.normal(size=60), np.arange(60) // 3
    alone = label_error_curve(y, x, groups, ["a", "b"], rates=[0.0, 0.05])[0]
    beside = label_error_curve(y, x[:, [0, 1, 1]], groups, ["a", "b", "c"], rates=[0.0, 0.05])
    assert beside[0].coefficients == pytest.approx(alone.coefficients)
    assert np.isnan(beside[1].coefficients).all()


def test_labels_that_say_all_leave_no_error():
    labels = np.tile([0.0, 1.0, 1.0, 0.0, 0.0], 12)
    groups = np.repeat(np.arange(12), 5)
    rows = corrected_imprint(0.1 * labels, labels[:, None], labels[:, None], groups, ["a"]).imprint
    assert (rows[0].coefficient, rows[0].status) == (pytest.approx(0.1), "no_residual_variation")
