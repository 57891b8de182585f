"""Recipes of audits: their settings as options of `seal audit`, with the revisions that were used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_datasets.audit.given_models import GivenModels
from seal_datasets.audit.recipe_file import read_versions, render_recipe
from seal_datasets.audit.settings import AuditSettings, RewriteSettings, TeacherSettings
from seal_datasets.errors import ModelError
from seal_datasets.escape import STARS, names_secret
from seal_datasets.rewards.options import ModelOptions
from seal_datasets.rewards.training_settings import TrainingSettings

if TYPE_CHECKING:
    from seal_datasets.audit.precomputed import OwnRewardsSettings
    from seal_datasets.data.diagnosis import Diagnosis
    from seal_datasets.rewards.precomputed import RewardColumns

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SAME = (
    *("split", "limit", "seed", "over_length", "doctor", "tie_band"),
    *("labeler", "labeler_model", "label_limit", "probabilities", "gold", "taxonomy", "encoder", "keep_weak"),
    *("concurrency", "timeout", "max_answer_tokens", "max_failure_rate", "batch", "budget", "prices"),
)
_OF_MODELS = ("precision", "device_map", "merge_system", "allow_pickle", "allow_remote_code", "tokens_per_batch")
_OF_TRAINING = ("backbone", "pre_epochs", "post_epochs", "heldout_share")
_OF_REWRITES = ("rewriter", "rewriter_model", "whole_dialogue", "min_similarity", "similarity_model", "stratify_by")


def audit_recipe(
    source: object,
    out: Path,
    settings: AuditSettings,
    *,
    revisions: Mapping[str, object] | None = None,
    diagnosis: Diagnosis | None = None,
) -> str:
    """Write down an audit.

    Args:
        source (`object`): As for `run_audit`.
        out (`Path`): Folder of the report.
        settings (`AuditSettings`): Every choice.
        revisions (`Mapping[str, object]`, *optional*): Revision that was used, by a model's name; looked up when omitted.
        diagnosis (`Diagnosis`, *optional*): Of the data that was read.

    Returns:
        `str`: A recipe.
    """
    if revisions is None:
        revisions = {name: _find_commit(settings.models, name) for name in settings.models.texts}
    options = {
        **_source_options(source, out),
        **{name: getattr(settings, name) for name in _SAME},
        "model": [f"{name}={text}" for name, text in settings.models.texts.items()],
        "rewards": _columns(settings.models.columns),
        "baseline": settings.models.baseline,
        "revision": [f"{name}={revision}" for name, revision in _revisions(settings.models, revisions).items()],
        "features": ",".join(settings.features),
        "served_model": list(settings.served_models),
        "request": [f"{name}={json.dumps(value)}" for name, value in _without_keys(settings.request).items()],
        **_teacher_options(settings.teacher),
        **_model_options(settings),
        **_rewrite_options(settings.rewrites),
    }
    return _render(source, options, diagnosis, _without_flag(settings))


def own_rewards_recipe(
    source: object, out: Path, rewards: RewardColumns, settings: OwnRewardsSettings, diagnosis: Diagnosis | None = None
) -> str:
    """Write down an audit of columns of rewards; arguments as for `audit_recipe` and `audit_own_rewards`."""
    options = {**_source_options(source, out), "rewards": _columns(rewards), **asdict(settings)}
    return _render(source, options, diagnosis, [])


def _columns(rewards: RewardColumns) -> list[str]:
    return [f"{name}={chosen},{rejected}" for name, (chosen, rejected) in rewards.items()]


def _render(source: object, options: Mapping[str, Any], diagnosis: Diagnosis | None, notes: list[str]) -> str:
    made_with = read_versions()
    if diagnosis is not None and diagnosis.fingerprint:
        made_with["data"] = diagnosis.fingerprint
    if options.get("data") is None and source != "demo":
        notes = [*notes, "The data was a table in memory: save it with save_to_disk, and give its folder as data."]
    return render_recipe("audit", options, made_with=made_with, notes=notes)


def _source_options(source: object, out: Path) -> dict[str, Any]:
    data = str(source) if isinstance(source, str | Path) and source != "demo" else None
    return {"demo": source == "demo", "data": data, "out": str(out)}


def _model_options(settings: AuditSettings) -> dict[str, Any]:
    models, training = settings.models, settings.training
    trained = not models.names
    return {
        "head": models.head,
        "backend": models.backend,
        "max_length": training.max_length if trained else models.options.max_length,
        **{name: getattr(models.options, name) for name in _OF_MODELS},
        **({name: getattr(training, name) for name in _OF_TRAINING} if trained else {}),
    }


def _teacher_options(teacher: TeacherSettings | None) -> dict[str, Any]:
    if teacher is None:
        return {}
    return {"teacher": teacher.server, "teacher_model": teacher.model, "teacher_share": teacher.share}


def _rewrite_options(rewrites: RewriteSettings | None) -> dict[str, Any]:
    if rewrites is None:
        return {"rewrite_share": None}
    return {
        "rewrite_share": rewrites.share,
        "presets": ",".join(rewrites.presets),
        "axes": ",".join(rewrites.axes),
        "rewrite_attempts": rewrites.attempts,
        "rewrite_temperature": rewrites.temperature,
        **{name: getattr(rewrites, name) for name in _OF_REWRITES},
    }


def _revisions(models: GivenModels, used: Mapping[str, object]) -> dict[str, str]:
    """Revisions of models on the Hub: the commit where it is known, else what was asked for."""
    revisions = {}
    for name, text in models.texts.items():
        asked, commit = models.revisions.get(name), used.get(name)
        known = commit if not Path(text).exists() and isinstance(commit, str) and _COMMIT.fullmatch(commit) else asked
        if known is not None:
            revisions[name] = known
    return revisions


def _without_keys(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of requests, with stars for text under a name such as `api_key`."""
    return {
        name: _without_keys(value)
        if isinstance(value, Mapping)
        else STARS
        if isinstance(value, str) and names_secret(name)
        else value
        for name, value in fields.items()
    }


def _find_commit(models: GivenModels, name: str) -> str | None:
    """The commit that a model's revision is now; `None` for a folder, another kind, or where the Hub is not reached."""
    from seal_datasets.rewards.checkpoint import find_checkpoint
    from seal_datasets.rewards.open import kind_of

    text = models.texts[name]
    if Path(text).exists() or kind_of(text) != "classifier":
        return None
    try:
        return find_checkpoint(text, models.revisions.get(name)).revision
    except ModelError:
        return None


def _without_flag(settings: AuditSettings) -> list[str]:
    """Settings of the library that no option of the command sets."""
    ours = {
        "training": (settings.training, TrainingSettings(), ("learning_rate", "batch_size")),
        "models": (settings.models.options, ModelOptions(), ("attention", "pack")),
    }
    return [
        f"Set from Python, and without an option here: {room} {name} = {getattr(given, name)!r}"
        for room, (given, defaults, names) in ours.items()
        for name in names
        if getattr(given, name) != getattr(defaults, name)
    ]
