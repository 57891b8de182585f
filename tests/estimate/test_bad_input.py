"""Every public estimator on bad arguments: a `DataError` that names argument and entry, or a result without a false number.

One argument at a time of a valid call is replaced; entries at random rows, by seed. More seeds run with `-m endurance`.
"""

import datetime
import decimal
import inspect
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from seal_datasets import estimate
from seal_datasets.errors import DataError
from seal_datasets.estimate import Texts
from seal_datasets.estimate.result import as_json
from tests.estimate.test_hostile_designs import faults

N = 48
NAMES = ["a", "b"]


def valid(seed):
    """A value for every argument of every public function."""
    rng = np.random.default_rng(seed)

    def vector():
        return rng.normal(size=N).tolist()

    def matrix():
        return rng.integers(0, 2, (N, 2)).astype(float).tolist()

    def truth():
        return rng.integers(0, 2, N).tolist()

    groups = [f"p{row // 2}" for row in range(N)]
    rates = {"a": 0.9, "b": 0.95}
    return {
        **{name: vector() for name in ("rewards", "chosen_rewards", "rejected_rewards", "pre_chosen_rewards")},
        **{name: vector() for name in ("pre_rejected_rewards", "pre_reference_rewards", "reference_rewards")},
        **{name: vector() for name in ("rewritten", "twice_rewritten", "angles")},
        **{name: matrix() for name in ("features", "chosen_features", "rejected_features", "gold_features")},
        **{name: matrix() for name in ("chosen_flips", "rejected_flips", "chosen_labels", "rejected_labels")},
        **{
            name: truth()
            for name in ("aligned", "pre_aligned", "rewritten_aligned", "targets_changed", "attribute", "kept")
        },
        **{name: truth() for name in ("gold", "other")},
        "probabilities": rng.random(N).tolist(),
        "gold_probability": [1.0] * N,
        **{name: matrix() for name in ("chosen_gold", "rejected_gold")},
        "groups": groups,
        "clusters": [f"c{row // 4}" for row in range(N)],
        "by": rng.choice(["x", "y"], N).tolist(),
        **{name: [f"t{number}" for number in rng.integers(0, 9, N)] for name in ("chosen_ids", "rejected_ids")},
        **{name: NAMES for name in ("feature_names", "target_names", "labeler_names", "names")},
        "spoilers": ["a"],
        "targets": ["b"],
        "models": ["pre", "post"],
        "parts": [
            Texts(rng.normal(size=(6, 2)), rng.random((6, 2)), np.array([f"{part}{row // 2}" for row in range(6)]))
            for part in "xyz"
        ],
        "sensitivity": rates,
        "specificity": rates,
        "margins": {"pre": vector(), "post": vector()},
        **{"values": vector(), "items": groups, "correct": [1, 0] * (N // 2), "styles": ["x", "y"]},
        **{name: rng.choice(["x", "y"], N).tolist() for name in ("chosen_styles", "rejected_styles")},
        "blocks": {"both": NAMES},
        "estimates": [1.0, 2.0],
        "std_errors": [0.5, 0.25],
        "rates": [0.0, 0.1, 0.2],
        "successes": 3,
        "n": 10,
        **{"tie_band": 0.1, "label_noise": 0.1, "confidence": 0.9, "max_vif": 5.0, "min_information": 1.0},
        **{
            "n_bins": 5,
            "n_bootstrap": 99,
            "n_folds": 3,
            "n_replicates": 3,
            "seed": 0,
            "min_discordant": 2,
            "min_flips": 2,
        },
        **{"effects": "fixed", "errors": "cr2", "adjust": "holm", "calibration": "temperature", "estimator": "logit"},
        **{"level": "nominal", "among": "all", "intercept": True, "unit": "sd", "baseline": "pre"},
        **{"train": 0.5, "train_interval": (0.4, 0.6), "heldout": 0.3, "heldout_interval": (0.1, 0.5)},
    }


FUNCTIONS = {name: getattr(estimate, name) for name in estimate.__all__ if inspect.isfunction(getattr(estimate, name))}


def arguments_of(name, seed=0):
    given = valid(seed)
    if name in ("label_accuracy", "label_error_rates", "implied_error_rate"):
        given["labels"] = given["other"][::-1]
    if name == "labeler_stability":
        given["labels"] = given["features"]
    if name == "imprint_trajectory":
        given["rewards"] = {"pre": given["rewards"], "post": given["chosen_rewards"]}
    if name in ("standardised_imprint", "corrected_units"):
        for side in ("chosen_rewards", "rejected_rewards"):
            given[side] = {"pre": given[side], "post": given[f"pre_{side}"]}
    if name == "ties_score":  # six prompts: a tied item of five responses and a reference item of three
        given["prompts"] = [f"p{row // 8}" for row in range(N)]
        given["correct"], given["reference"] = [1, 1, 1, 0, 0, 1, 0, 0] * 6, [0, 0, 0, 0, 0, 1, 1, 1] * 6
    if name in ("labeler_preference", "clearly_rejected", "labeler_agreement"):
        given["chosen_labels"] = given["chosen_features"]
    return {parameter: given[parameter] for parameter in inspect.signature(FUNCTIONS[name]).parameters}


VECTORS = {
    *("rewards", "chosen_rewards", "rejected_rewards", "pre_chosen_rewards", "pre_rejected_rewards", "rewritten"),
    *("pre_reference_rewards", "reference_rewards", "twice_rewritten", "angles", "probabilities", "gold_probability"),
    *("aligned", "pre_aligned", "rewritten_aligned", "targets_changed", "attribute", "kept", "gold", "other", "rates"),
    *("estimates", "std_errors", "labels", "values", "correct", "reference"),
}
MATRICES = {
    *("features", "chosen_features", "rejected_features", "gold_features", "chosen_flips", "rejected_flips"),
    *("chosen_labels", "rejected_labels", "labels", "chosen_gold", "rejected_gold"),
}
GROUPS = {
    *("groups", "clusters", "by", "items", "prompts"),
    *("chosen_ids", "rejected_ids", "chosen_styles", "rejected_styles"),
}
WORDS = {"unit", "baseline", "effects", "errors", "adjust", "calibration", "estimator", "level", "among"}
LISTS = {"feature_names", "target_names", "labeler_names", "names", "models", "spoilers", "targets", "styles"}
CORRECTED = ("units", "drivers", "amplification", "agreement")
# None, nan or a masked entry is a missing value here.
MISSING_ALLOWED = {
    *(("treatment_effect", name) for name in ("rewritten", "twice_rewritten")),
    *(("compare_estimates", name) for name in ("estimates", "std_errors")),
    ("corrected_imprint", "gold_features"),
    *((f"corrected_{name}", f"{side}_gold") for name in CORRECTED for side in ("chosen", "rejected")),
    ("shift_imprint", "angles"),
    ("labeler_stability", "labels"),
}
# A message on lengths may name the arguments that the bad one is held against.
LENGTH = "length or shape"


def with_entry(values, row, entry):
    """The list with another entry in a row, in the first column of a matrix."""
    changed = list(values)
    changed[row] = [entry, *changed[row][1:]] if isinstance(changed[row], list) else entry
    return changed


def masked(values, row):
    array = np.ma.masked_array(np.array(values, dtype=float))
    array[row] = np.ma.masked
    return array


def bad_arrays(name, values, row, missing_allowed):
    """Replacements that must raise, with what the message must hold beside the name."""
    entry = f"row {row}"
    for bad in ("1", "x", None, 1 + 2j, datetime.date(2026, 1, 1), decimal.Decimal(1), [1.0], b"1", pd.NaT, object()):
        if not (bad is None and missing_allowed):
            yield with_entry(values, row, bad), "" if bad == [1.0] else entry
    for bad in (math.inf, -math.inf, 1e60, 1e200, 2**53 + 1, -(2**60), 10**400, np.int64(2**60)):
        yield with_entry(values, row, bad), "" if bad == 10**400 else entry
    if not missing_allowed:
        for bad in (math.nan, pd.NA, np.ma.masked):
            yield with_entry(values, row, bad), entry
        yield masked(values, row), entry
        yield np.array(with_entry(values, row, np.nan)), entry
    yield np.array(values).astype("datetime64[s]"), "dates"
    yield np.array(values).astype(str), "row 0"
    yield np.array(values) * 1j, ""
    yield np.array(values).astype(object)[..., None, None], ""
    if name not in ("rates", "probabilities"):
        yield (values * 2)[: len(values) + 1], LENGTH
        yield values[:-1], LENGTH
    for bad in (
        None,
        3.0,
        "123",
        b"123",
        {1: 2.0},
        set(range(len(values))),
        [],
        np.empty(0),
        np.ones((1, 1, 1)),
        np.array(3.0),
        float,
        len,
    ):
        yield bad, ""
    if isinstance(values[0], list):
        yield [*values[:row], values[row][:1], *values[row + 1 :]], entry
        yield [*values[:row], 1.0, *values[row + 1 :]], entry


def bad_groups(values, row):
    entry = f"row {row}"
    for bad in (None, math.nan, pd.NA, pd.NaT):
        yield with_entry(values, row, bad), entry
    for bad in (1, 1.0, True, b"p", ("p", 1)):
        yield with_entry(values, row, bad), entry
    numbers = list(range(len(values)))
    yield with_entry(numbers, row, float(row)), entry
    yield with_entry(numbers, 1, True), "row 1"
    yield with_entry(values, row, {}), ""
    yield np.ma.masked_array(numbers, mask=[index == row for index in numbers]), entry
    yield np.array(numbers, dtype=float) + 2.0**54, "row"
    for bad in (3, "abc", b"abc", set(values), dict.fromkeys(values), [], [[value] for value in values], values[:-1]):
        yield bad, ""


def bad_rates():
    yield from (None, 0.9, [0.9], {"a": 0.9}, {"a": 0.9, "c": 0.9}, {1: 0.9})
    yield from ({"a": bad, "b": 0.95} for bad in (math.nan, "0.9", None, -0.5, 1.5, True, 0.0))


BAD_WORDS = ["nothing", "", None, 3, ["holm"], np.array(["cr2"])]
BAD_LISTS = [None, 3, "ab", {"a", "b"}, {"a": 1, "b": 2}, ["a", "a"], ["a", 1], [1, 2], ["a", None], [["a"], ["b"]]]
BAD_COUNTS = [-1, 0.5, math.nan, math.inf, "3", None, True, [1], 2.0]
BAD_LEVELS = [math.nan, math.inf, -1.0, "0.5", True, [0.5], 1 + 1j, None]
BAD_VALUES = {
    **dict.fromkeys(WORDS, BAD_WORDS),
    **{key: [*BAD_LISTS, []] for key in LISTS},
    "targets": BAD_LISTS,
    **{key: [*BAD_COUNTS, 0] for key in ("n_bins", "n_bootstrap", "n_folds", "n_replicates")},
    **dict.fromkeys(("seed", "min_discordant", "min_flips"), BAD_COUNTS),
    **dict.fromkeys(("tie_band", "label_noise", "max_vif", "min_information"), BAD_LEVELS),
    "confidence": [*BAD_LEVELS, 0, 1, 1.0, 0.0, 95],
    **{key: [*bad_rates()] for key in ("sensitivity", "specificity")},
    "margins": [None, [1.0], {}, {"pre": [1.0]}, {"pre": [1.0], "post": ["x"]}],
    "blocks": [3, ["a"], {"both": "ab"}, {"both": []}, {"both": ["c"]}, {"both": {"a"}}],
    **{key: [math.nan, "3", None, True, [1]] for key in ("train", "heldout")},
    **{
        key: [None, 3, "ab", (0.1,), (0.1, 0.2, 0.3), (0.1, "b"), (0.2, 0.1)]
        for key in ("train_interval", "heldout_interval")
    },
    "successes": [-1, math.nan, "3", None, 0.5, [1], 10**400],
    "n": [-1, math.nan, "3", None, 0.5, [1], -5],
}


def replacements(function, name, value, row):
    """Bad values of an argument, each with what the message must hold beside the argument's name."""
    if isinstance(value, list) and name in MATRICES | VECTORS:
        yield from bad_arrays(name, value, row, (function, name) in MISSING_ALLOWED)
    elif name in GROUPS:
        yield from bad_groups(value, row)
    else:
        yield from ((bad, "") for bad in BAD_VALUES.get(name, ()))


def call(name, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return FUNCTIONS[name](**arguments)


def short(value):
    return f"{type(value).__name__} {value!r}"[:120]


def attack(name, seed):
    """Call with each bad argument in turn; yields what a user would not want."""
    rng = np.random.default_rng(seed)
    arguments = arguments_of(name, seed)
    for parameter, value in arguments.items():
        size = len(value) if isinstance(value, list) else 1
        row = int(rng.integers(2, size)) if size > 2 else 0
        if parameter == "rates" or parameter in ("estimates", "std_errors"):
            row = 0
        for bad, needed in replacements(name, parameter, value, row):
            if bad is None and inspect.signature(FUNCTIONS[name]).parameters[parameter].default is None:
                continue
            try:
                call(name, {**arguments, parameter: bad})
            except DataError as error:
                told = needed in str(error) and parameter in str(error)
                if not told and not (needed == LENGTH and ("length" in str(error) or "shape" in str(error))):
                    yield f"{parameter} = {short(bad)}: {error} (without {needed or parameter!r})"
            except Exception as error:
                yield f"{parameter} = {short(bad)}: {type(error).__name__}: {error}"
            else:
                yield f"{parameter} = {short(bad)}: no error"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_valid_arguments_give_a_result_without_faults(name):
    assert list(faults(call(name, arguments_of(name)))) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bad_argument_is_an_error_that_names_it(name):
    assert list(attack(name, 0)) == []


@pytest.mark.endurance
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_arguments_at_other_rows_are_too(name):
    for seed in range(1, 10):
        assert list(attack(name, seed)) == []


@pytest.mark.parametrize("rewards", [None, [1.0], {}, {"pre": [1.0] * N, "post": ["x"] * N}])
def test_rewards_of_a_trajectory_are_a_mapping(rewards):
    with pytest.raises(DataError, match="rewards"):
        call("imprint_trajectory", {**arguments_of("imprint_trajectory"), "rewards": rewards})


@pytest.mark.parametrize("side", ["chosen_rewards", "rejected_rewards"])
@pytest.mark.parametrize("rewards", [None, [1.0], {}, {"pre": [1.0] * N, "post": ["x"] * N}])
def test_rewards_of_standardised_imprints_are_mappings(side, rewards):
    with pytest.raises(DataError, match=side):
        call("standardised_imprint", {**arguments_of("standardised_imprint"), side: rewards})


def torch_tensors(values):
    torch = pytest.importorskip("torch")
    return torch.tensor(values, dtype=torch.bfloat16, requires_grad=True)


LIKE_A_LIST = {
    "tuple": tuple,
    "array of small floats": lambda values: np.array(values, dtype=np.float16),
    "read-only array": lambda values: np.frombuffer(np.array(values, dtype=float).tobytes()).reshape(np.shape(values)),
    "columns in memory": lambda values: np.asfortranarray(values),
    "array without a masked entry": lambda values: np.ma.masked_array(values, mask=False),
    "array of objects": lambda values: np.array(values, dtype=object),
    "table with another index": lambda values: (pd.DataFrame if np.ndim(values) > 1 else pd.Series)(
        values, index=np.arange(len(values))[::-1]
    ),
    "nullable table": lambda values: (pd.DataFrame if np.ndim(values) > 1 else pd.Series)(values).convert_dtypes(),
    "tensor of bfloat16 with a gradient": torch_tensors,
}


@pytest.mark.parametrize("kind", LIKE_A_LIST)
def test_arrays_of_other_libraries_are_their_numbers(kind):
    # Numbers that bfloat16 holds exactly.
    rng = np.random.default_rng(0)
    for name in FUNCTIONS:
        plain = arguments_of(name)
        for parameter, value in plain.items():
            if isinstance(value, list) and parameter in VECTORS and np.ndim(value) == 1 and isinstance(value[0], float):
                plain[parameter] = (rng.integers(0, 9, len(value)) / 8).tolist()
        if name.startswith("corrected_"):
            plain["gold_probability"] = [1.0] * N
        if name == "label_error_curve":
            plain["rates"] = [0.0, 0.125, 0.25]
        if name == "calibrate_probabilities":
            plain["probabilities"] = (rng.integers(0, 9, N) / 8).tolist()
        if name == "reward_shift":
            plain |= {"pre_reference_rewards": [0.5, 1.0], "reference_rewards": [0.25, 0.5]}
        other = {
            parameter: LIKE_A_LIST[kind](value)
            if isinstance(value, list) and parameter in VECTORS | MATRICES
            else value
            for parameter, value in plain.items()
        }
        np.testing.assert_equal(as_json(call(name, other)), as_json(call(name, plain)), err_msg=name)


@pytest.mark.parametrize("convert", [np.array, pd.Series, tuple, lambda ids: pd.Series(ids, dtype="string")])
def test_groups_of_other_types_are_the_same_groups(convert):
    plain = arguments_of("feature_imprint")
    other = {**plain, "groups": convert(plain["groups"])}
    assert as_json(call("feature_imprint", other)) == as_json(call("feature_imprint", plain))


def test_a_tensor_of_ids_is_its_numbers_and_not_its_objects():
    torch = pytest.importorskip("torch")
    plain = arguments_of("feature_imprint")
    ids = np.arange(N) // 2
    same = [call("feature_imprint", {**plain, "groups": groups}) for groups in (ids, torch.tensor(ids), ids.tolist())]
    assert as_json(same[0]) == as_json(same[1]) == as_json(same[2])
    with pytest.raises(DataError, match="groups row 0 is an array"):
        call("feature_imprint", {**plain, "groups": list(torch.tensor(ids))})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 1.0, True, 2], r"groups holds 1 \(int\) in row 0 and 1.0 \(float\) in row 1"),
        ([0, False, 1, 1], r"groups holds 0 \(int\) in row 0 and False \(bool\) in row 1"),
        (["1", "1", 1, 1], r"groups holds '1' \(str\) in row 0 and 1 \(int\) in row 2"),
        (np.array([2.0**53, 2.0**53 + 1, 1, 1]), r"groups row 0 is .*a float beyond 2\^53"),
        (np.ma.masked_array([1, 1, 2, 2], mask=[0, 0, 0, 1]), "groups row 3 is masked"),
    ],
)
def test_ids_that_might_be_one_are_refused(groups, message):
    with pytest.raises(DataError, match=message):
        estimate.feature_imprint([1.0, 2.0, 3.0, 4.0], [[1], [0], [1], [0]], groups, ["a"])


