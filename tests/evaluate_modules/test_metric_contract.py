"""What every module in metrics/ owes `evaluate` and its users, whatever it measures."""

import ast
import doctest
import inspect
import json
import re
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import yaml
from datasets import Dataset, List, Value
from huggingface_hub import SpaceCard

from seal_datasets import estimate, metric_path
from seal_datasets.errors import DataError
from seal_datasets.evaluate_modules.paths import METRICS
from tests.hub.hub_double import card_problems

RNG = np.random.default_rng(0)
N = 60
A, B, C, D = (RNG.normal(size=N).tolist() for _ in range(4))
X, Y = (RNG.integers(0, 2, size=(N, 2)).tolist() for _ in range(2))
ALIGNED, AFTER = (RNG.integers(0, 2, size=N).tolist() for _ in range(2))
NAMES = {"feature_names": ["kind", "long"]}
PROMPTS = [f"prompt {row // 2}" for row in range(N)]

ARRAYS = {
    "alignment_resistance": {"chosen_rewards": A, "rejected_rewards": B},
    "reward_shift": {"pre_chosen_rewards": A, "pre_rejected_rewards": B, "chosen_rewards": C, "rejected_rewards": D},
    "reward_calibration": {"chosen_rewards": A, "rejected_rewards": B},
    "feature_imprint": {"rewards": A, "features": X},
    "amplification": {
        "chosen_rewards": A,
        "rejected_rewards": B,
        "chosen_features": X,
        "rejected_features": Y,
    },
    "misalignment_drivers": {"aligned": ALIGNED, "chosen_features": X, "rejected_features": Y},
    "alignment_robustness": {
        "aligned": ALIGNED,
        "rewritten_aligned": AFTER,
        "chosen_flips": X,
        "rejected_flips": Y,
    },
    "labeler_agreement": {"chosen_labels": X, "rejected_labels": Y},
    "labeler_stability": {"labels": X},
    "spoiler_balance": {"chosen_features": X, "rejected_features": Y},
}
OPTIONS = {
    "alignment_resistance": {"pre_chosen_rewards": C, "pre_rejected_rewards": D},
    "reward_shift": {"return_angles": True},
    "reward_calibration": {"groups": PROMPTS, "n_bins": 3},
    "feature_imprint": {"groups": PROMPTS, **NAMES},
    "amplification": {"groups": PROMPTS, "calibration": "curve", **NAMES},
    "misalignment_drivers": {"groups": PROMPTS, **NAMES},
    "alignment_robustness": NAMES,
    "spoiler_balance": {"groups": PROMPTS, "targets": ["kind"], **NAMES},
    "labeler_stability": {"labeler_names": ["first", "second"], "groups": PROMPTS},
    "labeler_agreement": {"target_names": ["harmless", "helpful"], "aligned": ALIGNED, "pre_aligned": AFTER},
}
ROWS = {
    *(each for inputs in ARRAYS.values() for each in inputs),
    "groups",
    "clusters",
    "by",
    "aligned",
    "pre_aligned",
    "targets_changed",
    "chosen_ids",
    "rejected_ids",
    "pre_reference_rewards",
    "reference_rewards",
}


@pytest.fixture(params=METRICS)
def name(request):
    return request.param


@pytest.fixture
def metric(name):
    return evaluate.load(metric_path(name))


def test_metrics_are_the_folders():
    root = Path(metric_path(METRICS[0])).parents[1]
    assert {path.name for path in root.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(METRICS)


def test_folder_is_a_space(name):
    folder = Path(metric_path(name)).parent
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {
        f"{name}.py",
        "README.md",
        "app.py",
        "requirements.txt",
    }
    front = yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])
    assert (front["sdk"], front["app_file"], front["tags"]) == ("gradio", "app.py", ["evaluate", "metric"])
    assert len(front["description"]) > 30


