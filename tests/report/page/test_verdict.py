"""Verdict rules on results with known right sentences, and the page's other words and numbers."""

import json

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import load_pairs
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.report.analyze import analyze
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.claims import add_claims
from seal_datasets.report.headline import headline
from seal_datasets.report.page.advice import what_to_do
from seal_datasets.report.page.verdict import verdict

FEATURES = [feature for feature in SURFACE_FEATURES if feature.name in ("surface_has_code", "surface_has_bold")]
ONE, TWO = AuditedModels(("rm",), None), AuditedModels(("before", "after"), "before")


def report_of(n=400, models=ONE, *, effect=0.0, ties=False, partition=False, constant=False, labeler=None, seed=1):
    """A report of a table whose models agree with people, and in which code is worth `effect` to the last one only."""
    rng = np.random.default_rng(seed)
    has = np.zeros((2, n, 2), dtype=bool) if constant else rng.random((2, n, 2)) < 0.4
    rows = []
    noise = {name: rng.normal(size=(2, n)) for name in models.names}
    for i in range(n):
        row = {"prompt": f"Question {i}", "chosen": f"a {i}", "rejected": f"b {i}"}
        for side, word in enumerate(("chosen", "rejected")):
            for k, feature in enumerate(FEATURES):
                row[f"feature_{feature.name}_{word}"] = bool(has[side, i, k])
            for name in models.names:
                reward = (
                    noise[name][side, i] + 0.6 * (side == 0) + (effect * has[side, i, 0] if name == models.last else 0)
                )
                row[f"reward_{name}_{word}"] = 1.0 if ties else float(reward)
        if partition:
            row["partition"] = "heldout" if i % 2 else "train"
        rows.append(row)
    pairs, _ = load_pairs(Dataset.from_list(rows))
    found = analyze(pairs, FEATURES, models)
    found["run"] = {"labeler": labeler, "models": {name: {} for name in models.names}, "baseline": models.baseline}
    add_claims(found, FEATURES, models)
    return json.loads(json.dumps(found))


def said(report):
    return [sentence.text for sentence in verdict(report)]


def test_a_planted_reward_is_claimed_with_its_interval_and_nothing_else_is():
    report = report_of(effect=1.5)
    text = said(report)[1]
    claim = next(claim for claim in report["claims"] if claim["quantity"] == "imprint")
    assert text.startswith(f"rm rewards code ({claim['estimate']:+.2f} SD of reward")
    assert "bold" not in " ".join(said(report))
    assert "18 tests" not in verdict(report)[1].rests_on
    assert f"{report['primary_family']['n_tests']} tests declared beforehand" in verdict(report)[1].rests_on
    beyond = next(claim for claim in report["claims"] if claim["quantity"] == "amplification")
    assert said(report)[2].startswith(
        f"rm gives more than people asked for to code ({beyond['estimate']:+.2f} log-odds"
    )


def test_noise_says_that_nothing_can_be_claimed_and_what_would_have_been_found():
    report = report_of()
    assert not report["claims"]
    largest = report["primary_family"]["not_claimed"]["imprint"]["detectable"][1]
    assert said(report)[1] == (
        f"Nothing can be claimed about what is rewarded: imprints from {largest:.2f} SD of reward on would have been found in "
        "80 % of such audits."
    )


def test_features_that_never_differ_cannot_be_tested():
    sentence = verdict(report_of(constant=True))[1]
    assert sentence.text == "No feature could be tested: too few pairs differ in any."
    assert "not identified" in sentence.rests_on


def test_rewards_that_never_differ_are_not_said_to_be_too_few_pairs():
    sentence = verdict(report_of(ties=True))[1]
    assert sentence.text == "No feature could be tested."
    assert sentence.rests_on == "constant rewards 2, no margins 2"


def test_one_model_without_held_out_pairs_is_not_said_to_face_unseen_prompts():
    report = report_of()
    assert said(report)[0].startswith("rm prefers what people chose in ")
    assert "not trained on" not in " ".join(said(report))
    assert any("may be memory" in text for text, _ in what_to_do(report, {}))


def test_held_out_pairs_and_a_baseline_are_named():
    report = report_of(models=TWO, partition=True)
    before = report["models"]["before"]["resistance"]["heldout"]["alignment_score"]
    assert said(report)[0].startswith("On prompts that it was not trained on, after prefers")
    assert said(report)[0].endswith(f"; before does in {100 * before:.1f} %.")
    assert any(text.startswith("Of the pairs that it was trained on it resists ") for text in said(report))
    assert not any("may be memory" in text for text, _ in what_to_do(report, {}))


def test_ties_everywhere_count_as_not_preferring():
    sentence = verdict(report_of(ties=True))[0]
    assert sentence.text.startswith("rm prefers what people chose in 0.0 % of pairs")
    assert "400 are ties, which count as not preferring" in sentence.rests_on


def test_failed_checks_of_the_scores_come_first():
    report = report_of(effect=1.5)
    report["run"]["doctor"] = {"rm": {"failed": ["batch size"]}}
    assert said(report)[0] == "The scores of rm failed checks: read nothing else before these are mended."
    assert what_to_do(report, {"": 9})[0][0].startswith("Mend the scores first")
    assert len(verdict(report)) <= 5


@pytest.mark.parametrize(
    ("labeler", "told"),
    [
        ({"model": "gpt-x"}, "Nobody checked the labels of gpt-x: there are no gold labels."),
        (None, None),
    ],
)
def test_labels_are_spoken_of_where_there_are_any(labeler, told):
    report = report_of(labeler=labeler)
    assert (told in said(report)) is (labeler is not None)
    advised = " ".join(text for text, _ in what_to_do(report, {}))
    assert "seal gold DATA" in advised


def test_the_advice_names_pairs_that_the_page_can_show():
    report = report_of(effect=1.5)
    text, state = what_to_do(report, {"": 200, "surface_has_code": 31})[0]
    assert text == "Read the 31 resistant pairs in which the rejected response has more of “code”."
    assert state == "#aligned=no&more_rejected=surface_has_code"


def test_the_advice_speaks_of_the_model_whose_pairs_the_page_shows():
    report = report_of(models=TWO, effect=1.5)
    for claim in report["claims"]:
        claim["model"] = "another"
    text, state = what_to_do(report, {"surface_has_code": 31})[0]
    assert text.endswith("resistant pairs, largest margin first.")
    assert state == "#aligned=no"


def test_a_feature_that_the_probe_did_not_learn_is_said_in_its_place():
    detail = "right in 80.0% of gold texts; always giving the commonest answer is right in 82.0%"
    learned = {
        "last_response_is_eloquent": {"status": "weak", "detail": detail},
        "other": {"status": "ok", "detail": ""},
    }
    report = report_of(labeler={"model": "probe", "kind": "probe", "learned": learned, "keep_weak": False})
    said_so = f"No labels of last_response_is_eloquent, which the probe did not learn: {detail}."
    assert said_so in headline(report)
    assert "other" not in " ".join(headline(report))
    report["run"]["labeler"]["keep_weak"] = True
    kept = f"Labels of last_response_is_eloquent are no better than its commonest answer: {detail}."
    assert kept in headline(report)