def test_masked_numbers_are_not_the_numbers_below_the_mask():
    rewards = np.ma.masked_array([1.0, 2.0, 1e20, 4.0], mask=[0, 0, 1, 0])
    with pytest.raises(DataError, match="chosen_rewards row 2 is masked"):
        estimate.alignment_resistance(rewards, [0.0] * 4)
    hidden = np.ma.masked_array([1.0, 2.0, 1e20, 4.0], mask=[0, 0, 1, 0])
    effects = estimate.treatment_effect([0.0] * 4, hidden, [0.0] * 4, [1, 0, 1, 0])
    assert (effects.n_kept, effects.n_rejected) == (3, 1)


def test_whole_numbers_that_floats_skip_are_refused():
    for big in ([2**53 + 1, 0], np.array([2**53 + 1, 0]), np.array([2**63 + 1, 0], dtype=np.uint64)):
        with pytest.raises(DataError, match=r"chosen_rewards row 0 is the whole number 9\d+, beyond 2\^53"):
            estimate.aligned_pairs(big, [0, 0])
    assert estimate.aligned_pairs([2**53, 0.0], [2.0**53 - 1, 0.0]).tolist() == [True, False]


@pytest.mark.parametrize("tie_band", [-0.1, math.nan, math.inf, None, "0"])
@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if "tie_band" in inspect.signature(FUNCTIONS[name]).parameters]
)
def test_a_tie_band_is_a_distance(name, tie_band):
    with pytest.raises(DataError, match="tie_band must be a finite number of at least 0"):
        call(name, {**arguments_of(name), "tie_band": tie_band})


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if "confidence" in inspect.signature(FUNCTIONS[name]).parameters]
)
def test_a_confidence_of_1_has_no_interval(name):
    with pytest.raises(DataError, match=r"confidence must lie between 0 and 1, e.g. 0.95, got 1.0"):
        call(name, {**arguments_of(name), "confidence": 1.0})


