"""What the analysis adds to the estimators: which pairs and columns it hands them, and what it says of the rest."""

import json

import numpy as np
import pytest

from seal_datasets import estimate, schema
from seal_datasets.errors import DataError
from seal_datasets.labels.design import feature_design
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze import analyze, derived_columns
from seal_datasets.report.analyze_part import MIN_DISCORDANT


@pytest.fixture(scope="module")
def results(enriched):
    return analyze(*enriched)


def test_every_pair_is_used_or_left_out_for_a_stated_reason(results):
    population = results["population"]
    assert population["n_pairs"] == 120
    assert population["excluded"] == {
        "missing_chosen": 1,
        "missing_rejected": 1,
        "no reward from post for the chosen text": 1,
    }
    assert population["n_used"] == 117


def test_results_are_json_without_nan(results):
    json.dumps(results, allow_nan=False)


def test_resistance_is_the_estimators_on_each_part(enriched, results):
    table = enriched[0].to_pandas()
    used = ~table.index.isin([5, 6, 7])
    for part, mask in (("all", used), ("heldout", used & (table[schema.PARTITION] == "heldout"))):
        rewards = {
            name: table.loc[mask, schema.reward_column(model, side)].to_numpy(float)
            for name, model, side in (
                ("chosen_rewards", "post", "chosen"),
                ("rejected_rewards", "post", "rejected"),
                ("pre_chosen_rewards", "pre", "chosen"),
                ("pre_rejected_rewards", "pre", "rejected"),
            )
        }
        prompts = table.loc[mask, schema.PROMPT_ID]
        both = estimate.alignment_resistance(**rewards, groups=prompts).to_dict()
        found = results["models"]["post"]["resistance"][part]
        of_two = {"noise_aware", "pre_alignment_score", "n_pre_ties", "regimes", "change"}
        assert found == {key: value for key, value in both.items() if key not in of_two}
        comparison = results["comparisons"]["post - pre"]
        assert (comparison["regimes"][part], comparison["change"][part]) == (both["regimes"], both["change"])
        assert results["models"]["pre"]["resistance"][part]["alignment_score"] == both["pre_alignment_score"]
    parts = results["models"]["post"]["resistance"]
    assert parts["train"]["n_pairs"] + parts["heldout"]["n_pairs"] == 117


def test_calibration_is_the_estimators_of_each_model_on_each_part(enriched, results):
    table = enriched[0].to_pandas()
    used = ~table.index.isin([5, 6, 7])
    heldout = used & (table[schema.PARTITION] == "heldout")
    for model in ("pre", "post"):
        for part, mask in (("all", used), ("heldout", heldout)):
            rewards = [table.loc[mask, schema.reward_column(model, side)].to_numpy(float) for side in schema.SIDES]
            found = estimate.reward_calibration(*rewards, groups=table.loc[mask, schema.PROMPT_ID])
            assert results["models"][model]["reward_calibration"][part] == found.to_dict()


def test_quantities_by_feature_are_the_estimators_on_held_out_pairs(enriched, results):
    table = enriched[0].to_pandas()
    heldout = ~table.index.isin([5, 6, 7]) & (table[schema.PARTITION] == "heldout")
    surface = [feature for feature in enriched[1] if feature in SURFACE_FEATURES]
    rewards = [table.loc[heldout, schema.reward_column("post", side)].to_numpy(float) for side in schema.SIDES]
    design = feature_design(table[heldout].reset_index(drop=True), surface)
    for name, estimator in (("congruence", estimate.congruent_accuracy), ("rulers", estimate.ruler_accuracy)):
        found = estimator(
            *rewards,
            design.chosen,
            design.rejected,
            design.names,
            groups=table.loc[heldout, schema.PROMPT_ID],
            min_discordant=MIN_DISCORDANT,
        )
        assert results["models"]["post"][name] == {
            "status": "ok",
            **found.to_dict(),
            "pairs": "heldout",
            "n_pairs_with_missing_labels": 0,
        }
    amplified = results["models"]["post"]["amplification"]
    assert (amplified["pairs"], amplified["n_pairs"]) == (
        "heldout",
        heldout.sum() - amplified["n_pairs_with_missing_labels"],
    )
    assert amplified["n_pairs_with_missing_labels"] > 0


