"""What a report may claim, and what its headline says where it may claim nothing."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from statsmodels.stats.multitest import multipletests

from seal_datasets import schema
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze import analyze
from seal_datasets.report.analyze_memory import memorisation_gaps
from seal_datasets.report.audited_models import PRE_AND_POST
from seal_datasets.report.claims import LEVEL, add_claims, primary_features
from seal_datasets.report.headline import headline

FEATURES = [
    Feature("kind", "target", "response", "bool", "Is it kind?", 1, ()),
    Feature("long", "spoiler", "response", "bool", "Is it long?", None, ()),
]
RUN = {"labeler": None, "models": {"pre": {}, "post": {}}, "baseline": "pre"}


def table(
    n=400, seed=0, *, post=(0.0, 0.0), pre=(0.0, 0.0), factor=1.0, luck=0.0, asked=1.0, heldout=None, constant=()
):
    """Pairs of 1-3 per prompt; people choose by kindness and chance, and models reward what is stated."""
    rng = np.random.default_rng(seed)
    prompts = np.repeat(np.arange(n), rng.integers(1, 4, n))[:n]
    sides = [rng.random((n, 2)) < 0.5 for _ in range(2)]
    for column in constant:
        for side in sides:
            side[:, column] = False
    utility = asked * (sides[0][:, 0].astype(float) - sides[1][:, 0]) + rng.logistic(size=n)
    swap = utility < 0
    chosen, rejected = (np.where(swap[:, None], a, b).astype(float) for a, b in ((sides[1], sides[0]), sides))
    frame = pd.DataFrame({schema.PAIR_ID: [str(i) for i in range(n)], schema.PROMPT_ID: [f"p{p}" for p in prompts]})
    frame[schema.PROBLEMS] = [[] for _ in range(n)]
    base = [rng.normal(size=n) for _ in schema.SIDES]
    for side, x, shared in zip(schema.SIDES, (chosen, rejected), base, strict=True):
        for j, feature in enumerate(FEATURES):
            frame[schema.feature_column(feature.name, side)] = x[:, j]
        frame[schema.reward_column("pre", side)] = x @ pre + shared
        # The same preferences as before, in units of its own, where nothing is added.
        own = luck * rng.normal(size=n)
        frame[schema.reward_column("post", side)] = factor * (x @ (np.array(pre) + post) + shared + own)
    if heldout is not None:
        frame[schema.PARTITION] = np.where(prompts < np.quantile(prompts, heldout), "heldout", "train")
    return Dataset.from_pandas(frame)


def report_of(pairs, features=FEATURES):
    report = {"run": RUN, **analyze(pairs, features)}
    add_claims(report, features)
    return report


def found_tests(entry):
    if isinstance(entry, dict):
        yield from ([entry] if "p_value" in entry else [])
        entry = list(entry.values())
    if isinstance(entry, list):
        for value in entry:
            yield from found_tests(value)


def test_a_planted_imprint_and_its_change_are_claims_and_the_rest_is_exploratory():
    report = report_of(table(pre=(0.6, 0.0), post=(0.0, 1.0)))
    claims = [(claim["quantity"], claim["feature"]) for claim in report["claims"]]
    assert claims[:3] == [("imprint", "long"), ("imprint", "kind"), ("change", "long")]
    lines = headline(report)
    assert any(line.startswith("The post-training model rewards long (+") for line in lines)
    assert any(line.startswith("After training the model gives more for long (+") for line in lines)
    family = report["primary_family"]
    assert (family["pairs"], family["n_tests"]) == ("all", 6)
    raw = [test["p_value"] for test in family["tests"]]
    np.testing.assert_allclose([test["p_adjusted"] for test in family["tests"]], multipletests(raw, method="holm")[1])
    assert all(0 < claim["robustness_value"] < 1 for claim in report["claims"] if claim["quantity"] != "amplification")


def test_every_test_is_in_the_family_or_has_a_q_value_over_all_others():
    report = report_of(table(pre=(0.6, 0.0), luck=0.5))
    tests = [test for test in found_tests({k: v for k, v in report.items() if k not in ("claims", "primary_family")})]
    assert sum("p_primary" in test for test in tests) == 6
    others = [test for test in tests if "p_primary" not in test]
    known = [test for test in others if test["p_value"] is not None]
    assert len(known) > 14
    expected = multipletests([test["p_value"] for test in known], method="fdr_bh")[1]
    np.testing.assert_allclose([test["q_value"] for test in known], expected)
    assert all(test["q_value"] is None for test in others if test["p_value"] is None)


def test_three_times_the_rewards_is_no_change_though_every_point_has_tripled():
    report = report_of(table(pre=(1.0, 0.5), factor=3.0))
    points = report["imprint"]["all_features"]["changes"]["post - pre"]["imprint"]
    assert all(row["p_adjusted"] < 1e-3 for row in points)
    assert not [claim for claim in report["claims"] if claim["quantity"] == "change"]
    assert any(line.startswith("No change of an imprint could be tested (no_residual") for line in headline(report))


def test_without_a_claim_the_headline_says_what_could_have_been_found():
    report = report_of(table(seed=3, luck=0.5, asked=0.0))
    assert report["claims"] == []
    said = [line for line in headline(report) if line.startswith("No ")]
    assert len(said) == 3
    limits = report["primary_family"]["not_claimed"]["imprint"]
    low, high = limits["detectable"]
    assert (
        f"at 80 % power, effects of {low:.2f} to {high:.2f} SD of reward, and all beyond {limits['excluded_beyond']:.2f}"
        in said[0]
    )


def test_what_is_not_tested_is_not_said_to_be_nothing():
    report = report_of(table(constant=(0, 1)))
    assert report["primary_family"]["n_tests"] == 0
    assert "No imprint could be tested (not_identified 2)." in headline(report)
    nothing = report_of(table(), [])
    assert nothing["claims"] == []
    assert len(headline(nothing)) == 2  # resistance alone


def test_held_out_pairs_speak_and_the_training_part_and_the_gap_stand_beside():
    pairs = table(n=600, post=(0.5, 0.5), heldout=0.5)
    report = report_of(pairs)
    frame = pairs.to_pandas()
    for part, found in (("heldout", report), ("train", report["seen"])):
        alone = analyze(
            Dataset.from_pandas(frame[frame[schema.PARTITION] == part].drop(columns=schema.PARTITION)), FEATURES
        )
        for row, other in zip(
            found["imprint"]["all_features"]["models"]["post"]["imprint"],
            alone["imprint"]["all_features"]["models"]["post"]["imprint"],
            strict=True,
        ):
            assert row["coefficient"] == pytest.approx(other["coefficient"])
    gap = next(row for row in report["memory"] if row["quantity"] == "imprint" and row["of"] == "kind")
    rows = [
        part["imprint"]["all_features"]["standardised"]["sd"]["models"]["post"][0] for part in (report["seen"], report)
    ]
    assert gap["gap"] == pytest.approx(rows[0]["estimate"] - rows[1]["estimate"])
    assert {row["quantity"] for row in report["memory"]} == {
        "resistance",
        "regime",
        "change of margin",
        "labeler agreement",
        "imprint",
        "driver",
    }
    assert memorisation_gaps(report, PRE_AND_POST) == report["memory"]


def test_the_family_is_the_taxonomy_or_else_the_surface_features():
    assert primary_features([*FEATURES, *SURFACE_FEATURES]) == ("kind", "long")
    assert primary_features(SURFACE_FEATURES) == tuple(feature.name for feature in SURFACE_FEATURES)
    topics = Feature("topics", "spoiler", "response", "labels", "Which?", None, (("art", 0), ("law", 1)))
    assert primary_features([*FEATURES, topics]) == ("kind", "long")


def test_reports_of_nothing_seldom_claim_anything():
    worlds = (table(n=150, seed=seed, luck=1.0, asked=0.0, heldout=0.6) for seed in range(30))
    # 5 %, and three Monte Carlo errors of 4 points.
    assert np.mean([bool(report_of(world)["claims"]) for world in worlds]) < LEVEL + 0.12
