"""Modules refuse what the estimators refuse: no conversion on the way to them hides a bad entry."""

import math

import evaluate
import numpy as np
import pytest

from seal_datasets import metric_path
from seal_datasets.errors import DataError

REWARDS, FEATURES, PROMPTS = [1.0, 2.0, 3.0, 4.0], [[1.0], [0.0], [1.0], [0.0]], ["p", "p", "q", "q"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"rewards": np.ma.masked_array(REWARDS, mask=[0, 0, 1, 0])}, "rewards row 2 is masked"),
        ({"features": np.ma.masked_array(FEATURES, mask=[[0], [1], [0], [0]])}, "features row 1 is masked"),
        ({"feature_names": {"a"}}, "feature_names is a set"),
        ({"groups": [1, 1.0, 2, 2]}, r"groups holds 1 \(int\) in row 0 and 1.0 \(float\) in row 1"),
        ({"rewards": [2**53 + 1, 1, 2, 3]}, "rewards row 0 is the whole number"),
        ({"rewards": ["1", "2", "3", "4"]}, r"rewards row 0 is '1' \(str\)"),
        ({"rewards": [1, None, 3, 4]}, "rewards row 1 is None"),
        ({"rewards": np.array(REWARDS) * 1j}, r"rewards row 0 is 1j \(complex\)"),
        ({"rewards": [1e200, 1.0, 2.0, 3.0]}, "rewards has numbers beyond 1e.50, the first in row 0"),
        ({"features": [[1.0], [0.0], [1.0, 2.0], [0.0]]}, r"features row 2 has 2 value\(s\)"),
        ({"rewards": []}, "rewards is empty"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1"),
        ({"errors": "robust"}, "errors must be one of"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_a_bad_input_of_a_module_is_named(bad, message):
    metric = evaluate.load(metric_path("feature_imprint"))
    arguments = {"rewards": REWARDS, "features": FEATURES, "groups": PROMPTS, "feature_names": ["a"], **bad}
    with pytest.raises(DataError, match=message):
        metric.compute(**arguments)


def test_a_tie_band_of_nan_is_refused():
    metric = evaluate.load(metric_path("alignment_resistance"))
    with pytest.raises(DataError, match="tie_band must be a finite number"):
        metric.compute(chosen_rewards=REWARDS, rejected_rewards=REWARDS[::-1], tie_band=math.nan)
