import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import (
    corrected_imprint,
    feature_imprint,
    implied_error_rate,
    known_rates_imprint,
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
    grams, crosses, products_by_prompt = [], [], []
    for prompt in range(300):
        rows = groups == prompt
        y = rewards[rows] - rewards[rows].mean()
        products = []
        for x in (labels[rows], truth[rows]):
            x = x - x.mean(axis=0)
            products.append((x.T @ x, x.T @ y))
        products_by_prompt.append(products)
        weight = 300 / 60 if prompt < 60 else 0.0
        grams.append(products[0][0] + weight * (products[1][0] - products[0][0]))
        crosses.append(products[0][1] + weight * (products[1][1] - products[0][1]))
    beta = np.linalg.solve(np.sum(grams, axis=0), np.sum(crosses, axis=0))
    bread = np.linalg.inv(np.sum(grams, axis=0))
    # A prompt deviates from the mean of all prompts, and a gold prompt's correction from the mean correction.
    parts = np.array(
        [
            [cross - gram @ beta, (truth_cross - cross) - (truth_gram - gram) @ beta]
            for (gram, cross), (truth_gram, truth_cross) in products_by_prompt
        ]
    )
    own, corrections = parts[:, 0] - parts[:, 0].mean(axis=0), parts[:60, 1] - parts[:60, 1].mean(axis=0)
    scores = own + np.vstack([5 * corrections, np.zeros((240, 2))])
    # 60 gold prompts give 59 degrees of freedom.
    errors = np.sqrt(np.diag(bread @ scores.T @ scores @ bread) * 60 / 59)
    fit = corrected_imprint(rewards, labels, gold, groups, ["a", "b"])
    np.testing.assert_allclose(_rows(fit, "coefficient"), beta, rtol=1e-9)
    np.testing.assert_allclose(_rows(fit, "std_error"), errors, rtol=1e-9)
    assert _rows(fit, "degrees_of_freedom") == pytest.approx([59, 59])


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


def _gold_of(truth, groups, prompts):
    return np.where(np.isin(groups, prompts)[:, None], truth, np.nan)


@pytest.mark.parametrize("n_gold", [1, 2, 19])
def test_fewer_than_twenty_gold_prompts_give_no_number(n_gold):
    rewards, labels, truth, groups = _draw(7, n=300)
    fit = corrected_imprint(rewards, labels, _gold_of(truth, groups, np.arange(n_gold)), groups, ["a"])
    row = fit.imprint[0]
    assert row.status == "too_few_gold_prompts"
    assert np.isnan([row.coefficient, row.std_error, row.p_value, *row.confidence_interval]).all()
    assert f"{n_gold} gold prompts are too few" in fit.warnings[0]


@pytest.mark.parametrize(("n_gold", "prevalence"), [(20, 0.3), (20, 0.05), (50, 0.3), (50, 0.05), (200, 0.05)])
def test_few_gold_prompts_cover_the_truth_or_say_that_they_cannot(n_gold, prevalence):
    covered, n_shown = 0, 0
    for seed in range(100):
        rng = np.random.default_rng([seed, n_gold])
        groups = np.tile(np.arange(600), 2)
        truth, noise = (rng.random((1200, 1)) < prevalence).astype(float), rng.normal(size=1200)
        labels = np.where(rng.random(1200) < np.where(noise > 0, 0.2, 0.0), 1 - truth[:, 0], truth[:, 0])[:, None]
        gold = _gold_of(truth, groups, rng.choice(600, n_gold, replace=False))
        row = corrected_imprint(truth[:, 0] + noise, labels, gold, groups, ["a"]).imprint[0]
        if row.status == "ok":
            n_shown += 1
            covered += row.confidence_interval[0] <= 1 <= row.confidence_interval[1]
        else:
            assert row.status in ("no_variance_left", "gold_not_random")
            assert math.isnan(row.coefficient)
    # Four standard errors of a coverage of 0.95.
    assert covered / n_shown >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / n_shown)


def test_a_negative_corrected_variance_is_a_status():
    # Labels differ in 100 of 200 prompts; gold labels of 12 of these and of 8 others say that each difference is an error.
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(200), 2)
    labels = np.r_[np.tile([1.0, 0.0], 100), np.zeros(200)][:, None]
    gold = _gold_of(np.zeros((400, 1)), groups, np.r_[:12, 100:108])
    row = corrected_imprint(rng.normal(size=400), labels, gold, groups, ["a"]).imprint[0]
    # 50 - 200 / 20 * 12 / 2 = -10
    assert (row.status, math.isnan(row.coefficient)) == ("no_variance_left", True)


