import math

import numpy as np
import pytest
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate import (
    bias_reduced,
    feature_imprint,
    imprint_trajectory,
    misalignment_drivers,
    shift_imprint,
)
from seal_datasets.estimate.bias_reduced import BiasReduced, _eigen, joint_freedom
from seal_datasets.estimate.linear import solve, triangle
from tests.estimate.cr2_by_definition import cr2_by_definition, freedom_by_definition, joint_by_definition


def _data(seed=0, sizes=(1, 2, 3, 4, 5, 6, 7, 8), k=3, m=1):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    n = len(clusters)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1)) + rng.normal(size=len(sizes))[clusters, None]])
    y = x @ rng.normal(size=(k, m)) + rng.normal(size=(len(sizes), m))[clusters] + rng.normal(size=(n, m))
    return x, y, clusters


def _cr2(x, y, clusters):
    """Covariance of the first outcome, and degrees of freedom."""
    n_clusters = len(x) if clusters is None else clusters.max() + 1
    sums = BiasReduced(solve(triangle(x, y), x.shape[1]), n_clusters)
    sums.add(x, y, clusters)
    return sums.covariance()[0, 0], sums.freedom()


SIZES = [(1, 2, 3, 4, 5, 6, 7, 8), (2,) * 12, (1,) * 20, (9, 1, 1, 2, 7, 2)]


@pytest.mark.parametrize("sizes", SIZES)
def test_cr2_is_its_definition(sizes):
    x, y, clusters = _data(1, sizes)
    covariance, freedom = _cr2(x, y, None if max(sizes) == 1 else clusters)
    expected, influence = cr2_by_definition(x, y[:, 0], clusters)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9)
    np.testing.assert_allclose(freedom, freedom_by_definition(influence), rtol=1e-9)


@pytest.mark.parametrize("sizes", SIZES)
def test_joint_freedom_is_its_definition(sizes):
    x, y, clusters = _data(3, sizes, k=4)
    solution = solve(triangle(x, y), 4)
    _, influence = cr2_by_definition(x, y[:, 0], clusters)
    codes = None if max(sizes) == 1 else clusters
    for members in ([1], [1, 2], [0, 1, 3]):
        found = joint_freedom(x, codes, solution, np.array(members))
        variance = np.linalg.inv(x.T @ x)[np.ix_(members, members)]
        assert found == pytest.approx(joint_by_definition(influence[members], variance), rel=1e-9)
    np.testing.assert_allclose(joint_freedom(x, codes, solution, np.array([2])), _cr2(x, y, codes)[1][2], rtol=1e-9)


@pytest.mark.parametrize("sizes", [(2,) * 14, (2, 3, 4, 5, 2, 2, 3, 6, 8, 2)])
@pytest.mark.parametrize("coarse", [False, True])
def test_prompt_effects_are_the_dummies_written_out(sizes, coarse):
    rng = np.random.default_rng(4)
    prompts = np.repeat(np.arange(len(sizes)), sizes)
    x = (rng.random((len(prompts), 3)) < 0.4).astype(float)
    y, clusters = rng.normal(size=len(prompts)), prompts // 2 if coarse else prompts
    dummies = (prompts[:, None] == np.arange(len(sizes))).astype(float)
    covariance, influence = cr2_by_definition(np.hstack([x, dummies]), y, clusters)
    fit = feature_imprint(y, x, prompts, ["a", "b", "c"], clusters=clusters, blocks={"all": ["a", "b", "c"]})
    errors = [row.std_error for row in fit.imprint]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance))[:3], rtol=1e-9)
    freedom = [row.degrees_of_freedom for row in fit.imprint]
    np.testing.assert_allclose(freedom, freedom_by_definition(influence[:3]), rtol=1e-9)
    within = x - (dummies / dummies.sum(axis=0)) @ (dummies.T @ x)
    eta = joint_by_definition(influence[:3], np.linalg.inv(within.T @ within))
    beta = np.array([row.coefficient for row in fit.imprint])
    squared = beta @ np.linalg.solve(covariance[:3, :3], beta)
    test = fit.blocks[0]
    assert test.degrees_of_freedom == (3.0, pytest.approx(eta - 2, rel=1e-9))
    assert test.statistic == pytest.approx((eta - 2) / (3 * eta) * squared, rel=1e-9)
    assert test.p_value == pytest.approx(stats.f.sf((eta - 2) / (3 * eta) * squared, 3, eta - 2), rel=1e-8)


