import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import finite, group_codes, indicator, matrix, same_length, unique_names
from seal_datasets.estimate.result import as_json


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, math.nan, 2.0, math.nan], r"rewards has 2 value\(s\) that are not finite.*first in row 1: nan"),
        ([1.0, 2.0, math.inf], r"rewards has 1 value.*row 2: inf"),
        ([1.0, None], r"rewards row 1 is None \(NoneType\)"),
        ([1.0, 2.0, "3.0"], r"rewards row 2 is '3.0' \(str\)"),
        (np.array([1.0, None], dtype=object), r"rewards row 1 is None"),
        (pd.Series([1, None], dtype="Int64"), r"rewards has 1 value.*row 1: nan"),
        (np.array(["a"]), r"rewards row 0 is 'a' \(str\)"),
        (np.array(["2026-01-01"], dtype="datetime64[ns]"), "rewards holds dates"),
        ([], "rewards is empty"),
        ([[1.0], [2.0]], r"rewards must be one number per row, got an array of shape \(2, 1\)"),
        ([[1.0], [2.0, 3.0]], "rewards is not an array of numbers"),
        (None, r"rewards is None \(NoneType\)"),
        (3.0, r"rewards is 3.0 \(float\)"),
    ],
)
def test_finite_names_the_argument_and_the_first_bad_row(values, message):
    with pytest.raises(DataError, match=message):
        finite(values, "rewards")


@pytest.mark.parametrize("values", [[1, 2], (1.0, 2.0), np.array([1, 2]), pd.Series([1, 2]), np.array([1, 2], object)])
def test_finite_takes_every_sequence_of_numbers(values):
    assert finite(values, "rewards").tolist() == [1.0, 2.0]


def test_finite_lets_nan_but_not_inf_through_on_request():
    assert np.isnan(finite([1.0, math.nan], "angles", allow_nan=True)[1])
    with pytest.raises(DataError, match="row 1: -inf"):
        finite([math.nan, -math.inf], "angles", allow_nan=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [3]], r"features row 1 has 1 value\(s\), but 2 feature name"),
        ([[1, 2], 3], r"features row 1 has a single value, but 2"),
        ([[1, 2], [3, None]], r"features row 1 is None"),
        ([[1, 2], [3, "x"]], r"features row 1 is 'x'"),
        ([[1, 2], [math.nan, 1]], r"features has 1 value.*first in row 1, column 0: nan"),
        ([[1, 2]], r"features has shape \(1, 2\), but \(2, 2\) is needed"),
        ([], r"features has shape \(0,\), but \(2, 2\) is needed"),
        (np.empty((2, 0)), r"features has shape \(2, 0\), but \(2, 2\) is needed"),
        (np.ones((2, 3)), r"features has shape \(2, 3\), but \(2, 2\) is needed"),
        (None, "features is None"),
    ],
)
def test_matrix_names_the_argument_and_the_first_bad_row(values, message):
    with pytest.raises(DataError, match=message):
        matrix(values, "features", 2, 2)


def test_matrix_takes_a_table_by_its_values():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    assert matrix(frame, "features", 2, 2).tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_indicator_takes_bools_and_0_and_1_only():
    assert indicator([True, False], "aligned").tolist() == indicator(np.array([1.0, 0.0]), "aligned").tolist()
    with pytest.raises(DataError, match=r"aligned must be true or false.*row 1 is 0.5"):
        indicator([1, 0.5], "aligned")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", None], "groups row 1 is None"),
        (["a", math.nan], "groups row 1 is nan"),
        (["a", pd.NA], "groups row 1 is <NA>"),
        (np.array([1.0, np.nan]), "groups row 1 is nan"),
        ([], "groups must be one value per row"),
        (np.ones((2, 2)), r"groups must be one value per row, got an array of shape \(2, 2\)"),
        (None, "groups is None"),
        (7, "groups is 7"),
    ],
)
def test_groups_name_the_first_bad_row(groups, message):
    with pytest.raises(DataError, match=message):
        group_codes(groups, "groups")


@pytest.mark.parametrize(
    "groups", [["b", "a", "b"], np.array(["b", "a", "b"]), pd.Series(["b", "a", "b"]), (2, 1, 2), np.array([2.0, 1, 2])]
)
def test_group_codes_tell_the_same_groups_apart(groups):
    codes = group_codes(groups, "groups")
    assert codes[0] == codes[2] != codes[1]
    assert set(codes) == {0, 1}


