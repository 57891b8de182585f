"""Widths that gold labels would give: by hand, against audits with more labels, and from the command."""

import math

import pytest
from scipy import stats

from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.cli import main
from seal_datasets.errors import DataError
from seal_datasets.gold.plan import plan_gold
from tests.report.test_correction import report_of, rows_of, table


def report(*, corrected, naive, n_pilot=100):
    """A report as small as the plan reads."""
    rows = [{"feature": "kind", "std_error": corrected}, {"feature": "unchecked", "std_error": 0.3}]
    naive_rows = [{"feature": "kind", "std_error": naive}, {"feature": "unchecked", "std_error": 0.2}]
    return {
        "population": {"n_used": 1500, "n_prompts": 500},
        "primary_family": {"models": ["rm"]},
        "imprint": {"all_features": {"standardised": {"sd": {"models": {"rm": naive_rows}}}}},
        "correction": {
            **{"status": "corrected", "n_gold_prompts": n_pilot, "n_prompts": 500, "features": ["kind"]},
            "imprint": {"sd": {"models": {"rm": rows}}},
        },
    }


def test_the_part_of_the_variance_that_few_labels_cause_falls_with_their_number():
    plan = plan_gold(report(corrected=0.2, naive=0.1), sizes=(100, 250, 1000), seconds_per_answer=9)
    # 0.2^2 = 0.1^2 + 0.03 at 1 in 5, odds 4 to 1 against; at 1 in 2 the odds are even: 0.1^2 + 0.03 / 4 = 0.0175; all: 0.1^2.
    by_hand = [stats.t.ppf(0.975, n - 1) * 2 * math.sqrt(v) for n, v in ((100, 0.04), (250, 0.0175), (500, 0.01))]
    assert plan.sizes == (100, 250, 500)  # there are no more prompts
    assert plan.widths == {"rm: kind": pytest.approx(by_hand)}
    assert plan.texts == (600, 1500, 3000)  # three pairs a prompt
    assert plan.hours == (1.5, 3.75, 7.5)  # one question a text
    assert plan_gold(report(corrected=0.2, naive=0.1)).seconds_per_answer == 12


def test_where_the_pilot_is_as_exact_as_all_labels_more_of_them_add_freedom_only():
    (widths,) = plan_gold(report(corrected=0.1, naive=0.15), sizes=(100, 400)).widths.values()
    assert widths == pytest.approx([0.3 * stats.t.ppf(0.975, size - 1) for size in (100, 400)])


def test_a_pilot_foretells_the_widths_of_audits_with_more_labels():
    ratios = []
    for seed in range(3):
        pilot = report_of(table(share=0.1, seed=seed))
        for share in (0.2, 0.4):
            larger = report_of(table(share=share, seed=seed))
            planned = plan_gold(pilot, sizes=(larger["correction"]["n_gold_prompts"],)).widths
            for feature, row in rows_of(larger).items():
                low, high = row["confidence_interval"]
                ratios.append(planned[f"rm: {feature}"][0] / (high - low))
    assert 0.75 < min(ratios) < max(ratios) < 1.5
    assert 0.9 < math.exp(sum(map(math.log, ratios)) / len(ratios)) < 1.2


@pytest.mark.parametrize(("correction", "why"), [({}, "no gold labels"), ({"status": "too_few"}, "too few")])
def test_without_corrected_estimates_there_is_nothing_to_plan_from(correction, why):
    with pytest.raises(DataError, match=rf"no corrected estimates to plan from \({why}\); label 20 or more"):
        plan_gold({"correction": correction})


def test_where_all_prompts_have_gold_labels_none_is_left_to_plan():
    with pytest.raises(DataError, match="all 500 prompts of the audit have gold labels"):
        plan_gold(report(corrected=0.2, naive=0.1, n_pilot=500))


def test_the_command_prints_a_width_by_size_and_the_price_of_a_teacher(tmp_path, capsys):
    audit_own_rewards(table(400), tmp_path / "audit", {"rm": ("reward_rm_chosen", "reward_rm_rejected")})
    capsys.readouterr()
    words = ["gold", "--plan", "--audit", str(tmp_path / "audit"), "--out", str(tmp_path / "gold")]
    assert main([*words, "--features", "last_response_is_helpful", "--teacher-model", "gpt-4o-mini"]) == 0
    first, sizes, *rest = capsys.readouterr().out.splitlines()
    assert "a person is taken to need 12 s for an answer" in first
    assert sizes.split() == ["gold", "prompts", "100", "300", "400"]
    (helpful,) = [line for line in rest if line.startswith("rm: last_response_is_helpful")]
    widths = [float(cell) for cell in helpful.split()[-3:]]
    assert widths == sorted(widths, reverse=True)
    assert len([line for line in rest if line.startswith("teacher, ")]) == 3
    assert main(["gold", "--plan", "--audit", str(tmp_path / "gold")]) == 2
