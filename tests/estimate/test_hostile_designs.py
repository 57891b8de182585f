"""Every estimator on designs that break solvers: each number is finite, has a status, or the input is refused."""

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate.result import Result

KINDS = [
    *("binary", "rare", "near_constant", "constant", "ordinal", "normal", "offset", "heavy", "huge", "tiny"),
    *("subnormal", "largest", "one_huge", "one_tiny"),
]


def column(rng, n, kind):
    scale = 10.0 ** rng.integers(6, 49)
    x = rng.normal(size=n)
    one = rng.integers(n)
    if kind == "binary":
        return (rng.random(n) < rng.uniform(0.1, 0.9)).astype(float)
    if kind == "rare":
        return np.isin(np.arange(n), rng.integers(n, size=rng.integers(1, 3))).astype(float)
    if kind == "near_constant":
        return np.where(np.arange(n) == one, 0.9 - 10.0 ** -rng.integers(1, 16), 0.9)
    if kind == "constant":
        return np.full(n, rng.choice([0.0, 1.0, 0.9, 1e12]))
    if kind in ("one_huge", "one_tiny"):
        x[one] = scale if kind == "one_huge" else 1 / scale
        return x
    return {
        "ordinal": lambda: rng.integers(0, 4, n).astype(float),
        "normal": lambda: x,
        "offset": lambda: x + 10.0 ** rng.integers(3, 16),
        "heavy": lambda: rng.standard_cauchy(n) ** 3,
        "huge": lambda: x * scale,
        "tiny": lambda: x / scale,
        "subnormal": lambda: x * 1e-310,
        "largest": lambda: rng.choice([-1, 1], n) * 1e50,
    }[kind]()


def vector(rng, n):
    return np.zeros(n) if rng.random() < 0.1 else column(rng, n, rng.choice(KINDS))


def matrix(rng, n, k):
    """Columns of any kind; often one is nearly a multiple of another."""
    x = np.column_stack([column(rng, n, rng.choice(KINDS)) for _ in range(k)])
    if k > 1 and rng.random() < 0.4:
        i, j = rng.choice(k, 2, replace=False)
        x[:, j] = x[:, i] * rng.choice([1, -1, 0.1]) + rng.normal(size=n) * 10.0 ** -rng.integers(3, 18)
    return np.clip(x, -1e50, 1e50)


def truth(rng, n):
    return rng.random(n) < rng.choice([0, 0.02, 0.3, 0.5, 0.9, 1.0])


def labels(rng, n, k):
    return (rng.random((n, k)) < rng.choice([0, 0.03, 0.5, 1])).astype(float)