def test_planted_imprints_come_back_and_the_change_is_their_difference(results):
    imprint = results["imprint"]["all_features"]
    rows = {
        model: {row["feature"]: row for row in fit["imprint"]}
        for model, fit in {**imprint["models"], **imprint["changes"]}.items()
    }
    for name, truth in (("last_response_is_harmless", 2.0), ("last_response_is_helpful", 1.0)):
        # Noise 0.3 on about 100 pairs: standard errors near 0.07, so 0.3 is more than four of them.
        assert rows["post"][name]["coefficient"] == pytest.approx(truth, abs=0.3)
        low, high = rows["pre"][name]["confidence_interval"]
        assert low < 0 < high
        assert rows["post - pre"][name]["coefficient"] == pytest.approx(
            rows["post"][name]["coefficient"] - rows["pre"][name]["coefficient"]
        )


def test_a_feature_of_one_answer_per_text_becomes_indicators_relative_to_the_commonest_and_a_joint_test(results):
    rows = {row["feature"]: row for row in results["imprint"]["all_features"]["models"]["post"]["imprint"]}
    # Twelve answers; each text has one.
    assert sum(name.startswith("topics: ") for name in rows) == 11
    reference = results["imprint"]["all_features"]["references"]["topics"]
    assert reference.startswith("topics: ")
    assert reference not in rows
    assert "collinear" not in {row["status"] for name, row in rows.items() if name.startswith("topics: ")}
    assert [test["block"] for test in results["imprint"]["all_features"]["models"]["post"]["blocks"]] == ["topics"]
    assert rows["topics: technology and applied sciences"]["status"] == "not_identified"
    assert rows["topics: technology and applied sciences"]["coefficient"] is None


def test_missing_labels_leave_pairs_out_by_count_and_surface_features_use_them_all(results):
    for part, found in (("heldout", results), ("train", results["seen"])):
        n_pairs = results["models"]["post"]["resistance"][part]["n_pairs"]
        imprint = found["imprint"]
        assert imprint["all_features"]["n_pairs_with_missing_labels"] > 0
        assert imprint["all_features"]["n_pairs"] + imprint["all_features"]["n_pairs_with_missing_labels"] == n_pairs
        assert imprint["surface"]["n_pairs"] == n_pairs
    assert results["labels"]["last_response_is_helpful"]["missing_by_reason"] == {"cut_off": 12}
    assert results["labels"]["last_response_is_helpful"]["n_missing"] == 12


def test_labels_are_held_against_gold(results):
    gold = results["labels"]["last_response_is_helpful"]["gold"]
    assert (gold["n"], gold["agreement"], gold["kappa"]) == (2 * 117 - 12, 1.0, 1.0)
    assert results["labels"]["surface_profanity"]["gold"] is None


def test_other_words_in_the_column_of_the_partition_are_no_part(enriched, results):
    table, features = enriched
    words = {"heldout": "heldout", "train": "all"}
    changed = table.remove_columns(schema.PARTITION).add_column(
        schema.PARTITION, [words[word] for word in table[schema.PARTITION]]
    )
    resistance = analyze(changed, features)["models"]["post"]["resistance"]
    assert resistance.keys() == {"all", "heldout"}
    assert resistance["all"] == results["models"]["post"]["resistance"]["all"]


