"""Frames of pairs hold what the rows hold, however the table is cut into chunks."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, concatenate_datasets

from seal_datasets.report.pair_frame import REASONS, as_column, read_frame, rows_of

ROWS = {
    "prompt_id": ["b", "a", None, "b", "c"],
    "problems": [[], ["empty_chosen", "missing_prompt", "unreadable_row"], ["tool_turn"], [], ["missing_chosen"]],
    "reward": [0.5, None, 1.0, 2.0, -1.0],
    "flag": [True, None, False, True, True],
}


def test_chunks_change_nothing_and_the_last_reason_counts():
    whole = Dataset.from_dict(ROWS)
    cut = concatenate_datasets([whole.select(range(1, 3)), whole.select(range(3, 5))])
    cut = concatenate_datasets([whole.select(range(1)), cut])
    for pairs in (whole, cut):
        frame = read_frame(pairs, list(ROWS))
        assert frame["prompt_id"].tolist()[:2] == [0, 1]
        assert np.isnan(frame["prompt_id"][2])
        assert frame["prompt_id"].tolist()[3:] == [0, 2]
        named = [None if place < 0 else REASONS[place] for place in frame["problems"]]
        assert named == [None, "unreadable_row", None, None, "missing_chosen"]
        pd.testing.assert_series_equal(frame["reward"], pd.Series(ROWS["reward"], name="reward"))
        assert frame["flag"].tolist() == ROWS["flag"]


def test_problems_of_a_table_without_any_have_no_reason():
    frame = read_frame(Dataset(pa.table({"problems": [[], []], "prompt_id": [7, 7]})), ["prompt_id", "problems"])
    assert frame.to_dict("list") == {"prompt_id": [0, 0], "problems": [-1, -1]}


def test_all_rows_are_not_copied_and_some_are_numbered_anew():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert rows_of(frame, np.ones(3, dtype=bool)) is frame
    assert rows_of(frame, np.array([False, True, True])).to_dict() == {"x": {0: 2.0, 1: 3.0}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1.0, np.nan]), [1.0, None, None]),
        (np.array(["stayed_aligned", "became_aligned"]), ["stayed_aligned", None, "became_aligned"]),
        (np.array([None, "chosen"], dtype=object), [None, None, "chosen"]),
    ],
)
def test_values_of_some_rows_are_placed_among_all(values, expected):
    assert as_column(values, np.array([True, False, True])).to_pylist() == expected
    assert as_column(values, np.array([True, True])).to_pylist() == [expected[0], expected[2]]
