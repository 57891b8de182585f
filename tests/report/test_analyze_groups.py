"""Headline numbers by group: the estimators' on each group, and a test that groups differ."""

import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from seal_datasets import estimate
from seal_datasets.report.analyze_groups import MOST_GROUPS, analyze_groups, grouping_columns

N = 400


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    subset = np.array(["easy", "hard"] * (N // 2), dtype=object)
    later = rng.normal(size=N) + np.where(subset == "easy", 1.5, 0.2)
    rewards = {"early": (rng.normal(size=N), np.zeros(N)), "late": (later, np.zeros(N))}
    return subset, np.array([f"p{row // 4}" for row in range(N)], dtype=object), rewards


@pytest.fixture(scope="module")
def results(table):
    subset, prompts, rewards = table
    return analyze_groups({"subset": subset}, prompts, rewards, comparisons={"late - early": ("early", "late")})


def test_each_group_has_the_resistance_of_its_pairs(table, results):
    subset, prompts, rewards = table
    json.dumps(results, allow_nan=False)
    for row in results["subset"]["models"]["late"]["resistance"]["groups"]:
        rows = subset == row["group"]
        alone = estimate.alignment_resistance(rewards["late"][0][rows], np.zeros(rows.sum()), groups=prompts[rows])
        assert row["mean"] == pytest.approx(alone.alignment_resistance)
        assert row["confidence_interval"] == pytest.approx(alone.confidence_interval)


def test_groups_that_differ_are_told_from_groups_that_do_not(results):
    late, early = (results["subset"]["models"][name] for name in ("late", "early"))
    assert late["resistance"]["p_value"] < 1e-4
    assert late["margin"]["p_value"] < 1e-4
    assert min(early["resistance"]["p_value"], early["margin"]["p_value"]) > 0.05


def test_regimes_by_group_are_those_of_its_pairs(table, results):
    subset, _, rewards = table
    comparison = results["subset"]["comparisons"]["late - early"]
    assert comparison["change"]["p_value"] < 0.01
    rows = subset == "hard"
    names = estimate.alignment_regimes(
        rewards["late"][0][rows], np.zeros(200), rewards["early"][0][rows], np.zeros(200)
    )
    for name, regime in comparison["regimes"]["hard"].items():
        assert regime["count"] == (names == name).sum()
        assert regime["share"] == pytest.approx((names == name).mean())


def test_a_tie_band_makes_more_resistance(table):
    subset, prompts, rewards = table
    wide = analyze_groups({"subset": subset}, prompts, rewards, tie_band=0.5)["subset"]["models"]["late"]["resistance"]
    narrow = analyze_groups({"subset": subset}, prompts, rewards)["subset"]["models"]["late"]["resistance"]
    assert all(a["mean"] > b["mean"] for a, b in zip(wide["groups"], narrow["groups"], strict=True))


def test_pairs_without_a_group_are_counted(table):
    subset, prompts, rewards = table
    some = subset.copy()
    some[:10] = None
    found = analyze_groups({"subset": some}, prompts, rewards)["subset"]
    assert found["n_pairs_without_group"] == 10
    assert sum(row["n"] for row in found["models"]["late"]["resistance"]["groups"]) == N - 10


@pytest.mark.parametrize(("n_values", "status"), [(1, "1 values"), (MOST_GROUPS + 1, f"{MOST_GROUPS + 1} values")])
def test_a_column_that_does_not_group_says_so(table, n_values, status):
    _, prompts, rewards = table
    values = np.array([str(row % n_values) for row in range(N)], dtype=object)
    assert analyze_groups({"source": values}, prompts, rewards)["source"]["status"].startswith(status)


def test_texts_of_the_source_are_no_names_of_groups(table):
    _, prompts, rewards = table
    values = np.array(["short", "x" * 101] * (N // 2), dtype=object)
    assert "101 characters" in analyze_groups({"task": values}, prompts, rewards)["task"]["status"]


def test_columns_that_group_are_found_by_name_and_type():
    features = Features(
        {
            "prompt": Value("string"),
            "Category": Value("string"),
            "subset": ClassLabel(names=["a", "b"]),
            "source": [Value("string")],
            "task": Value("float64"),
            "language": Value("int64"),
        }
    )
    rows = {"prompt": ["p", "q"], "Category": ["x", None], "subset": [0, 1], "source": [["s"], []]}
    pairs = Dataset.from_dict({**rows, "task": [0.5, 1.0], "language": [3, 4]}, features=features)
    assert {name: values.tolist() for name, values in grouping_columns(pairs).items()} == {
        "Category": ["x", None],
        "subset": ["a", "b"],
        "language": ["3", "4"],
    }