def test_pooled_errors_are_the_definition_by_prompt():
    rng = np.random.default_rng(5)
    prompts = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    x, y = rng.normal(size=(len(prompts), 2)) + 1e3, rng.normal(size=len(prompts))
    fit = feature_imprint(y, x, prompts, ["a", "b"], effects="pooled")
    covariance, influence = cr2_by_definition(np.column_stack([np.ones(len(y)), x - 1e3]), y, prompts)
    np.testing.assert_allclose([row.std_error for row in fit.imprint], np.sqrt(np.diag(covariance))[1:], rtol=1e-9)
    freedom = [row.degrees_of_freedom for row in fit.imprint]
    np.testing.assert_allclose(freedom, freedom_by_definition(influence)[1:], rtol=1e-9)


def test_cr2_with_single_rows_is_hc2_and_its_two_sample_case_is_welch():
    # With one dummy, Bell and McCaffrey's test is Welch's with Welch's degrees of freedom at equal variances.
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(12), np.arange(12) < 4])
    y = rng.normal(size=12)
    covariance, freedom = _cr2(x, y[:, None], None)
    a, b = y[:4], y[4:]
    assert covariance[1, 1] == pytest.approx(a.var(ddof=1) / 4 + b.var(ddof=1) / 8)
    # Satterthwaite at equal variances: (1/4 + 1/8)^2 / ((1/4)^2 / 3 + (1/8)^2 / 7).
    assert freedom[1] == pytest.approx((1 / 4 + 1 / 8) ** 2 / ((1 / 4) ** 2 / 3 + (1 / 8) ** 2 / 7))


def test_a_cluster_that_is_fitted_exactly_counts_for_nothing_and_its_own_coefficient_has_no_error():
    x, y, clusters = _data(2)
    x = np.column_stack([x, clusters == 0])
    covariance, freedom = _cr2(x, y, clusters)
    expected, influence = cr2_by_definition(x, y[:, 0], clusters)
    np.testing.assert_allclose(covariance[:3, :3], expected[:3, :3], rtol=1e-8)
    np.testing.assert_allclose(freedom[:3], freedom_by_definition(influence)[:3], rtol=1e-6)
    assert math.isnan(freedom[3])


@pytest.mark.parametrize("several", [False, True])
def test_parts_add_up_to_the_whole(several):
    x, y, clusters = _data(6, (2, 3, 1, 4, 2, 2, 5, 3) if several else (1,) * 23, m=2)
    solution = solve(triangle(x, y), 3)
    whole, parts = BiasReduced(solution, clusters.max() + 1), BiasReduced(solution, clusters.max() + 1)
    whole.add(x, y, clusters if several else None)
    for chosen in (clusters < 3, clusters >= 3):
        parts.add(x[chosen], y[chosen], clusters[chosen] - clusters[chosen].min() if several else None)
    np.testing.assert_allclose(parts.covariance(), whole.covariance(), rtol=1e-9)
    np.testing.assert_allclose(parts.freedom(), whole.freedom(), rtol=1e-9)
    np.testing.assert_allclose(parts.largest, whole.largest)
    # The covariance between outcomes is that of their difference.
    difference = BiasReduced(solve(triangle(x, y[:, 1:] - y[:, :1]), 3), clusters.max() + 1)
    difference.add(x, y[:, 1:] - y[:, :1], clusters if several else None)
    joint = whole.covariance()
    np.testing.assert_allclose(difference.covariance()[0, 0], joint[0, 0] + joint[1, 1] - joint[0, 1] - joint[1, 0])


@pytest.mark.parametrize("several", [False, True])
def test_many_clusters_keep_their_errors_and_degrees_of_freedom(several, monkeypatch):
    # Above a number of clusters light ones enter by their trace; rare features still rest on heavy ones.
    rng = np.random.default_rng(7)
    n = 24_000
    clusters = np.arange(n) // 2 if several else None
    x = (rng.random((n, 4)) < [0.4, 0.1, 0.01, 0.0004]).astype(float) - (rng.random((n, 4)) < 0.3) * [1, 1, 0, 0]
    y = rng.normal(size=(n, 2))
    exact, exact_freedom = _cr2(x, y, clusters)
    eta = joint_freedom(x, clusters, solve(triangle(x, y), 4), np.arange(1, 4))
    monkeypatch.setattr(bias_reduced, "_EXACT_UP_TO", 100)
    found, freedom = _cr2(x, y, clusters)
    np.testing.assert_allclose(np.diag(found), np.diag(exact), rtol=1e-9)
    np.testing.assert_allclose(stats.t.isf(0.025, freedom), stats.t.isf(0.025, exact_freedom), rtol=1e-6)
    np.testing.assert_allclose(freedom, exact_freedom, rtol=0.01)
    assert joint_freedom(x, clusters, solve(triangle(x, y), 4), np.arange(1, 4)) == pytest.approx(eta, rel=0.01)
    units = np.array([1e45, 1e-45, 1.0, 1e20])
    moved, same = _cr2(x * units, y, clusters)
    np.testing.assert_allclose(np.sqrt(np.diag(moved)) * units, np.sqrt(np.diag(found)), rtol=1e-6)
    np.testing.assert_allclose(same, freedom, rtol=1e-4)