def test_names_have_an_order_and_are_strings():
    arguments = arguments_of("feature_imprint")
    with pytest.raises(DataError, match="feature_names is a set, whose entries have no order"):
        call("feature_imprint", {**arguments, "feature_names": {"a", "b"}})
    with pytest.raises(DataError, match=r"feature_names entry 1 is 1 \(int\); a name is a string"):
        call("feature_imprint", {**arguments, "feature_names": ["a", 1]})
    ordered = dict.fromkeys(["a", "b"])
    assert [
        row.feature for row in call("feature_imprint", {**arguments, "feature_names": ordered.keys()}).imprint
    ] == NAMES


@pytest.mark.parametrize("kind", [str, int])
def test_a_prompt_in_two_parts_of_a_stream_is_named(kind):
    rng = np.random.default_rng(0)
    ids = [[1, 1, 2, 2], [3, 3, 4, 4], [5, 5, 2, 2]]
    parts = [
        Texts(rng.normal(size=(4, 2)), rng.random((4, 1)), np.array([kind(each) for each in part])) for part in ids
    ]
    with pytest.raises(DataError, match=r"groups row 2 of part 2 is the prompt .*2.*, which part 0 also has"):
        estimate.streamed_imprint(parts, ["pre", "post"], ["a"])
    assert estimate.streamed_imprint(parts[:2], ["pre", "post"], ["a"]).models["post"].n_groups == 4
