"""The whole pipeline in one call: load, label, train if needed, score, estimate, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.atomic import occupying, write_json
from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.finish import finish_audit, with_columns
from seal_datasets.audit.given_models import Columns, give_models
from seal_datasets.audit.label_step import asked_features, label_pairs
from seal_datasets.audit.precomputed import column_records, refuse_same_model
from seal_datasets.audit.recipe import audit_recipe
from seal_datasets.audit.rewrite_step import rewrite_pairs
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.data.demo import DEMO_NAME, demo_path
from seal_datasets.data.load import load_pairs
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.escape import shareable
from seal_datasets.labels.featurize import add_surface_features
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Taxonomy
from seal_datasets.report.files import refuse_other_audit
from seal_datasets.report.page.notebook import Report
from seal_datasets.rewards.counts import count_statuses, describe_counts
from seal_datasets.rewards.doctor.examine import Extent, examine
from seal_datasets.rewards.open import addresses_of, find_scorer, open_scorer
from seal_datasets.rewards.precomputed import add_own_rewards
from seal_datasets.rewards.score import add_rewards
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scorer
from seal_datasets.rewards.train import train_pair

_RECORDED_APART = ("training", "models", "rewrites", "doctor", "tie_band")
_DOCTOR_FILE = "doctor.json"


def run_audit(
    source: str | Dataset,
    out: str | Path,
    settings: AuditSettings | None = None,
    *,
    models: Mapping[str, str | Path | Columns] | None = None,
    baseline: str | None = None,
    api_key: str | None = None,
    scorer_api_key: str | None = None,
) -> Report:
    """Audit reward models on a preference dataset, and write the report.

    A re-run on the same folder reuses finished labels, models and rewards.

    Args:
        source (`str` or `Dataset`): Anything `load_pairs` takes, or `"demo"` for the embedded preference set.
        out (`str` or `Path`): Folder for the report, the enriched pairs, the store of labels and the trained models.
        settings (`AuditSettings`, *optional*): Options of the audit; the defaults when omitted.
        models (`Mapping[str, str | tuple[str, str]]`, *optional*): The reward models by short name, in order, instead of those
            in the settings: each as for `open_scorer`, or the two columns of its rewards. A pair is trained when none is given.
        baseline (`str`, *optional*): Name of the model that all others are compared with; the first of several when omitted.
        api_key (`str`, *optional*): Key for the endpoints of labeler and rewriter, or `ADDRESS=KEY` entries, see `key_for`;
            never written to disk.
        scorer_api_key (`str`, *optional*): The same for servers of reward models.

    Returns:
        `Report`: The content of `report.json`, a mapping that displays itself in a notebook.

    Raises:
        SealError: An input is missing or wrong; the message states which, and what to do.
    """
    settings = settings or AuditSettings()
    if models is not None:
        given = give_models(models, baseline)
        settings = replace(
            settings,
            models=replace(settings.models, texts=given.texts, columns=given.columns, baseline=baseline),
        )
    out = Path(out)
    taxonomy = asked_features(settings)
    # Keys and the given models are checked before any slow work.
    check_keys(settings.addresses, api_key)
    check_keys(addresses_of(settings.models.texts.values()), scorer_api_key)
    for name, model in settings.models.texts.items():
        find_scorer(model, over_length=settings.over_length, api_key=scorer_api_key, **settings.models.opening(name))
    with occupying(out, "an audit"):
        return _audit(source, out, settings, taxonomy, keys=(api_key, scorer_api_key))


def _audit(
    source: str | Dataset,
    out: Path,
    settings: AuditSettings,
    taxonomy: Taxonomy,
    *,
    keys: tuple[str | None, str | None],
) -> Report:
    """Do the steps of an audit in a folder that belongs to this process."""
    api_key, scorer_api_key = keys
    print_progress("1/5 Loading pairs")
    data = str(demo_path()) if source == "demo" else source
    pairs, diagnosis = load_pairs(data, split=settings.split, limit=settings.limit, seed=settings.seed)
    if source == "demo":
        diagnosis = replace(diagnosis, source=DEMO_NAME)
    diagnosis = replace(diagnosis, source=shareable(diagnosis.source))
    refuse_other_audit(out, diagnosis.source)
    print_progress(str(diagnosis))
    print_progress("2/5 Features")
    pairs = add_surface_features(pairs)
    labelled = label_pairs(pairs, taxonomy, settings, out / "labels.sqlite", api_key=api_key)
    pairs, labeler = labelled.pairs, labelled.record
    features = [*(labelled.taxonomy.features if labeler else ()), *SURFACE_FEATURES]

    print_progress("3/5 Reward models")
    pairs, training, paths = _train_or_take_models(pairs, settings, out)
    examined = _examine_models(pairs, paths, out, settings, scorer_api_key) if settings.doctor else None
    jitter = max((result["tie_band"] for result in examined.values()), default=0.0) if examined else 0.0
    print_progress("4/5 Scoring")
    scorers = _open_models(paths, settings, scorer_api_key)
    records = {name: scorer.provenance() for name, scorer in scorers.items()}
    records |= column_records(settings.models.columns, diagnosis)
    refuse_same_model(records)
    pairs = _score(pairs, scorers, out, settings)
    rewrites = None
    if settings.rewrites is not None:
        print_progress("    Rewriting")
        again = labelled.again if labeler else None
        store = out / "labels.sqlite"
        pairs, rewrites = rewrite_pairs(pairs, settings, store, label=again, models=scorers, api_key=api_key)
    print_progress("5/5 Estimates and report")
    run = {
        # The path of a model trained here is relative to the report's folder, which may move.
        "models": {
            name: record | ({"model": f"models/{name}"} if training else {}) for name, record in records.items()
        },
        "baseline": settings.models.audited.baseline,
        "training": training,
        "labeler": labeler,
        "rewrites": rewrites,
        "doctor": examined,
        "tie_band": jitter if settings.tie_band is None else settings.tie_band,
        "settings": {key: value for key, value in asdict(settings).items() if key not in _RECORDED_APART},
    }
    revisions = {name: records[name].get("revision") for name in scorers if not training}
    recipe = audit_recipe(source, out, settings, revisions=revisions, diagnosis=diagnosis)
    return finish_audit(pairs, diagnosis, labelled.taxonomy, features, out, run, recipe)


def _open_models(paths: Mapping[str, str | Path], settings: AuditSettings, api_key: str | None) -> dict[str, Scorer]:
    """Open the models, and say what is to be known of them."""
    models = {
        name: open_scorer(str(path), over_length=settings.over_length, api_key=api_key, **settings.models.opening(name))
        for name, path in paths.items()
    }
    for name, model in models.items():
        for note in model.notes:
            print_progress(f"    {name}: note: {note}")
    return models


def _score(pairs: Dataset, models: Mapping[str, Scorer], out: Path, settings: AuditSettings) -> Dataset:
    """Score all pairs with the models that run, and say how many texts have no reward; other rewards are columns."""
    pairs = add_own_rewards(pairs, settings.models.columns) if settings.models.columns else pairs
    if models:
        with ScoreStore(out / "rewards") as scores:
            pairs = add_rewards(pairs, models, store=scores)
    for name in models:
        print_progress(f"    {describe_counts(name, count_statuses(pairs, name), models)}")
    return pairs


def _examine_models(
    pairs: Dataset, paths: Mapping[str, str | Path], out: Path, settings: AuditSettings, api_key: str | None
) -> dict[str, Any]:
    """Run a short examination of the models, and write the results next to the report."""
    results = {}
    for name, path in paths.items():
        print_progress(f"    Examining the {name} model")
        opening = settings.models.opening(name)
        examination = examine(
            path, pairs, extent=Extent(short=True), head=opening["head"], options=opening["options"], api_key=api_key
        )
        if examination.failed:
            print_progress(f"    failed: {', '.join(examination.failed)}; see {out / _DOCTOR_FILE}")
        results[name] = examination.to_dict()
        del results[name]["model"]  # recorded with the audit's models, relative to the folder
    write_json(out / _DOCTOR_FILE, shareable(results))
    return results


def _train_or_take_models(
    pairs: Dataset, settings: AuditSettings, out: Path
) -> tuple[Dataset, dict[str, object] | None, dict[str, str | Path]]:
    """The models to score with; if a pair is trained here, pairs get their partition."""
    if settings.models.names:
        return pairs, None, dict(settings.models.texts)
    trained = train_pair(pairs, out / "models", settings.training)
    partition = ["heldout" if prompt in trained.heldout_prompts else "train" for prompt in pairs[schema.PROMPT_ID]]
    about = {
        **{f"training {name}": value for name, value in asdict(settings.training).items()},
        "training pairs": trained.n_train_pairs,
        "held-out prompts": len(trained.heldout_prompts),
    }
    pairs = with_columns(pairs, {schema.PARTITION: partition}, settings.models.audited)
    return pairs, about, {"pre": trained.pre, "post": trained.post}