def test_card_is_one_that_the_hub_accepts(name):
    content = (Path(metric_path(name)).parent / "README.md").read_text("utf-8")
    assert card_problems(content, "space") == ([], [])
    data = SpaceCard(content).data
    assert (data.sdk, data.license, data.pinned) == ("gradio", "mit", False)
    assert name.split("_")[-1][:-1] in data.title.lower()
    tested = (Path(__file__).parents[2] / "requirements.lock").read_text("utf-8")
    assert f"gradio=={data.sdk_version}\n" in tested
    for section in ("Metric description", "How to use", "Limitations and bias", "Citation"):
        assert f"\n## {section}\n" in content
    for section in ("Inputs", "Output values", "Values from the paper", "Examples"):
        assert f"\n### {section}\n" in content


def test_card_says_what_several_processes_do_not_gather(metric, name):
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8")
    said = " ".join(card.split("\nOn several processes (")[1].split("\n\n")[0].split())
    gathered, others = said.split("nothing else")
    assert re.findall(r"`(\w+)`", gathered)[2:-1] == list(metric.features)
    arrays = {each for each in inspect.signature(metric._compute).parameters if each in ROWS}
    assert set(re.findall(r"`(\w+)`", others)) == (arrays - set(metric.features)) | {"dataset"}


def test_script_avoids_what_the_loader_of_evaluate_misreads(name):
    source = Path(metric_path(name)).read_text("utf-8")
    imports = [line for line in source.splitlines() if re.match(r"(import|from) ", line)]
    assert all("#" not in line and not line.startswith("from .") for line in imports)
    assert all("," not in line for line in imports if line.startswith("import "))
    assert source.count("evaluate.Metric)") == len(re.findall(r"^class ", source, flags=re.MULTILINE)) == 1


def test_loader_of_evaluate_sees_the_imports_that_python_does(name):
    tree = ast.parse(Path(metric_path(name)).read_text("utf-8"))
    found = {
        each.names[0].name if isinstance(each, ast.Import) else each.module
        for each in tree.body
        if isinstance(each, ast.Import | ast.ImportFrom)
    }
    # One line each, no comment taken for an address, nothing hidden by a docstring, and no file to fetch beside it.
    assert not any(isinstance(each, ast.ImportFrom) and each.level for each in ast.walk(tree))
    seen = evaluate.loading.get_imports(metric_path(name))
    assert {("library", each.split(".")[0], each.split(".")[0], None) for each in found} == set(seen)
    assert {each.split(".")[0] for each in found} == {"datasets", "evaluate", "seal_datasets"}


def test_class_that_the_loader_of_evaluate_takes_is_the_metric(metric, name):
    script = sys.modules[type(metric).__module__]
    modules = [
        each for each in vars(script).values() if isinstance(each, type) and issubclass(each, evaluate.EvaluationModule)
    ]
    assert modules == [type(metric)]
    assert type(metric).__name__ == "".join(word.capitalize() for word in name.split("_"))
    assert metric.name == name
    assert type(metric).compute.__doc__  # evaluate adds to it, and fails where there is none


def test_declared_features_are_float_columns(metric):
    floats = Value("float64")
    assert all(feature in (floats, List(floats)) for feature in metric.features.values())
    assert not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(metric._compute).parameters.values())


def test_arguments_are_those_of_the_estimator(metric, name):
    ours = set(inspect.signature(metric._compute).parameters) - {"return_angles"}
    assert ours == set(inspect.signature(getattr(estimate, name)).parameters)