@pytest.mark.parametrize("n_discordant", [2, 5])
def test_rare_features_keep_the_level(n_discordant):
    # 1,000 prompts of two texts; errors by t(G - 1) reject up to 41 % of these nulls.
    rng = np.random.default_rng(n_discordant)
    common = (rng.random((2000, 2)) < 0.5).astype(float)
    rare = np.zeros(2000)
    rare[:n_discordant] = 1
    x, prompts = np.column_stack([rare, common]), np.tile(np.arange(1000), 2)
    rejected, plain = [], []
    for _ in range(200):
        y = rng.normal(size=2000)
        rejected.append(feature_imprint(y, x, prompts, ["a", "b", "c"]).imprint[0].p_value < 0.05)
        plain.append(feature_imprint(y, x, prompts, ["a", "b", "c"], errors="crv1").imprint[0].p_value < 0.05)
    # 5 % and three of its standard errors.
    assert np.mean(rejected) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(plain) > 0.09


@pytest.mark.parametrize("effects", ["fixed", "pooled"])
def test_one_informative_text_is_withheld_with_its_own_status(effects):
    rng = np.random.default_rng(0)
    x, prompts = np.zeros((400, 2)), np.arange(400) // 2
    x[17, 0] = 1
    x[:, 1] = rng.random(400) < 0.5
    for errors in ("cr2", "crv1"):
        rare, common = feature_imprint(
            rng.normal(size=400), x, prompts, ["rare", "common"], effects=effects, errors=errors
        ).imprint
        assert rare.status == "too_little_information"
        assert math.isnan(rare.coefficient)
        assert common.status == "ok"


def test_the_floor_is_on_effective_degrees_of_freedom():
    # Ten prompts where the feature differs, but one by 100: hardly more than one informs the estimate.
    rng = np.random.default_rng(1)
    x = np.zeros(200)
    x[:10] = [100, *[1] * 9]
    row = feature_imprint(rng.normal(size=200), x[:, None], np.tile(np.arange(100), 2), ["a"]).imprint[0]
    assert row.n_discordant == 10
    assert 1 <= row.degrees_of_freedom < 1.1
    held = feature_imprint(
        rng.normal(size=200), x[:, None], np.tile(np.arange(100), 2), ["a"], min_information=4
    ).imprint[0]
    assert (held.status, held.degrees_of_freedom) == ("too_little_information", pytest.approx(row.degrees_of_freedom))
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(DataError, match="min_information must be a number of degrees of freedom, at least 0, got"):
            feature_imprint([1.0, 2.0], [[0], [1]], [0, 0], ["a"], min_information=wrong)