def test_names_and_lengths():
    with pytest.raises(DataError, match="feature_names holds polite more than once"):
        unique_names(["polite", "honest", "polite"])
    with pytest.raises(DataError, match="feature_names is empty"):
        unique_names([])
    with pytest.raises(DataError, match="feature_names is the text 'polite'"):
        unique_names("polite")
    with pytest.raises(DataError, match="feature_names is None"):
        unique_names(None)
    with pytest.raises(DataError, match="rewards has 2, groups has 3"):
        same_length(rewards=np.ones(2), groups=np.ones(3))


PAIRS = [1.0, 2.0, 3.0]
ONE = [[1], [0], [1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate.alignment_resistance([1, None, 3], PAIRS), "chosen_rewards row 1 is None"),
        (lambda: estimate.alignment_resistance(PAIRS, [1, 2, math.nan]), "rejected_rewards .* row 2: nan"),
        (lambda: estimate.alignment_resistance(PAIRS, [1]), "chosen_rewards has 3, rejected_rewards has 1"),
        (lambda: estimate.alignment_resistance(PAIRS, PAIRS, pre_chosen_rewards=PAIRS), "give both or neither"),
        (
            lambda: estimate.alignment_resistance(PAIRS, PAIRS, pre_chosen_rewards=PAIRS, pre_rejected_rewards=[1]),
            "pre_rejected_rewards has 1",
        ),
        (lambda: estimate.alignment_resistance(PAIRS, PAIRS, confidence=95), "confidence must lie between 0 and 1"),
        (lambda: estimate.alignment_regimes(PAIRS, PAIRS, [1], [1]), "chosen_rewards has 3, pre_chosen_rewards has 1"),
        (lambda: estimate.reward_shift(PAIRS, PAIRS, PAIRS, [1, "2", 3]), "rejected_rewards row 1 is '2'"),
        (lambda: estimate.reward_shift(PAIRS, PAIRS, [], PAIRS), "chosen_rewards is empty"),
        (lambda: estimate.reward_shift(PAIRS, [1, 2], PAIRS, PAIRS), "pre_rejected_rewards has 2"),
        (lambda: estimate.feature_imprint(PAIRS, ONE, ["p", None, "p"], ["x"]), "groups row 1 is None"),
        (lambda: estimate.feature_imprint(PAIRS, ONE, ["p", "q"], ["x"]), "rewards has 3, groups has 2"),
        (lambda: estimate.feature_imprint(PAIRS, ONE, ["p"] * 3, ["x", "y"]), "features row 0 has 1"),
        (lambda: estimate.feature_imprint(PAIRS, ONE, ["p"] * 3, ["x"], effects="random"), "effects must be one of"),
        (lambda: estimate.feature_imprint(PAIRS, ONE, ["p"] * 3, ["x"], adjust="none"), "adjust must be one of"),
        (lambda: estimate.shift_imprint([1, math.inf, 2], ONE, ONE, ["x"]), "angles .* row 1: inf"),
        (lambda: estimate.shift_imprint(PAIRS, ONE, [[1]], ["x"]), r"rejected_features has shape \(1, 1\)"),
        (lambda: estimate.shift_imprint(PAIRS, ONE, ONE, ["x"], groups=["p"]), "angles has 3, groups has 1"),
        (lambda: estimate.misalignment_drivers([0, 1, 2], ONE, ONE, ["x"]), "aligned must be true or false.*row 2"),
        (lambda: estimate.misalignment_drivers([0, 1, 1], ONE, [[1], [None], [0]], ["x"]), "rejected_features row 1"),
        (lambda: estimate.misalignment_drivers([0, 1, 1], ONE, ONE, ["x"], groups=[1]), "aligned has 3, groups has 1"),
        (lambda: estimate.misalignment_drivers([0, 1, 1], ONE, ONE, ["x"], estimator="probit"), "estimator must be"),
        (lambda: estimate.misalignment_drivers([1, 1, 1], ONE, ONE, ["x"], adjust="none"), "adjust must be one of"),
        (lambda: estimate.misalignment_drivers([0, 1, 1], ONE, ONE, ["x"], confidence=1), "confidence must lie"),
        (lambda: estimate.alignment_robustness([1, 0, 1], [1, 0], ONE, ONE, ["x"]), "rewritten_aligned has 2"),
        (lambda: estimate.alignment_robustness([1, 0, 1], [1, 0, None], ONE, ONE, ["x"]), "rewritten_aligned row 2"),
        (lambda: estimate.alignment_robustness([1, 0, 1], [1, 0, 0], [[1], [0]], ONE, ["x"]), "chosen_flips has shape"),
        (lambda: estimate.alignment_robustness([1, 0, 1], [1, 0, 0], ONE, ONE, ["x", "x"]), "feature_names holds x"),
        (lambda: estimate.labeler_preference([1, 0], [0, 1]), "chosen_labels must be one row of target labels"),
        (lambda: estimate.labeler_preference([], []), "chosen_labels must be one row of target labels"),
        (lambda: estimate.labeler_preference([[]], [[]]), "chosen_labels must be one row of target labels"),
        (lambda: estimate.labeler_preference(None, [[1]]), "chosen_labels must be one row of target labels"),
        (lambda: estimate.labeler_preference([[1], [0]], [[1], [None]]), "rejected_labels row 1 is None"),
        (lambda: estimate.labeler_agreement(ONE, ONE, ["a", "b"]), r"1 column\(s\), but 2 target name"),
        (lambda: estimate.labeler_agreement(ONE, ONE, ["a"], aligned=[1]), "chosen_labels has 3, aligned has 1"),
        (lambda: estimate.labeler_agreement(ONE, ONE, ["a"], pre_aligned=[1, 0, 1]), "give aligned too"),
        (lambda: estimate.label_accuracy([1, 0], [1]), "labels has 2, gold has 1"),
        (lambda: estimate.label_accuracy(None, [1]), "labels is None"),
        (lambda: estimate.label_accuracy([1, math.nan], [1, 1]), r"labels has 1 value.*row 1: nan"),
    ],
)
def test_every_estimator_says_what_is_wrong_with_its_arguments(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_json_has_no_nan_and_no_numpy():
    found = as_json({"a": (np.float64("inf"), np.int64(2), np.bool_(True)), 3: [math.nan, "x", None]})
    assert found == {"a": [None, 2, True], "3": [None, "x", None]}
    assert [type(value) for value in found["a"]] == [type(None), int, bool]


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_numbers_whose_products_overflow_or_vanish_are_refused_by_place(size):
    x, y, groups = [[0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [size, 0.0]], [1.0, 2.0, 4.0, 3.0], ["p", "p", "q", "q"]
    with pytest.raises(DataError, match=r"features has .*numbers .* first in row 3, column 0: 1e[+-]200"):
        estimate.feature_imprint(y, x, groups, ["a", "b"])
    for call in (
        lambda: estimate.feature_imprint([0.0, 0.0, 0.0, size], [[1], [0], [1], [0]], groups, ["a"]),
        lambda: estimate.imprint_trajectory(
            {"pre": y, "post": [0.0, 0.0, 0.0, size]}, [[1], [0], [1], [0]], groups, ["a"]
        ),
        lambda: estimate.shift_imprint([0.0, 0.0, 0.0, size], [[1], [0], [1], [0]], [[1]] * 4, ["a"]),
    ):
        with pytest.raises(DataError, match=r"has (only )?numbers .* the first in row 3: 1e[+-]200"):
            call()
    # Beside larger numbers of its column, a vanishing one is 0.
    if size < 1:
        rows = [[1.0], [0.0], [1.0], [size]]
        assert estimate.feature_imprint(y, rows, groups, ["a"]) == estimate.feature_imprint(
            y, [[1.0], [0.0], [1.0], [0.0]], groups, ["a"]
        )


def test_a_column_of_arrays_is_a_matrix_and_whole_numbers_that_floats_skip_are_named():
    rows = np.empty(3, dtype=object)
    for row in range(3):
        rows[row] = np.array([row, 2 * row])
    np.testing.assert_array_equal(matrix(rows, "features", 3, 2), [[0, 0], [1, 2], [2, 4]])
    rows[1] = np.array([2**53 + 1, 0])
    with pytest.raises(DataError, match="features row 1"):
        matrix(rows, "features", 3, 2)
    rows[1] = np.array([1.0])
    with pytest.raises(DataError, match="features"):
        matrix(rows, "features", 3, 2)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_groups_are_numbered_by_first_appearance_in_any_order(values, twice, ordered):
    groups = np.array((sorted(set(values)) if ordered else values) * (1 + twice))
    codes = group_codes(groups, "groups")
    assert codes.dtype == np.int64
    assert codes.tolist() == [list(dict.fromkeys(groups.tolist())).index(group) for group in groups.tolist()]


def test_a_missing_number_is_not_named_as_a_vanishing_one():
    with pytest.raises(DataError, match=r"features has only numbers .* first in row 1, column 0: 1e-60"):
        matrix([[math.nan, 1.0], [1e-60, 1.0]], "features", 2, 2, allow_nan=True)