def test_same_numbers_by_every_way_in_and_from_the_estimator(metric, name):
    arrays, options = ARRAYS[name], OPTIONS[name]
    direct = metric.compute(**arrays, **options)
    assert json.loads(json.dumps(direct, allow_nan=False)) == direct

    plain = {key: value for key, value in options.items() if key != "return_angles"}
    result = getattr(estimate, name)(**arrays, **plain)
    assert direct == (result.to_dict(angles=True) if "return_angles" in options else result.to_dict())

    assert metric.compute(**{key: np.array(value) for key, value in arrays.items()}, **options) == direct
    dataset = Dataset.from_dict(arrays)
    for table in (arrays, dataset, dataset.to_pandas(), dataset.data.table):
        assert metric.compute(dataset=table, **options) == direct
    assert metric.compute(**{key: dataset[key] for key in arrays}, **options) == direct

    for inputs in (arrays, {key: np.array(value) for key, value in arrays.items()}):
        for start in (0, 40):
            metric.add_batch(**{key: value[start : start + 40] for key, value in inputs.items()})
        assert metric.compute(**options) == direct
    assert metric.compute(**arrays, **options) == direct


def test_batches_that_do_not_fit_are_refused_and_the_others_count(metric, name):
    arrays, options = ARRAYS[name], OPTIONS[name]
    first = next(iter(arrays))
    metric.add_batch(**arrays)
    if len(arrays) > 1:
        with pytest.raises(ValueError, match="Mismatch in the number of"):
            metric.add_batch(**{**arrays, first: arrays[first][:-1]})
    with pytest.raises(ValueError, match=r"could not convert|don't match|expected a list"):
        metric.add_batch(**{**arrays, first: ["none"] * N})
    for others in (np.zeros((N, 2, 2)), np.zeros(N) if isinstance(arrays[first][0], list) else np.zeros((N, 2))):
        with pytest.raises((ValueError, TypeError)):  # evaluate's own
            metric.add_batch(**{**arrays, first: others})
    assert metric.compute(**options) == metric.compute(**arrays, **options)


def test_tables_are_refused_on_several_processes(name, tmp_path):
    metric = evaluate.load(metric_path(name), num_process=2, process_id=0, experiment_id="e", cache_dir=str(tmp_path))
    with pytest.raises(DataError, match="not gathered from 2 processes"):
        metric.compute(dataset=ARRAYS[name], **OPTIONS[name])


def test_lazy_columns_with_nulls_are_refused_by_name():
    metric = evaluate.load(metric_path("alignment_resistance"))
    table = Dataset.from_dict({"a": [1.0, None, 2.0], "b": [0.0, 1.0, 3.0]})
    with pytest.raises(DataError, match=r"column 'a' has 1 row\(s\) without value, the first in row 1"):
        metric.compute(chosen_rewards=table["a"], rejected_rewards=table["b"])
    formatted = table.select([0, 2]).with_format("numpy")
    assert metric.compute(chosen_rewards=formatted["a"], rejected_rewards=formatted["b"])["n_pairs"] == 2


@pytest.mark.parametrize("name", [name for name in METRICS if any(key.endswith("_names") for key in OPTIONS[name])])
def test_named_columns_make_matrices_and_name_features(name):
    metric = evaluate.load(metric_path(name))
    arrays, options = ARRAYS[name], OPTIONS[name]
    matrices = [key for key, value in arrays.items() if isinstance(value[0], list)]
    option = next(key for key in options if key.endswith("_names"))
    table = {key: value for key, value in arrays.items() if key not in matrices}
    columns = {}
    for key in matrices:
        side = key.split("_")[0]
        columns[key] = [f"feature_{each}_{side}" for each in options[option]]
        if side not in ("chosen", "rejected"):
            columns[key] = list(options[option])
        table |= dict(zip(columns[key], map(list, zip(*arrays[key], strict=True)), strict=True))
    others = {key: value for key, value in options.items() if key != option}
    found = metric.compute(dataset=Dataset.from_dict(table), columns=columns, **others)
    assert found == metric.compute(**arrays, **options)