def prompts(rng, n):
    return rng.choice([np.arange(n), np.zeros(n, int), rng.integers(0, 2, n), rng.integers(0, n // 2 + 1, n)])


def maybe(rng, value):
    return value if rng.random() < 0.6 else None


def either(rng, *values):
    return values[rng.integers(len(values))]


def names(k):
    return [f"f{i}" for i in range(k)]


def misalignment_drivers(rng, n, k):
    chosen = matrix(rng, n, k)
    aligned = either(rng, truth(rng, n), chosen[:, 0] > np.median(chosen[:, 0]))  # the second separates
    return estimate.misalignment_drivers(
        *(aligned, chosen, matrix(rng, n, k), names(k)),
        groups=maybe(rng, prompts(rng, n)),
        estimator=either(rng, "logit", "firth", "linear_probability"),
        adjust=either(rng, "bonferroni", "holm", "bh"),
        min_discordant=int(rng.integers(1, 3)),
    )


def alignment_robustness(rng, n, k):
    return estimate.alignment_robustness(
        *(truth(rng, n), truth(rng, n), labels(rng, n, k), labels(rng, n, k), names(k)),
        groups=maybe(rng, prompts(rng, n)),
        estimator=either(rng, "logit", "firth", "linear_probability"),
    )


def alignment_resistance(rng, n, k):
    before = rng.random() < 0.5
    return estimate.alignment_resistance(
        *(vector(rng, n), vector(rng, n)),
        pre_chosen_rewards=vector(rng, n) if before else None,
        pre_rejected_rewards=vector(rng, n) if before else None,
        groups=maybe(rng, prompts(rng, n)),
        tie_band=either(rng, 0.0, 0.1, 1e60),
        label_noise=either(rng, None, 0.0, 0.1, 0.49),
    )


def resistance_trajectory(rng, n, k):
    margins = {f"m{i}": vector(rng, n) for i in range(k + 1)}
    return estimate.resistance_trajectory(margins, groups=maybe(rng, prompts(rng, n)))


def reward_shift(rng, n, k):
    reference = rng.random() < 0.4
    return estimate.reward_shift(
        *(vector(rng, n) for _ in range(4)),
        groups=maybe(rng, prompts(rng, n)),
        by=maybe(rng, rng.integers(0, 2, n)),
        pre_reference_rewards=vector(rng, n) if reference else None,
        reference_rewards=vector(rng, n) if reference else None,
    )


def shift_imprint(rng, n, k):
    return estimate.shift_imprint(
        *(either(rng, rng.uniform(-3, 3, n), np.zeros(n)), matrix(rng, n, k), matrix(rng, n, k), names(k)),
        groups=maybe(rng, prompts(rng, n)),
        intercept=bool(rng.integers(2)),
        errors=either(rng, "cr2", "crv1"),
    )


def feature_imprint(rng, n, k):
    return estimate.feature_imprint(
        *(vector(rng, n), matrix(rng, n, k), prompts(rng, n), names(k)),
        effects=either(rng, "fixed", "pooled"),
        errors=either(rng, "cr2", "crv1", "hc1", "wild"),
        blocks=either(rng, None, {"a": names(k)[:1]}),
        max_vif=either(rng, None, 10.0),
        n_bootstrap=99,
    )


def imprint_trajectory(rng, n, k):
    rewards = {"pre": vector(rng, n), "post": vector(rng, n)}
    return estimate.imprint_trajectory(rewards, matrix(rng, n, k), prompts(rng, n), names(k))


def streamed_imprint(rng, n, k):
    parts = [
        estimate.Texts(np.column_stack([vector(rng, n), vector(rng, n)]), matrix(rng, n, k), prompts(rng, n) + i * n)
        for i in range(2)
    ]
    return estimate.streamed_imprint(parts, ["pre", "post"], names(k))


def corrected_imprint(rng, n, k):
    x, groups = matrix(rng, n, k), prompts(rng, n)
    gold = either(rng, x.copy(), matrix(rng, n, k))
    gold[np.isin(groups, rng.permutation(groups)[: n // 3])] = np.nan
    return estimate.corrected_imprint(vector(rng, n), x, gold, groups, names(k))


def simex_imprint(rng, n, k):
    rates = [{name: either(rng, 0.51, 0.8, 1.0) for name in names(k)} for _ in range(2)]
    return estimate.simex_imprint(
        *(vector(rng, n), labels(rng, n, k), prompts(rng, n), names(k)),
        sensitivity=rates[0],
        specificity=rates[1],
        n_replicates=4,
    )


def label_error_curve(rng, n, k):
    rates = (0.0, 0.1, 0.3, 0.49)
    return estimate.label_error_curve(vector(rng, n), labels(rng, n, k), prompts(rng, n), names(k), rates=rates)


def spoiler_balance(rng, n, k):
    ids = rng.random() < 0.3
    return estimate.spoiler_balance(
        *(matrix(rng, n, k), matrix(rng, n, k), names(k)),
        targets=names(k)[:1] if rng.random() < 0.5 and k > 1 else (),
        groups=maybe(rng, prompts(rng, n)),
        chosen_ids=rng.integers(0, 9, n) if ids else None,
        rejected_ids=rng.integers(0, 9, n) if ids else None,
    )


def treatment_effect(rng, n, k):
    rewards = (vector(rng, n) for _ in range(3))
    return estimate.treatment_effect(*rewards, truth(rng, n), groups=maybe(rng, prompts(rng, n)))


def rewrite_selection(rng, n, k):
    return estimate.rewrite_selection(vector(rng, n), truth(rng, n), groups=maybe(rng, prompts(rng, n)))


def compare_estimates(rng, n, k):
    return estimate.compare_estimates(names(k + 1), vector(rng, k + 1), np.abs(vector(rng, k + 1)))


def labeler_agreement(rng, n, k):
    return estimate.labeler_agreement(
        *(labels(rng, n, k), labels(rng, n, k), names(k)),
        aligned=maybe(rng, truth(rng, n)),
        groups=maybe(rng, prompts(rng, n)),
    )


def labeler_stability(rng, n, k):
    given = either(rng, rng.integers(0, 3, (n, k + 1)).astype(float), np.repeat(vector(rng, n)[:, None], k + 1, 1))
    given[rng.random(given.shape) < either(rng, 0.0, 0.3, 1.0)] = np.nan
    level = either(rng, "nominal", "ordinal", "interval")
    groups = maybe(rng, prompts(rng, n))
    return estimate.labeler_stability(given, names(k + 1), groups=groups, level=level, n_bootstrap=50)


def label_error_rates(rng, n, k):
    given, gold = truth(rng, n), truth(rng, n)
    return [estimate.label_error_rates(given, gold), estimate.label_accuracy(given, gold)]


def implied_error_rate(rng, n, k):
    return [estimate.implied_error_rate(truth(rng, n), truth(rng, n))]


def calibrate_probabilities(rng, n, k):
    extreme = rng.choice([0, 1, 5e-324, 1 - 1e-16], n)
    p = either(rng, rng.random(n), np.zeros(n), np.ones(n), np.full(n, 0.5), extreme)
    return [
        estimate.calibrate_probabilities(p, truth(rng, n), groups=maybe(rng, prompts(rng, n))),
        estimate.implied_rates(p),
    ]


def sides_with_gold(rng, n, k):
    """Labels and gold labels of both sides, some of the latter missing, and prompts."""
    make, groups = either(rng, matrix, labels), prompts(rng, n)
    given = make(rng, n, k), make(rng, n, k)
    gold = either(rng, [side.copy() for side in given], [make(rng, n, k), make(rng, n, k)])
    for side in gold:
        side[np.isin(groups, rng.permutation(groups)[: n // 3])] = np.nan
    return (*given, *gold), groups


def corrected_units(rng, n, k):
    sides, groups = sides_with_gold(rng, n, k)
    rewards = ({"a": vector(rng, n), "b": vector(rng, n)} for _ in range(2))
    return list(estimate.corrected_units(*rewards, *sides, names(k), groups=groups).values())


def corrected_drivers(rng, n, k):
    sides, groups = sides_with_gold(rng, n, k)
    return estimate.corrected_drivers(truth(rng, n), *sides, names(k), groups=groups)


def corrected_agreement(rng, n, k):
    sides, groups = sides_with_gold(rng, n, k)
    return estimate.corrected_agreement(*sides, names(k), groups=groups, by=maybe(rng, rng.choice(["x", "y"], n)))


def known_rates_imprint(rng, n, k):
    rates = [{name: either(rng, 0.51, 0.8, 1.0) for name in names(k)} for _ in range(2)]
    return estimate.known_rates_imprint(
        *(vector(rng, n), labels(rng, n, k), prompts(rng, n), names(k)), sensitivity=rates[0], specificity=rates[1]
    )


def standardised_imprint(rng, n, k):
    rewards = ({"a": vector(rng, n), "b": vector(rng, n)} for _ in range(2))
    return estimate.standardised_imprint(
        *(*rewards, matrix(rng, n, k), matrix(rng, n, k), names(k)),
        groups=maybe(rng, prompts(rng, n)),
        unit=either(rng, "sd", "logit"),
    )


def rulers_and_congruence(rng, n, k):
    given = vector(rng, n), vector(rng, n), matrix(rng, n, k), matrix(rng, n, k), names(k)
    groups = maybe(rng, prompts(rng, n))
    return [estimate.ruler_accuracy(*given, groups=groups), estimate.congruent_accuracy(*given, groups=groups)]


def group_differences(rng, n, k):
    values = either(rng, vector(rng, n), truth(rng, n))
    return estimate.group_differences(values, rng.integers(0, k + 1, n), groups=maybe(rng, prompts(rng, n)))


def label_accuracy(rng, n, k):
    gold = rng.integers(0, 2, n)
    return estimate.label_accuracy(either(rng, 1 - gold, gold, truth(rng, n)), gold, groups=maybe(rng, prompts(rng, n)))


ESTIMATORS = [
    *(corrected_units, corrected_drivers, corrected_agreement, known_rates_imprint, standardised_imprint),
    *(rulers_and_congruence, group_differences, label_accuracy),
    *(misalignment_drivers, alignment_robustness, alignment_resistance, resistance_trajectory, reward_shift),
    *(shift_imprint, feature_imprint, imprint_trajectory, streamed_imprint, corrected_imprint, simex_imprint),
    *(label_error_curve, spoiler_balance, treatment_effect, rewrite_selection, compare_estimates, labeler_agreement),
    *(labeler_stability, label_error_rates, implied_error_rate, calibrate_probabilities),
]


def nodes(value):
    """Every dataclass in a result."""
    if dataclasses.is_dataclass(value):
        yield value
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from nodes(entry)


def faults(result):
    """What a reader would take for a number although it is none."""
    for node in nodes(result):
        given = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
        if isinstance(node, Result):
            json.dumps(node.to_dict(), allow_nan=False)
        for name, value in given.items():
            pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(bound, float) for bound in value)
            if pair and name != "degrees_of_freedom" and value[0] > value[1]:
                yield f"{type(node).__name__}.{name} is reversed: {value}"
            if name.startswith("p_") and isinstance(value, float) and not (math.isnan(value) or 0 <= value <= 1):
                yield f"{type(node).__name__}.{name} is {value}"
        if given.get("status") == "ok" and "coefficient" in given:
            numbers = [given["coefficient"], given["std_error"], given["p_value"], *given["confidence_interval"]]
            # A profile may have no bound on one side, which is an infinite interval.
            if any(map(math.isnan, numbers)) or not all(map(math.isfinite, numbers[:3])) or given["std_error"] < 0:
                yield f"{type(node).__name__} is ok with {numbers}"


def attack(make, seeds):
    for seed in seeds:
        rng = np.random.default_rng([seed, 18])
        n, k = int(rng.choice([2, 3, 8, 30, 100])), int(rng.integers(1, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = sorted(set(faults(make(rng, n, k))))
            except DataError:
                continue
        assert not found, f"seed {seed}: {found}"


@pytest.mark.parametrize("make", ESTIMATORS)
def test_no_design_ends_in_a_traceback_a_warning_or_a_number_that_is_none(make):
    attack(make, range(25))


@pytest.mark.endurance
@pytest.mark.parametrize("make", ESTIMATORS)
def test_no_design_of_many_does(make):
    attack(make, range(25, 2000))


@pytest.mark.parametrize("estimator", ["logit", "firth", "linear_probability"])
def test_drivers_of_a_feature_that_differs_once_and_little_have_a_status(estimator):
    feature = np.full((100, 1), 0.9)
    feature[17] = 0.8999
    aligned = np.arange(100) % 3 > 0
    fit = estimate.misalignment_drivers(aligned, feature, 1 - feature, ["f"], estimator=estimator, min_discordant=1)
    assert {row.status for row in fit.drivers} <= {
        "ok",
        "collinear",
        "separated",
        "not_converged",
        "too_little_information",
    }
    assert not list(faults(fit))


def test_bias_reduced_errors_of_a_constant_feature_are_not_identified():
    fit = estimate.feature_imprint([0.0, 1.0, 2.0, 4.0], np.ones((4, 1)), [0, 0, 1, 1], ["f"], errors="cr2")
    assert fit.imprint[0].status == "not_identified"


def test_agreement_without_any_label_is_undefined():
    stability = estimate.labeler_stability([[math.nan, math.nan]] * 3, ["a", "b"])
    assert stability.status.startswith("no row has two labels")
    assert stability.pairs[0].status == "no row has both labels"


def test_numbers_whose_products_overflow_are_refused_by_place():
    with pytest.raises(DataError, match=r"features has numbers beyond 1e\+50, the first in row 1, column 0: 1e\+200"):
        estimate.feature_imprint([1.0, 2.0, 3.0], [[0.0], [1e200], [1.0]], [0, 0, 0], ["f"])
    with pytest.raises(DataError, match=r"chosen_rewards has numbers beyond 1e\+50, the first in row 0: -1e\+300"):
        estimate.alignment_resistance([-1e300, 0.0], [1.0, 1.0])


def test_features_whose_products_vanish_are_refused():
    with pytest.raises(
        DataError, match="features has only numbers below 1e-50 in size, the first in row 0, column 0: 1e-200"
    ):
        estimate.feature_imprint([0.0, 1.0, 2.0, 4.0], [[1e-200], [0.0], [2e-200], [0.0]], [0, 0, 1, 1], ["f"])