def test_joint_tests_keep_the_level_with_few_prompts():
    # 40 prompts and ten features: F(q, G - 1) rejects a quarter of these nulls.
    rng = np.random.default_rng(2)
    names = list("abcdefghij")
    rejected = {"cr2": [], "crv1": []}
    for _ in range(120):
        x, y = (rng.random((80, 10)) < 0.4).astype(float), rng.normal(size=80)
        for errors, found in rejected.items():
            fit = feature_imprint(y, x, np.arange(80) // 2, names, errors=errors, blocks={"all": names})
            found.append(fit.blocks[0].p_value < 0.05)
    assert np.mean(rejected["cr2"]) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    assert np.mean(rejected["crv1"]) > 0.15


def test_any_change_is_tested_where_the_first_two_models_agree():
    rng = np.random.default_rng(8)
    x, prompts = (rng.random((120, 2)) < 0.5).astype(float), np.tile(np.arange(60), 2)
    first = rng.normal(size=120)
    last = first + rng.normal(size=120)
    three = imprint_trajectory({"a": first, "b": first, "c": last}, x, prompts, ["x", "y"])
    two = imprint_trajectory({"a": first, "c": last}, x, prompts, ["x", "y"])
    for found, expected in zip(three.any_change, two.any_change, strict=True):
        assert found.p_value == pytest.approx(expected.p_value)
        assert found.degrees_of_freedom == pytest.approx(expected.degrees_of_freedom)
    same = imprint_trajectory({"a": first, "b": first}, x, prompts, ["x", "y"])
    assert all(math.isnan(test.p_value) for test in same.any_change)


def test_simultaneous_intervals_use_each_features_reference():
    # Two prompts inform the rare feature: its single interval is by t with one degree of freedom, and the joint one is wider.
    rng = np.random.default_rng(9)
    x = (rng.random((400, 3)) < 0.5).astype(float)
    x[:, 0] = 0
    x[:2, 0] = 1
    fit = feature_imprint(rng.normal(size=400), x, np.tile(np.arange(200), 2), ["rare", "b", "c"])
    for row in fit.imprint:
        single, joint = np.ptp(row.confidence_interval), np.ptp(row.simultaneous_interval)
        assert (
            single
            < joint
            <= single
            * stats.t.isf(0.025 / 3, row.degrees_of_freedom)
            / stats.t.isf(0.025, row.degrees_of_freedom)
            * (1 + 1e-9)
        )


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_where_a_feature_has_its_zero_does_not_matter(offset):
    rng = np.random.default_rng(10)
    x = (rng.random((2, 200, 2)) < 0.5).astype(float)
    y, groups = rng.normal(size=200), np.arange(200) // 2
    moved = x + np.array([offset, 0.0])
    plain, shifted = (shift_imprint(y, *each, ["a", "b"], groups=groups).imprint for each in (x, moved))
    for one, other in zip(plain, shifted, strict=True):
        assert other.status == "ok"
        assert other.coefficient == pytest.approx(one.coefficient, rel=1e-6)
        assert other.std_error == pytest.approx(one.std_error, rel=1e-6)
        assert other.degrees_of_freedom == pytest.approx(one.degrees_of_freedom, rel=1e-6)
    for estimator in ("linear_probability", "logit"):
        plain, shifted = (
            misalignment_drivers(y > 0, *each, ["a", "b"], groups=groups, estimator=estimator).drivers
            for each in (x, moved)
        )
        assert [row.coefficient for row in shifted] == pytest.approx([row.coefficient for row in plain], rel=1e-6)
    texts = np.vstack([x[0], x[1]])
    for effects in ("fixed", "pooled"):
        plain, shifted = (
            feature_imprint(np.tile(y, 2), each, np.tile(groups, 2), ["a", "b"], effects=effects).imprint
            for each in (texts, texts + np.array([offset, 0.0]))
        )
        assert [row.coefficient for row in shifted] == pytest.approx([row.coefficient for row in plain], rel=1e-6)


@pytest.mark.parametrize("estimator", ["cr2", "crv1"])
def test_eq_2_and_the_linear_probability_have_their_own_degrees_of_freedom(estimator):
    rng = np.random.default_rng(11)
    chosen = (np.arange(300) < 3).astype(float)[:, None]
    rejected = (rng.random((300, 1)) < 0.5).astype(float)
    y = rng.normal(size=300)
    rare, common = shift_imprint(y, chosen, rejected, ["a"], errors=estimator).imprint
    design = np.column_stack([np.ones(300), chosen, rejected])
    _, influence = cr2_by_definition(design, y, np.arange(300))
    expected = freedom_by_definition(influence)[1:] if estimator == "cr2" else [299, 299]
    assert [rare.degrees_of_freedom, common.degrees_of_freedom] == pytest.approx(expected, rel=1e-8)
    fit = misalignment_drivers(y > 0, chosen, rejected, ["a"], estimator="linear_probability")
    assert [row.degrees_of_freedom for row in fit.drivers] == pytest.approx(
        freedom_by_definition(influence)[1:], rel=1e-8
    )
    row = fit.drivers[1]
    assert row.p_value == pytest.approx(2 * stats.t.sf(abs(row.coefficient / row.std_error), row.degrees_of_freedom))


def test_eigenvectors_of_two_rows_are_those_of_the_library():
    rows = np.random.default_rng(0).normal(size=(50, 2, 3))
    rows[0] = rows[0, 0]  # equal rows, rows at right angles, and a row of zeros
    rows[1] = np.eye(3)[:2]
    rows[2, 1] = 0.0
    gram = rows @ rows.transpose(0, 2, 1)
    values, vectors = _eigen(gram)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(gram), atol=1e-14)
    np.testing.assert_allclose(vectors * values[:, None] @ vectors.transpose(0, 2, 1), gram, atol=1e-14)
    np.testing.assert_allclose(vectors @ vectors.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (50, 2, 2)), atol=1e-15)
