"""Estimators against figures that others published about reward models, or that their code works out."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seal_datasets.estimate import best_of_n_accuracy, group_differences, style_matrix, ties_score
from seal_datasets.estimate.best_of_n import item_credits

SPEC = importlib.util.spec_from_file_location("findings", Path(__file__).parents[2] / "benchmarks" / "findings.py")
FINDINGS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FINDINGS)
OTHERS = FINDINGS.OTHERS


def test_accuracies_of_rewardbench_are_whole_numbers_of_its_pairs():
    """Each published accuracy, times its pairs, is a count; sections are their weighted means."""
    sections, (right, names) = FINDINGS.rewardbench()
    published = {name: each for subsets in OTHERS["rewardbench"].values() for name, each in subsets.items()}
    found = group_differences(right, names)
    assert len(found.groups) == 23
    for group in found.groups:
        n, accuracy = published[group.group]
        assert (group.n, group.mean) == (n, pytest.approx(accuracy, abs=1e-12))
    for value, ours in sections.values():
        assert ours == pytest.approx(value, abs=1e-12)


def test_win_rates_of_alpaca_eval_have_the_published_errors():
    table = pd.read_csv(FINDINGS.PUBLISHED / "alpaca_eval.csv")
    unlike = []
    for row, mean in FINDINGS.alpaca(table):
        assert mean.n == row.n_total
        assert 100 * mean.value == pytest.approx(row.win_rate, abs=1e-7)
        if not math.isclose(100 * mean.std_error, row.standard_error, abs_tol=1e-6):
            unlike.append(row.model)
    # Three errors do not follow from their own counts; the last has draws only, so its error is undefined here.
    assert unlike == ["humpback-llama2-70b", "humpback-llama-65b", "baize-v2-7b", "text_davinci_003"]


def test_the_ties_score_is_the_one_that_rewardbench_works_out():
    rows = [
        (reward, correct, prompt, reference)
        for reference, kind in ((0, "tied"), (1, "reference"))
        for prompt, parts in enumerate(OTHERS["ties"][kind])
        for correct, rewards in ((1, parts[0]), (0, parts[1]))
        for reward in rewards
    ]
    assert ties_score(*map(list, zip(*rows, strict=True))).score == pytest.approx(OTHERS["ties"]["score"], abs=1e-12)


def test_the_best_of_four_has_the_credits_that_rewardbench_works_out():
    rewards, expected = np.array(OTHERS["best_of_4"]["rewards"], float), OTHERS["best_of_4"]["credits"]
    given = rewards.ravel(), np.tile([1, 0, 0, 0], len(rewards)), np.repeat(np.arange(len(rewards)), 4)
    assert item_credits(*given).credits.tolist() == pytest.approx(expected)
    assert best_of_n_accuracy(*given).accuracy == pytest.approx(np.mean(expected))


def test_the_style_matrix_is_the_one_that_rm_bench_works_out():
    chosen, rejected, wins = (np.array(OTHERS["rm_bench"][name], float) for name in ("chosen", "rejected", "wins"))
    styles = ["concise", "detailed", "markdown"]
    n = len(chosen)
    found = style_matrix(
        np.repeat(chosen, 3, axis=1).ravel(),
        np.tile(rejected, 3).ravel(),
        np.tile(np.repeat(styles, 3), n),
        np.tile(styles, 3 * n),
        styles,
    )
    assert [[cell.accuracy for cell in row] for row in found.matrix] == pytest.approx(wins / n)
