"""The whole pipeline in one call: load, label, train where needed, score, estimate, report."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value, concatenate_datasets

from seal_datasets import report, schema
from seal_datasets.analyze import derived_columns
from seal_datasets.cost import Budget, Usage, load_prices
from seal_datasets.demo import demo_path
from seal_datasets.errors import DataError, import_extra
from seal_datasets.featurize import add_features, add_surface_features, plan_features
from seal_datasets.labeler import PROMPT_VERSION, Labeler
from seal_datasets.load import load_pairs
from seal_datasets.local_lm import MODEL_NAME, EmbeddedLM, embedded_weights
from seal_datasets.reward_model import OverLength, RewardModel, find_model
from seal_datasets.score import add_rewards
from seal_datasets.store import ResponseStore
from seal_datasets.surface import SURFACE_FEATURES
from seal_datasets.taxonomy import Taxonomy, load_taxonomy
from seal_datasets.train import TrainingSettings, train_pair
from seal_datasets.version import __version__

EMBEDDED_FEATURES = (
    "last_response_is_harmless",
    "last_response_is_helpful",
    "last_response_is_honest",
    "last_response_is_refusal",
    "last_response_is_eloquent",
    "last_response_sentiment",
)
"""What the embedded labeler is asked unless features are named: the targets, and as many more as minutes allow."""

_DEMO_NAME = "the embedded preference set"

DEMO_TRAINING = TrainingSettings(pre_epochs=3, post_epochs=6)
"""The embedded demo has some eighty pairs to learn from; one pass would teach nothing."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What to audit with.

    Attributes:
        limit (`int`, *optional*): Rows to take from the source, drawn with the seed; all when omitted.
        split (`str`, *optional*): Split of a source with several.
        pre (`str`, *optional*): Pre-training reward model, a Hub id or folder. Trained when neither model is given.
        post (`str`, *optional*): Post-training reward model.
        labeler (`str`): `"local"` (the embedded model), `"none"`, or the URL of an OpenAI-compatible endpoint.
        labeler_model (`str`, *optional*): Name of the model at that endpoint.
        label_limit (`int`, *optional*): Pairs to label, a seeded random sample; all when omitted.
        probabilities (`bool`): Whether each yes/no feature is asked for alone, for its probability.
        concurrency (`int`): Most requests at once to a labeler given by URL.
        max_failure_rate (`float`): Share of texts without any label beyond which labeling stops.
        budget (`float`, *optional*): Dollars that labeling may cost; texts beyond it have no labels.
        prices (`str`, *optional*): YAML file of models' prices; the packaged one when omitted.
        features (`tuple[str, ...]`): Features to ask the labeler for; the whole taxonomy when empty, or for the
            embedded labeler `EMBEDDED_FEATURES`.
        taxonomy (`str`): `"seal"` or the path of a YAML file.
        over_length (`str`): What becomes of texts longer than a model takes, see `RewardModel`.
        seed (`int`): Seed of every random draw.
        training (`TrainingSettings`): How to train the pair of models, where they are trained.
    """

    limit: int | None = None
    split: str | None = None
    pre: str | None = None
    post: str | None = None
    labeler: str = "local"
    labeler_model: str | None = None
    label_limit: int | None = None
    probabilities: bool = False
    concurrency: int = 16
    max_failure_rate: float = 0.5
    budget: float | None = None
    prices: str | None = None
    features: tuple[str, ...] = ()
    taxonomy: str = "seal"
    over_length: OverLength = "truncate"
    seed: int = 0
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if (self.pre is None) != (self.post is None):
            raise DataError("give both models (pre and post), or neither to have a pair trained")
        if self.labeler not in ("local", "none") and not self.labeler.startswith(("http://", "https://")):
            raise DataError(f"the labeler must be 'local', 'none' or a URL, got {self.labeler!r}")
        if self.labeler.startswith("http") and not self.labeler_model:
            raise DataError("a labeler given by URL needs the name of its model (labeler_model)")
        if not 0.0 <= self.max_failure_rate <= 1.0:
            raise DataError(f"max_failure_rate must lie between 0 and 1, got {self.max_failure_rate}")
        for name in ("limit", "label_limit", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, got {value}")


def run_audit(
    source: str | Dataset, out: str | Path, settings: AuditSettings | None = None, *, api_key: str | None = None
) -> dict[str, Any]:
    """Audit a preference dataset and a pair of reward models, and write the report.

    Run again on the same folder, finished labels, models and rewards are found and not made twice.

    Args:
        source (`str` or `Dataset`): Anything `load_pairs` takes, or `"demo"` for the embedded preference set.
        out (`str` or `Path`): Folder for the report, the enriched pairs, the store of labels and trained models.
        settings (`AuditSettings`, *optional*): What to audit with.
        api_key (`str`, *optional*): Key for the labeler's endpoint; written nowhere.

    Returns:
        `dict[str, Any]`: The content of `report.json`.

    Raises:
        SealError: Something needed is missing or wrong; the message says what and what to do.
    """
    settings = settings or AuditSettings(training=DEMO_TRAINING if source == "demo" else TrainingSettings())
    out = Path(out)
    import_extra("matplotlib", extra="report", purpose="draw the report's figures")
    taxonomy = asked_features(settings)
    for given in (settings.pre, settings.post):
        if given is not None:  # before anything that takes long
            find_model(given)
    out.mkdir(parents=True, exist_ok=True)

    _say("1/5 Loading pairs")
    data = str(demo_path()) if source == "demo" else source
    pairs, diagnosis = load_pairs(data, split=settings.split, limit=settings.limit, seed=settings.seed)
    if source == "demo":
        diagnosis = replace(diagnosis, source=_DEMO_NAME)
    _say(str(diagnosis))
    _say("2/5 Features")
    pairs = add_surface_features(pairs)
    pairs, labeler = label_pairs(pairs, taxonomy, settings, out / "labels.sqlite", api_key=api_key)
    features = [*(taxonomy.features if labeler else ()), *SURFACE_FEATURES]

    _say("3/5 Reward models")
    pairs, training, paths = _models(pairs, settings, out)
    _say("4/5 Scoring")
    models: dict[str, dict[str, object]] = {}
    for name, path in paths.items():
        model = RewardModel(path, over_length=settings.over_length)
        pairs = add_rewards(pairs, model, name=name)
        # A model trained here is named from the report's folder, wherever that folder will be.
        models[name] = model.provenance() | ({"model": f"models/{name}"} if training else {})

    _say("5/5 Estimates and report")
    pairs = _with_columns(pairs, derived_columns(pairs, features))
    pairs.to_parquet(str(out / report.PAIRS_FILE))
    run = {
        "seal_datasets": __version__,
        "source": diagnosis.source,
        "diagnosis": diagnosis.to_dict(),
        "models": models,
        "training": training,
        "labeler": labeler,
        "taxonomy": {"name": taxonomy.name, "version": taxonomy.version, "digest": taxonomy.digest},
        "features": [asdict(feature) for feature in features],
        "scoring": {name: _statuses(pairs, name) for name in models},
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("training", "pre", "post")},
        "versions": _versions(),
    }
    (out / report.RUN_FILE).write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return report.write_report(out)


def asked_features(settings: AuditSettings) -> Taxonomy:
    """The part of the taxonomy that the labeler will be asked for."""
    taxonomy = load_taxonomy(settings.taxonomy)
    if settings.features:
        return taxonomy.select(settings.features)
    if settings.labeler == "local" and settings.taxonomy == "seal":
        return taxonomy.select(EMBEDDED_FEATURES)
    return taxonomy


def label_pairs(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> tuple[Dataset, dict[str, object] | None]:
    """Label pairs as the settings say, starting and stopping the embedded model where it is the labeler.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): What to ask.
        settings (`AuditSettings`): The labeler, its sample and the seed.
        store_path (`Path`): SQLite file of responses.
        api_key (`str`, *optional*): Key for the endpoint; written nowhere.

    Returns:
        `tuple[Dataset, dict | None]`: The labelled pairs, and what is to be recorded of the labeler (`None` for none).

    Raises:
        LabelerError: The endpoint is down or refuses to work; what was answered so far is in the store.
    """
    if settings.labeler == "none":
        return pairs, None
    sample = _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path) as store, _endpoint(settings, store, api_key) as (labeler, about):
        found = len(store)
        pairs = add_features(pairs, labeler, taxonomy, pair_ids=sample)
        spent = _spent(store, settings)
    failures = Counter(
        failure["reason"]
        for side in schema.SIDES
        for row in pairs[schema.failures_column(side)]
        for failure in row
        if failure["reason"] != "not_sampled"
    )
    missing = ", ".join(f"{reason} {count:,}" for reason, count in failures.most_common()) or "none"
    _say(f"    {labeler.n_requests:,} requests; the store held {found:,} responses before; labels missing: {missing}")
    _say(
        f"    {labeler.budget.usage}, {_dollars(labeler.budget.spent)}; with all the store holds: {spent['responses']}"
    )
    return pairs, {
        **about,
        "spent": spent,
        "prompt_version": PROMPT_VERSION,
        "n_pairs_sampled": None if sample is None else len(sample),
    }


def plan_labels(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, store_path: Path, *, api_key: str | None = None
) -> str:
    """Say what `label_pairs` would ask and cost, asking nothing; the arguments are the same.

    Returns:
        `str`: Texts, requests, tokens and dollars, and the date of the prices.
    """
    if settings.labeler == "none":
        return "no labeler, nothing to ask"
    sample = _sample(pairs[schema.PAIR_ID][:], settings.label_limit, settings.seed)
    with ResponseStore(store_path if store_path.exists() else ":memory:") as store:
        labeler = _labeler(settings, store, "http://127.0.0.1/v1" if settings.labeler == "local" else None, api_key)
        plan = plan_features(pairs, labeler, taxonomy, pair_ids=sample)
    return f"{plan} (prices of {load_prices(settings.prices).as_of})"


def _spent(store: ResponseStore, settings: AuditSettings) -> dict[str, str]:
    """What all responses in the store were billed, in words."""
    prices = load_prices(settings.prices)
    whole, dollars = Usage(), 0.0
    for (model, batch), usage in store.usage().items():
        whole += usage
        dollars += prices.price(model, batch=batch).cost(usage)
    return {
        "responses": f"{whole}, {_dollars(dollars)}",
        "prices": f"{prices.as_of}, {prices.source}",
    }


def _dollars(amount: float) -> str:
    return "cost unknown" if math.isnan(amount) else f"${amount:,.4f}"


@contextmanager
def _endpoint(
    settings: AuditSettings, store: ResponseStore, api_key: str | None
) -> Iterator[tuple[Labeler, dict[str, object]]]:
    if settings.labeler == "local":
        weights = embedded_weights()
        with EmbeddedLM() as server:
            about = {
                "model": MODEL_NAME,
                "endpoint": f"embedded, {server.version}",
                "weak": True,
                "weights": weights.name,
            }
            yield _labeler(settings, store, server.url, None, server.slots), about
        return
    about = {"model": settings.labeler_model or "", "endpoint": settings.labeler, "weak": False}
    yield _labeler(settings, store, None, api_key), about


def _labeler(
    settings: AuditSettings, store: ResponseStore, local_url: str | None, api_key: str | None, slots: int = 1
) -> Labeler:
    model = MODEL_NAME if local_url else settings.labeler_model or ""
    limit = math.inf if settings.budget is None else settings.budget
    return Labeler(
        model,
        base_url=local_url or settings.labeler,
        api_key=None if local_url else api_key,
        concurrency=slots if local_url else settings.concurrency,
        store=store,
        probabilities=settings.probabilities,
        max_failure_rate=settings.max_failure_rate,
        budget=Budget(limit, load_prices(settings.prices).price(model)),
    )


def _sample(pair_ids: Sequence[str], size: int | None, seed: int) -> frozenset[str] | None:
    if size is None or size >= len(pair_ids):
        return None
    drawn = np.random.default_rng(seed).choice(len(pair_ids), size=size, replace=False)
    return frozenset(pair_ids[index] for index in drawn)


def _models(
    pairs: Dataset, settings: AuditSettings, out: Path
) -> tuple[Dataset, dict[str, object] | None, dict[str, str | Path]]:
    """The two models to score with; where they are trained here, also which pairs they have not seen."""
    if settings.pre is not None and settings.post is not None:
        return pairs, None, {"pre": settings.pre, "post": settings.post}
    trained = train_pair(pairs, out / "models", settings.training)
    partition = ["heldout" if each in trained.heldout_prompts else "train" for each in pairs[schema.PROMPT_ID]]
    about = {
        **{f"training {name}": value for name, value in asdict(settings.training).items()},
        "training pairs": trained.n_train_pairs,
        "held-out prompts": len(trained.heldout_prompts),
    }
    return _with_columns(pairs, {schema.PARTITION: partition}), about, {"pre": trained.pre, "post": trained.post}


def _with_columns(pairs: Dataset, columns: Mapping[str, Sequence[object]]) -> Dataset:
    numeric = {schema.margin_column("pre"), schema.margin_column("post"), schema.REWARD_SHIFT}
    types = Features({name: Value("float64" if name in numeric else "string") for name in columns})
    kept = pairs.remove_columns([name for name in columns if name in pairs.column_names])
    return concatenate_datasets([kept, Dataset.from_dict(dict(columns), features=types)], axis=1)


def _statuses(pairs: Dataset, model: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for side in schema.SIDES:
        counts.update(pairs[schema.reward_status_column(model, side)][:])
    return dict(sorted(counts.items()))


def _versions() -> dict[str, str]:
    packages = ("accelerate", "datasets", "numpy", "openai", "scipy", "torch", "transformers")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