def test_the_interval_is_fiellers_of_the_ratio_of_two_sums():
    rewards, labels, _, groups = _draw(9, n=400)
    rates = {"sensitivity": {"a": 0.9}, "specificity": {"a": 0.9}}
    row = known_rates_imprint(rewards, labels, groups, ["a"], **rates).imprint[0]
    score = (labels[:, 0] - 0.1) / 0.8
    gaps, margins = score[:400] - score[400:], rewards[:400] - rewards[400:]
    # Half the product of differences is a prompt's sum; 0.09 / 0.64 is the variance of a score given the truth.
    tops, bottoms = gaps * margins / 2, gaps**2 / 2 - 0.09 / 0.64
    ratio = tops.sum() / bottoms.sum()
    n_effective = (gaps**2).sum() ** 2 / (gaps**4).sum()
    factor = n_effective / (n_effective - 1)
    reach = stats.t.ppf(0.975, n_effective - 1)
    deviations = np.array([tops - ratio * bottoms, bottoms])
    (own, cross), (_, square) = factor * deviations @ deviations.T / bottoms.sum() ** 2
    # (1 - g) d^2 + 2 g cross / square d - g own / square = 0 with g = reach^2 square.
    roots = np.sort(np.roots([1 - reach**2 * square, 2 * reach**2 * cross, -(reach**2) * own]))
    assert row.coefficient == pytest.approx(ratio)
    assert row.std_error == pytest.approx(math.sqrt(own))
    assert row.confidence_interval == pytest.approx(tuple(ratio + roots))


def test_gold_that_is_no_random_draw_is_found_and_a_random_one_is_not():
    rejected = []
    for seed in range(100):
        rewards, labels, truth, groups = _draw(seed, n=400)
        rng = np.random.default_rng(seed)
        random = _gold_of(truth, groups, rng.choice(400, 40, replace=False))
        rejected.append(corrected_imprint(rewards, labels, random, groups, ["a"]).balance_p_value < 0.05)
    assert np.mean(rejected) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 100)
    clear = np.argsort(-np.abs(rewards[:400] - rewards[400:]))[:40]
    fit = corrected_imprint(rewards, labels, _gold_of(truth, groups, clear), groups, ["a"])
    assert fit.balance_p_value < 1e-6
    assert (fit.imprint[0].status, math.isnan(fit.imprint[0].coefficient)) == ("gold_not_random", True)
    assert "gold prompts differ from the others" in fit.warnings[0]
    assert math.isnan(corrected_imprint(rewards, labels, truth, groups, ["a"]).balance_p_value)


def test_stated_probabilities_that_cannot_be_are_named():
    rewards, labels, truth, groups = _draw(10, n=400)
    gold = _gold_of(truth, groups, np.arange(0, 400, 10))

    def state(probability):
        return corrected_imprint(rewards, labels, gold, groups, ["a"], gold_probability=probability)

    assert state(np.full(800, 0.1)).imprint[0].status == "ok"
    uneven = np.full(800, 0.1)
    uneven[405] = 0.2
    with pytest.raises(DataError, match=r"gold_probability row 405 is 0.2, but row 5 of the same prompt has 0.1"):
        state(uneven)
    with pytest.raises(DataError, match=r"gold_probability adds up to 200.0 gold prompts, but gold_features has 40"):
        state(np.full(800, 0.5))
    with pytest.raises(DataError, match=r"gold_probability adds up to 4.0 gold prompts"):
        state(np.full(800, 0.01))
    certain = np.full(800, 0.1)
    certain[[3, 403]] = 1.0
    with pytest.raises(DataError, match=r"gold_probability row 3 is 1, but its prompt lacks gold labels"):
        state(certain)


def test_a_draw_that_goes_against_its_stated_probabilities_is_found():
    rewards, labels, truth, groups = _draw(16, n=600)
    likely = np.random.default_rng(0).random(600) < 0.5
    drawn = np.random.default_rng(1).random(600) < np.where(likely, 0.5, 0.1)
    gold = _gold_of(truth, groups, np.flatnonzero(drawn))
    for stated, status in (((0.5, 0.1), "ok"), ((0.1, 0.5), "gold_not_random")):
        probability = np.where(likely, *stated)[groups]
        fit = corrected_imprint(rewards, labels, gold, groups, ["a"], gold_probability=probability)
        assert fit.imprint[0].status == status


def test_partial_gold_is_said():
    rewards, labels, truth, groups = _draw(11, n=100)
    gold = _gold_of(truth, groups, np.arange(20))
    gold[30] = truth[30]
    fit = corrected_imprint(rewards, labels, gold, groups, ["a"])
    assert (fit.n_gold_prompts, fit.n_partial_prompts) == (20, 1)
    assert "1 prompts have gold labels for some texts or features only" in fit.warnings[0]