def test_missing_and_bad_inputs_are_named(metric, name):
    arrays, options = ARRAYS[name], OPTIONS[name]
    first = next(iter(arrays))
    with pytest.raises(DataError, match=f"no {first} given"):
        metric.compute(**{key: value for key, value in arrays.items() if key != first}, **options)
    with pytest.raises(DataError, match="give the table as dataset="):
        metric.compute(columns={first: "a"}, **arrays, **options)
    with pytest.raises(DataError, match="the table lacks nowhere"):
        metric.compute(dataset=arrays, columns={first: "nowhere"}, **options)
    with pytest.raises(DataError, match="columns= names wrong"):
        metric.compute(dataset=arrays, columns={"wrong": first}, **options)
    with pytest.raises(DataError, match="predictions is not taken; the inputs are"):
        metric.compute(predictions=[1.0], **arrays, **options)
    short = {**arrays, first: arrays[first][:-1]}
    with pytest.raises(DataError, match=r"\b59\b"):
        metric.compute(**short, **options)
    bad = [*arrays[first][:7], ["high", 1] if isinstance(arrays[first][7], list) else "high", *arrays[first][8:]]
    with pytest.raises(DataError, match=f"{first} row 7 is"):
        metric.compute(**{**arrays, first: bad}, **options)


def test_tables_with_nulls_are_refused_by_column_and_row():
    metric = evaluate.load(metric_path("alignment_resistance"))
    rows = {"chosen_rewards": [1.0, None, None], "rejected_rewards": [0.0, 0.0, 0.0]}
    for table in (Dataset.from_dict(rows), Dataset.from_dict(rows).to_pandas(), Dataset.from_dict(rows).data.table):
        with pytest.raises(
            DataError, match=r"column 'chosen_rewards' has 2 row\(s\) without value, the first in row 1"
        ):
            metric.compute(dataset=table)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "columns= names no column for features"),
        (["ragged"], "features cannot be made of the columns ragged: each needs the same rows"),
        (["f", "ragged"], "features cannot be made of the columns f, ragged: each needs the same rows"),
    ],
)
def test_columns_that_make_no_matrix_are_named(features, message):
    metric = evaluate.load(metric_path("feature_imprint"))
    table = {"rewards": A, "groups": PROMPTS, "f": ALIGNED, "ragged": [[1], [0, 1]] * (N // 2)}
    for given in (table, Dataset.from_dict(table), Dataset.from_dict(table).to_pandas()):
        with pytest.raises(DataError, match=message):
            metric.compute(dataset=given, columns={"features": features})


def test_pairs_become_texts_where_columns_say_side():
    metric = evaluate.load(metric_path("feature_imprint"))
    table = {"prompt_id": PROMPTS, "r_chosen": A, "r_rejected": B, "f_chosen": X, "f_rejected": Y}
    columns = {"rewards": "r_{side}", "features": "f_{side}", "groups": "prompt_id"}
    long = metric.compute(rewards=A + B, features=X + Y, groups=PROMPTS * 2, **NAMES)
    assert metric.compute(dataset=Dataset.from_dict(table), columns=columns, **NAMES) == long
    assert metric.compute(dataset=table, columns=columns, **NAMES) == long


def test_examples_run(metric):
    test = doctest.DocTestParser().get_doctest(metric.inputs_description, {}, metric.name, None, 0)
    assert sum(">>>" in line for line in metric.inputs_description.splitlines()) > 4
    assert sum("compute(" in example.source for example in test.examples) >= 1
    assert doctest.DocTestRunner().run(test).failed == 0


def test_examples_of_the_card_are_those_of_the_module(metric, name):
    card = (Path(metric_path(name)).parent / "README.md").read_text("utf-8")
    ours = [example.source for example in doctest.DocTestParser().get_examples(metric.inputs_description)]
    assert [example.source for example in doctest.DocTestParser().get_examples(card.replace("```", ""))] == ours


def test_metrics_combine():
    names = ("alignment_resistance", "reward_shift")
    pair = evaluate.combine([evaluate.load(metric_path(name)) for name in names])
    rewards = ARRAYS["reward_shift"]
    found = pair.compute(**rewards)
    alone = evaluate.load(metric_path("reward_shift")).compute(**rewards)
    assert found["mean_degrees"] == alone["mean_degrees"]
    assert found["alignment_score"] == 1 - found["alignment_resistance"]
