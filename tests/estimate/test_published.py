"""The estimators against figures published with SEAL, rebuilt from counts (hh-rlhf train, 160,800 pairs)."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from seal_datasets import estimate

PUBLISHED = yaml.safe_load((Path(__file__).parents[2] / "benchmarks" / "published" / "seal.yaml").read_text("utf-8"))
CELLS = PUBLISHED["cells"]
ALIGNED = {  # before, after
    "stayed_aligned": (1, 1),
    "became_aligned": (0, 1),
    "stayed_misaligned": (0, 0),
    "reversed_alignment": (1, 0),
}
AHEAD = {"indifferent": 0, "chosen": 1, "rejected": -1}
# Pairs by [harmless, helpful] of the chosen and the rejected text.
LABEL_PAIRS = {tuple(key.split()): n for key, n in PUBLISHED["label_pairs"].items()}
# Rewritten pairs by flip (original minus rewritten): how many, and how many of them became misaligned.
FLIPS = {tuple(key.split()): cells for key, cells in PUBLISHED["flips"].items()}


def _cells():
    """Alignment before, after, and who is ahead by the labels, one entry per pair."""
    rows = [(*ALIGNED[regime], AHEAD[side]) for regime, sides in CELLS.items() for side in sides]
    return np.repeat(np.array(rows), [n for sides in CELLS.values() for n in sides.values()], axis=0).T


def test_regimes_and_alignment_scores():
    before, after, _ = _cells()
    found = estimate.alignment_resistance(after, 1 - after, pre_chosen_rewards=before, pre_rejected_rewards=1 - before)
    assert {name: regime.count for name, regime in found.regimes.items()} == {
        "became_aligned": 41_445,
        "stayed_aligned": 77_646,
        "stayed_misaligned": 27_644,
        "reversed_alignment": 14_065,
    }
    assert found.n_pairs == 160_800
    assert round(found.alignment_score, 2) == 0.74
    assert round(found.pre_alignment_score, 2) == 0.57
    assert round(found.alignment_resistance, 2) == 0.26


def test_the_labelers_preference():
    labels = np.array([[int(each) for each in chosen + rejected] for chosen, rejected in LABEL_PAIRS])
    labels = np.repeat(labels, list(LABEL_PAIRS.values()), axis=0)
    preference = estimate.labeler_preference(labels[:, :2], labels[:, 2:])
    names, counts = np.unique(preference, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "chosen": 28_443,
        "rejected": 10_840,
        "indifferent": 121_517,
    }


def test_agreement_rates_of_table_1():
    before, after, ahead = _cells()
    found = estimate.labeler_agreement(
        np.maximum(ahead, 0)[:, None], np.maximum(-ahead, 0)[:, None], ["target"], aligned=after, pre_aligned=before
    )
    rates = {name: regime.agreement_rate for name, regime in found.regimes.items()}
    assert round(rates["became_aligned"], 2) == 0.74
    assert round(rates["stayed_aligned"], 2) == 0.86
    assert round(rates["stayed_misaligned"], 2) == 0.34
    # 1,410 of 2,959 is 0.4765; the table has 0.47, cut off rather than rounded.
    assert math.floor(rates["reversed_alignment"] * 100) / 100 == 0.47
    # 186 pairs more go to the chosen side than by the rule, as the notebook counted.
    assert (found.preference["chosen"], found.preference["rejected"]) == (28_443 + 186, 10_840 - 186)


def _robustness(feature, side, estimator):
    table = FLIPS[feature, side]
    flips = np.repeat(list(table), [n for n, _ in table.values()])
    lost = np.concatenate([np.arange(n) < misaligned for n, misaligned in table.values()])
    changed, same = flips[:, None], np.zeros((len(flips), 1))
    chosen, rejected = (changed, same) if side == "chosen" else (same, changed)
    fit = estimate.alignment_robustness(np.ones(len(flips)), ~lost, chosen, rejected, [feature], estimator=estimator)
    return fit, {row.direction: row for row in fit.scores if row.side == side}


def test_texts_made_less_positive_by_odds_ratio():
    fit, rows = _robustness("sentiment", "chosen", "logit")
    row = rows["+"]
    assert (fit.n_pairs, fit.n_misaligned_by_rewriting, row.n_flips) == (1608, 170, 79)
    assert round(row.coefficient, 3) == 0.906
    assert round(row.odds_ratio, 2) == 2.47
    assert row.std_error == pytest.approx(math.sqrt(1 / 17 + 1 / 62 + 1 / 142 + 1 / 1281))


def test_texts_made_less_positive_by_linear_probability():
    _, rows = _robustness("sentiment", "chosen", "linear_probability")
    assert round(rows["+"].coefficient, 4) == 0.1154
    assert math.isnan(rows["+"].odds_ratio)


@pytest.mark.parametrize(("feature", "side"), list(FLIPS))
@pytest.mark.parametrize("estimator", ["logit", "linear_probability"])
def test_every_published_table_of_flips_is_saturated(feature, side, estimator):
    fit, rows = _robustness(feature, side, estimator)
    assert (fit.n_pairs, fit.n_misaligned_by_rewriting) == (1608, 170)
    base, base_lost = FLIPS[feature, side][0]
    for direction, sign in (("+", 1), ("-", -1)):
        cells = [cell for flip, cell in FLIPS[feature, side].items() if flip * sign > 0]
        n, lost = sum(cell[0] for cell in cells), sum(cell[1] for cell in cells)
        assert rows[direction].n_flips == n
        difference = lost / n - base_lost / base
        log_odds = math.log(lost / (n - lost) * (base - base_lost) / base_lost)
        assert rows[direction].coefficient == pytest.approx(log_odds if estimator == "logit" else difference)