def test_derived_columns_fit_the_rows_they_stand_in(enriched, results):
    table, features = enriched
    columns = {name: values.to_pylist() for name, values in derived_columns(table, features).items()}
    assert all(len(values) == 120 for values in columns.values())
    assert [index for index, regime in enumerate(columns[schema.regime_column("post")]) if regime is None] == [5, 6, 7]
    regimes = results["comparisons"]["post - pre"]["regimes"]["all"]
    assert {name: columns[schema.regime_column("post")].count(name) for name in regimes} == {
        name: entry["count"] for name, entry in regimes.items()
    }
    margins = np.array(columns[schema.margin_column("post")], dtype=float)
    post = [np.array(table[schema.reward_column("post", side)][:], dtype=float) for side in schema.SIDES]
    np.testing.assert_array_equal(margins[8:], (post[0] - post[1])[8:])
    assert columns[schema.LABELER_PREFERENCE][10] is None  # its helpfulness label is missing


def test_without_targets_or_features_the_rest_still_stands(enriched):
    table, features = enriched
    results = analyze(table, [feature for feature in features if feature.name == "surface_log_tokens"])
    assert results["comparisons"]["post - pre"]["labeler_agreement"]["status"] == "no target features"
    assert results["imprint"]["all_features"]["models"]["post"]["imprint"][0]["feature"] == "surface_log_tokens"
    assert analyze(table, [])["imprint"]["all_features"]["status"] == "no features"


def test_a_table_without_rewards_or_usable_pairs_is_refused(enriched):
    table, features = enriched
    with pytest.raises(DataError, match=r"the table lacks reward_pre_chosen"):
        analyze(table.remove_columns("reward_pre_chosen"), features)
    with pytest.raises(DataError, match="none of the 2 pairs can be used"):
        analyze(table.select([5, 6]), features)


def test_probabilities_are_calibrated_on_gold_labels_and_say_how_often_labels_are_wrong(enriched):
    table, features = enriched
    rng = np.random.default_rng(0)
    name = "last_response_is_harmless"
    for side in schema.SIDES:
        gold = np.array(table[schema.gold_column(name, side)][:], dtype=float)
        sure = np.where(gold == 1, 0.9, 0.2) + rng.uniform(-0.15, 0.09, len(gold))
        table = table.add_column(schema.probability_column(name, side), sure.tolist())
    found = analyze(table, features)["labels"]
    calibration = found[name]["calibration"]
    assert calibration["status"] == "ok"
    assert calibration["n"] == 2 * 117
    assert calibration["auc"] == 1.0
    assert calibration["brier_calibrated"] < calibration["brier"]
    assert 0.9 < calibration["implied_sensitivity"] <= 1.0
    assert found["topics"]["calibration"] is None
    calibrated = derived_columns(table, features)[schema.calibrated_column(name, "chosen")].to_pylist()
    assert calibrated[5] is None  # the pair has no text
    used = [row for row, value in enumerate(calibrated) if value is not None]
    assert len(used) == 117
    assert {calibrated[row] > 0.5 for row in used if table[schema.gold_column(name, "chosen")][row]} == {True}
    assert analyze(*enriched)["labels"][name]["calibration"] is None


def test_gold_labels_and_probabilities_of_different_texts_leave_a_reason(enriched):
    table, features = enriched
    name = "last_response_is_harmless"
    n = len(table)
    for number, side in enumerate(schema.SIDES):
        gold = [value if number else None for value in table[schema.gold_column(name, side)][:]]
        table = table.remove_columns(schema.gold_column(name, side)).add_column(schema.gold_column(name, side), gold)
        table = table.add_column(schema.probability_column(name, side), [None if number else 0.7] * n)
    label = analyze(table, features)["labels"][name]
    assert label["calibration"]["status"] == "no text has both a probability and a gold label"
    assert label["calibration"]["n"] == 0
    assert label["gold"]["n"] == n - 3
    assert schema.calibrated_column(name, "chosen") not in derived_columns(table, features)


def test_gold_labels_of_texts_without_a_label_leave_a_reason(enriched):
    table, features = enriched
    name = "last_response_is_harmless"
    for side in schema.SIDES:
        column = schema.gold_column(name, side)
        table = table.remove_columns(column).add_column(column, [None] * len(table))
    gold = analyze(table, features)["labels"][name]["gold"]
    assert (gold["n"], gold["agreement"], gold["status"]) == (0, None, "no text has both labels")
