"""A report corrects its claims by gold labels where their draw is known, and says why where it does not."""

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import load_pairs, load_taxonomy
from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.audit.run import run_audit
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze import analyze
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.claims import add_claims
from seal_datasets.report.headline import headline
from seal_datasets.report.write import check_report, write_report

NAMES = ("last_response_is_helpful", "last_response_is_refusal")
FEATURES = load_taxonomy().select(NAMES).features
ONE = AuditedModels(("rm",), None)


def table(n=1200, *, share=0.15, seed=0, known=True, missing=()):
    """Pairs of a model that rewards helpfulness alone; labels of refusal are wrong where the reward is high."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((2, n, 2)) < [0.5, 0.3]).astype(bool)
    rewards = 1.0 * truth[:, :, 0] + rng.normal(size=(2, n))
    likely = 1 / (1 + np.exp(2.0 - 1.2 * rewards))
    labels = truth ^ (rng.random(truth.shape) < likely[:, :, None])
    drawn = rng.random(n) < share
    rows = []
    for i in range(n):
        row = {"prompt": f"Question {i}?", "chosen": f"yes {i}", "rejected": f"no {i}", "gold_probability": share}
        for side, name in enumerate(("chosen", "rejected")):
            row[f"reward_rm_{name}"] = float(rewards[side, i])
            for k, feature in enumerate(NAMES):
                row[f"feature_{feature}_{name}"] = None if feature in missing else bool(labels[side, i, k])
                row[f"gold_{feature}_{name}"] = bool(truth[side, i, k]) if drawn[i] else None
        rows.append(row)
    pairs, _ = load_pairs(Dataset.from_list(rows))
    return pairs if known else pairs.remove_columns("gold_probability")


def report_of(pairs, labeler=None):
    found = analyze(pairs, FEATURES, ONE)
    run = {"labeler": labeler or {"gold": {"source": "people"}}, "models": {"rm": {}}, "baseline": None}
    found |= {"run": run}
    add_claims(found, FEATURES, ONE)
    return found


def rows_of(report):
    return {row["feature"]: row for row in report["correction"]["imprint"]["sd"]["models"]["rm"]}


def test_claims_are_those_of_the_corrected_estimates():
    report = report_of(table())
    correction = report["correction"]
    assert (correction["status"], correction["n_prompts"], correction["as_measured"]) == ("corrected", 1200, [])
    rows = rows_of(report)
    naive = {row["feature"]: row for row in report["imprint"]["all_features"]["standardised"]["sd"]["models"]["rm"]}
    for name in NAMES:
        assert rows[name]["naive_estimate"] == pytest.approx(naive[name]["estimate"])
    low, high = rows[NAMES[1]]["confidence_interval"]
    assert low <= 0.0 <= high  # the model does not care for refusals
    assert abs(naive[NAMES[1]]["estimate"]) > 3 * naive[NAMES[1]]["std_error"]  # and the labels said it does
    claimed = {claim["feature"] for claim in report["claims"] if claim["quantity"] == "imprint"}
    assert claimed == {NAMES[0]}
    assert all(claim["corrected"] for claim in report["claims"])
    said = " ".join(headline(report | {"models": report["models"]}))
    assert "Estimates are corrected towards people's labels, drawn for" in said
    teacher = report_of(table(), {"gold": {"source": "teacher: strong"}})
    assert "towards the labels of the teacher: strong" in " ".join(headline(teacher))
    assert "p_primary" not in naive[NAMES[0]]
    assert naive[NAMES[0]]["q_value"] is not None


@pytest.mark.parametrize(
    ("pairs", "status", "said"),
    [
        (lambda: table(known=False), "draw_not_known", "how the gold labels were drawn"),
        (lambda: table(n=200, share=0.05), "too_few_gold_prompts", "fewer than 20 prompts"),
        (
            lambda: table(n=200).remove_columns(
                [f"gold_{name}_{side}" for name in NAMES for side in ("chosen", "rejected")]
            ),
            "no_gold_labels",
            "there are no gold labels",
        ),
    ],
)
def test_without_a_usable_draw_claims_say_which_errors_they_bear(pairs, status, said):
    report = report_of(pairs())
    assert report["correction"]["status"] == status
    assert said in " ".join(headline(report))
    curve = report["error_curves"]["rm"][NAMES[0]]
    assert set(curve) == {"sign_flips_at", "insignificant_at", "largest_rate"}
    assert all(claim["corrected"] is False for claim in report["claims"])
    for claim in report["claims"]:
        if claim["quantity"] == "imprint":
            assert claim["sign_flips_at"] == report["error_curves"]["rm"][claim["feature"]]["sign_flips_at"]


def test_a_feature_without_any_label_is_left_out_and_the_others_are_estimated():
    report = report_of(table(missing=(NAMES[1],)))
    assert report["imprint"]["all_features"]["n_pairs"] == 1200
    assert [row["feature"] for row in report["imprint"]["all_features"]["standardised"]["sd"]["models"]["rm"]] == [
        NAMES[0]
    ]
    assert report["labels"][NAMES[1]]["n_missing"] == 2400
    assert report["correction"]["features"] == [NAMES[0]]


def test_a_rare_feature_is_withheld_and_the_others_are_corrected():
    pairs = table()
    rare = next(feature for feature in SURFACE_FEATURES if feature.name == "surface_has_code")
    for side, rows in (("chosen", {3, 500, 900}), ("rejected", set())):
        name = f"feature_{rare.name}_{side}"
        pairs = pairs.add_column(name, [float(row in rows) for row in range(len(pairs))])
    found = analyze(pairs, [*FEATURES, rare], ONE)["correction"]
    assert (found["status"], found["as_measured"]) == ("corrected", [rare.name])
    rows = {row["feature"]: row["status"] for row in found["imprint"]["sd"]["models"]["rm"]}
    assert rows == {NAMES[0]: "ok", NAMES[1]: "ok", rare.name: "no_variance_left"}


def test_gold_labels_everywhere_need_no_probability():
    report = report_of(table(n=300, share=1.0, known=False))
    assert report["correction"]["status"] == "corrected"


def test_agreement_on_pairs_beyond_the_corrected_ones_needs_a_known_draw():
    pairs = table(n=300, share=1.0, known=False).to_pandas().astype(object)
    # Pairs without a label of refusal have no part in the correction, and here no gold labels either.
    for side in ("chosen", "rejected"):
        pairs.loc[200:, [f"feature_{NAMES[1]}_{side}", *(f"gold_{name}_{side}" for name in NAMES)]] = None
    correction = analyze(Dataset.from_pandas(pairs), FEATURES, ONE)["correction"]
    assert (correction["status"], correction["n_prompts"]) == ("corrected", 200)
    assert correction["agreement"] == {"status": "draw_not_known"}


def test_a_report_on_disk_holds_its_correction_and_can_be_recomputed(tmp_path):
    pairs = table()
    audit_own_rewards(pairs, tmp_path / "own", {"rm": ("reward_rm_chosen", "reward_rm_rejected")})
    assert check_report(tmp_path / "own") == []
    settings = AuditSettings(labeler="none")
    run_audit(pairs, tmp_path / "run", settings, models={"rm": ("reward_rm_chosen", "reward_rm_rejected")})
    assert check_report(tmp_path / "run") == []
    assert write_report is not None
