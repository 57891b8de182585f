"""What probabilities are worth: by hand, against scikit-learn and DeLong, and coverage with clustered texts."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score

from seal_datasets import estimate
from seal_datasets.errors import DataError


def test_three_ordered_answers_by_hand():
    probabilities = [[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.0, 0.4, 0.6]]
    found = estimate.probability_worth(probabilities, [0, 1, 1, 2])
    # Expected answers 0.2, 1.0, 0.6, 1.6: all five pairs with different answers are in order.
    assert found.auc == 1
    assert np.isnan(found.auc_interval).all()
    squares = [0.04 + 0.04, 0.01 + 0.04 + 0.01, 0.25 + 0.36 + 0.01, 0.16 + 0.16]
    assert found.brier == pytest.approx(sum(squares) / 8)
    assert found.brier_of_shares == pytest.approx((1 - (1 + 4 + 1) / 16) / 2)
    assert found.status == "too_few_prompts"


def test_is_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 300)
    probabilities = np.round(expit(gold + rng.normal(size=300)), 1)
    found = estimate.probability_worth(probabilities, gold, groups=np.arange(300) // 3)
    assert found.auc == pytest.approx(roc_auc_score(gold, probabilities), abs=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(gold, probabilities), abs=1e-12)
    both = estimate.probability_worth(np.column_stack([1 - probabilities, probabilities]), gold)
    assert both.auc == found.auc


def test_without_clusters_the_error_is_delong_s():
    rng = np.random.default_rng(1)
    gold = np.repeat([0, 1], [400, 200])
    scores = expit(gold + rng.normal(size=600))
    low, high = estimate.probability_worth(scores, gold).auc_interval
    above, below = scores[gold == 1], scores[gold == 0]
    wins = above[:, None] > below
    by_above, by_below = wins.mean(axis=1), wins.mean(axis=0)
    error = np.sqrt(by_above.var(ddof=1) / len(above) + by_below.var(ddof=1) / len(below))
    half = (logit(high) - logit(low)) / 2
    area = wins.mean()
    assert half == pytest.approx(norm.ppf(0.975) * error / (area * (1 - area)), rel=0.02)


def test_reversed_answers_mirror_the_area():
    rng = np.random.default_rng(2)
    gold, scores, groups = rng.integers(0, 2, 90), rng.random(90), np.arange(90) // 2
    one = estimate.probability_worth(scores, gold, groups=groups)
    other = estimate.probability_worth(1 - scores, gold, groups=groups)
    assert other.auc == pytest.approx(1 - one.auc)
    assert other.auc_interval == pytest.approx((1 - one.auc_interval[1], 1 - one.auc_interval[0]))


@pytest.mark.parametrize(("n_prompts", "share"), [(30, 0.3), (150, 0.1)])
def test_intervals_cover_with_clustered_texts(n_prompts, share):
    rng = np.random.default_rng(3)

    def draw(n):
        prompts = np.repeat(np.arange(n), rng.integers(1, 5, n))
        common, own = rng.normal(size=(2, n))
        gold = norm.cdf(0.7 * common[prompts] + np.sqrt(0.51) * rng.normal(size=len(prompts))) < share
        noise = 0.8 * own[prompts] + rng.normal(size=len(prompts))
        return expit(1.5 * gold - 1 + noise), gold.astype(float), prompts

    many = draw(200_000)
    truth = roc_auc_score(many[1], many[0]), float(((many[0] - many[1]) ** 2).mean())
    covered = []
    for _ in range(300):
        scores, gold, prompts = draw(n_prompts)
        found = estimate.probability_worth(scores, gold, groups=prompts)
        if found.status == "ok":
            intervals = found.auc_interval, found.brier_interval
            covered.append([low <= value <= high for value, (low, high) in zip(truth, intervals, strict=True)])
    assert len(covered) > 280
    assert (np.mean(covered, axis=0) > 0.91).all()


@pytest.mark.parametrize(
    ("probabilities", "gold", "message"),
    [
        ([0.5, 1.5], [0, 1], r"probabilities\[1\] is not in \[0, 1\]"),
        ([[0.5, 0.4], [0.5, 0.5]], [0, 1], r"probabilities\[0\] add up to 0.9"),
        ([0.5, 0.5], [0, 2], r"gold\[1\] is 2; needed is a code of an answer, 0 to 1"),
        ([], [], "gold is empty"),
    ],
)
def test_bad_input_is_named(probabilities, gold, message):
    with pytest.raises(DataError, match=message):
        estimate.probability_worth(probabilities, gold)


def test_one_answer_has_no_area():
    found = estimate.probability_worth([0.5, 0.7], [1, 1])
    assert (found.status, found.brier_of_shares) == ("one_answer", 0)
    assert np.isnan(found.auc)
    assert found.brier == pytest.approx((0.25 + 0.09) / 2)