def test_known_rates_are_the_curve_where_both_are_equal_and_the_imprint_where_labels_are_right():
    rewards, labels, truth, groups = _draw(12, n=500, beta=(1.0, -0.5))
    curve = label_error_curve(rewards, labels, groups, ["a", "b"], rates=[0.1])[0]
    row = known_rates_imprint(rewards, labels, groups, ["a", "b"], sensitivity={"a": 0.9}, specificity={"a": 0.9})
    assert row.imprint[0].coefficient == pytest.approx(curve.coefficients[0])
    right = {"a": 1.0, "b": 1.0}
    fit = known_rates_imprint(rewards, truth, groups, ["a", "b"], sensitivity=right, specificity=right)
    reference = feature_imprint(rewards, truth, groups, ["a", "b"])
    np.testing.assert_allclose(_rows(fit, "coefficient"), _rows(reference, "coefficient"), rtol=1e-8)
    np.testing.assert_allclose(_rows(fit, "std_error"), _rows(reference, "std_error"), rtol=0.01)


@pytest.mark.parametrize(("prevalence", "hit", "passed"), [(0.05, 0.9, 0.9), (0.05, 0.7, 0.98), (0.3, 0.95, 0.8)])
def test_known_rates_recover_an_imprint_that_simex_loses(prevalence, hit, passed):
    rng = np.random.default_rng(13)
    truth = (rng.random(80_000) < prevalence).astype(float)
    labels = np.where(rng.random(80_000) < np.where(truth == 1, hit, 1 - passed), 1.0, 0.0)
    rewards, groups = truth + rng.normal(size=80_000), np.repeat(np.arange(20_000), 4)
    arguments = (rewards, labels[:, None], groups, ["a"])
    rates = {"sensitivity": {"a": hit}, "specificity": {"a": passed}}
    row = known_rates_imprint(*arguments, **rates).imprint[0]
    assert abs(row.coefficient - 1) < 4 * row.std_error < 0.4
    simulated = simex_imprint(*arguments, **rates, n_replicates=5)
    assert row.naive_coefficient < simulated.imprint[0].coefficient < row.coefficient
    if (prevalence, passed) == (0.05, 0.9):
        assert simulated.imprint[0].coefficient < 0.6
        assert "a: errors make up 7" in simulated.warnings[0]


def test_rates_under_which_all_variance_would_be_error_are_a_status():
    rewards, labels, _, groups = _draw(14, n=200)
    rates = {"sensitivity": {"a": 0.55}, "specificity": {"a": 0.55}}
    assert known_rates_imprint(rewards, labels, groups, ["a"], **rates).imprint[0].status == "no_variance_left"


def test_a_curve_that_starts_at_zero_does_not_flip():
    labels, groups = [[1], [0], [1], [0], [0], [1], [1], [0]], [1, 1, 2, 2, 3, 3, 4, 4]
    for rewards in ([1.0, 0, 0, 1, 0, 0, 0, 0], [0.0] * 8):
        curve = label_error_curve(rewards, labels, groups, ["polite"], rates=[0.0, 0.1])[0]
        assert curve.coefficients == (0.0, 0.0)
        assert math.isnan(curve.sign_flips_at)
        assert curve.insignificant_at == 0.0


def test_a_curve_of_a_feature_in_few_prompts_has_few_degrees_of_freedom():
    # Labels differ in 3 of 50 prompts: t(2) is 4.303.
    rng = np.random.default_rng(15)
    labels = np.zeros((100, 1))
    labels[[0, 2, 4]] = 1.0
    rewards, groups = rng.normal(size=100), np.repeat(np.arange(50), 2)
    curve = label_error_curve(rewards, labels, groups, ["a"], rates=[0.0])[0]
    gaps = (rewards[::2] - rewards[1::2])[:3]
    # Each gap's deviation from their mean, over 3; 50 prompts in the small-sample factor.
    error = math.sqrt(((gaps - gaps.mean()) ** 2).sum() / 9 * 50 / 49)
    low, high = curve.confidence_intervals[0]
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * error)


def test_the_order_of_rates_does_not_matter():
    rewards, labels, _, groups = _draw(17, n=100, beta=(0.2,))
    rates = [0.0, 0.05, 0.1, 0.15, 0.45]
    (rising,), (falling,) = (
        label_error_curve(rewards, labels, groups, ["a"], rates=each) for each in (rates, rates[::-1])
    )
    assert rising.insignificant_at == falling.insignificant_at == 0.0
    assert rising.largest_rate == falling.largest_rate == 0.15
