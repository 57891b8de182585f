"""The plan of an audit: what every step will do and cost, before anything is paid or trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset

from seal_datasets.audit.label_step import asked_features
from seal_datasets.audit.plan_requests import EmbeddedPace, Sources, plan_label_steps, plan_rewrite_steps
from seal_datasets.audit.plan_scoring import Scoring, plan_doctor, plan_scoring, unmeasured
from seal_datasets.audit.plan_table import load_table, plan_report
from seal_datasets.audit.plan_training import plan_training
from seal_datasets.audit.planned import AuditPlan, PlannedStep
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.endpoints.keys import check_keys
from seal_datasets.labels.gold import add_gold, check_own_gold
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.rewards.checkpoint import HubUnreachableError
from seal_datasets.rewards.open import find_scorer, is_served


def plan_audit(
    source: str | Dataset, out: str | Path, settings: AuditSettings, *, api_key: str | None = None
) -> AuditPlan:
    """Plan an audit without asking a server, downloading weights, or adding to its folder.

    Times are measured for a few seconds each on this machine: surface features, the report of a sample, the embedded labeler,
    and every model whose weights are here. What is not known is nan, with the reason in the step's notes.

    Args:
        source (`str` or `Dataset`): As for `run_audit`.
        out (`str` or `Path`): As for `run_audit`; answers, rewards and models of earlier runs in it are counted as cached.
        settings (`AuditSettings`): As for `run_audit`.
        api_key (`str`, *optional*): As for `run_audit`; it identifies no request, and none is sent.

    Returns:
        `AuditPlan`: One row per step.

    Raises:
        SealError: An input is missing or wrong, as for `run_audit`.

    Example:

    ```python
    >>> print(plan_audit("pairs.jsonl", "report", AuditSettings(models=give_models({"rm": "my/rm"}))))  # doctest: +SKIP

    ```
    """
    out, given = Path(out), settings.models
    taxonomy = asked_features(settings)
    check_keys(settings.addresses, api_key)
    unknown = _find_models(settings)
    table = load_table(source, out, split=settings.split, limit=settings.limit, seed=settings.seed)
    pairs = table.pairs
    if settings.gold is not None:
        pairs = add_gold(pairs, settings.gold, taxonomy)
    pairs = check_own_gold(pairs, taxonomy)
    sources = Sources(out / "labels.sqlite", api_key, EmbeddedPace(pairs, taxonomy))
    steps = [table.step, table.surface_step, *plan_label_steps(pairs, taxonomy, settings, sources)]
    training, scoring = _plan_models(pairs, settings, out, unknown)
    steps += training
    if settings.doctor:
        steps.append(plan_doctor(len(pairs), scoring))
    steps += [each.step for each in scoring]
    steps += plan_rewrite_steps(pairs, taxonomy, settings, sources, scoring)
    lacking = (
        ()
        if steps[2].pairs == 0 and settings.rewrites is None
        else ("labels and rewrites, which do not exist yet, add to its time and disk",)
    )
    steps.append(plan_report(table, list(SURFACE_FEATURES), given.audited, given.columns, notes=lacking))
    return AuditPlan(tuple(steps))


def _find_models(settings: AuditSettings) -> dict[str, str]:
    """Check that the given models exist; returns by name why nothing can be found out about the others."""
    unknown = {}
    for name, text in settings.models.texts.items():
        if is_served(text):
            continue
        try:
            find_scorer(text, over_length=settings.over_length, **settings.models.opening(name))
        except HubUnreachableError as error:
            unknown[name] = str(error)
    return unknown


def _plan_models(
    pairs: Dataset, settings: AuditSettings, out: Path, unknown: Mapping[str, str]
) -> tuple[list[PlannedStep], list[Scoring]]:
    """Training where no model is given, and scoring with each."""
    if not settings.models.names:
        training, scoring = plan_training(pairs, settings, out)
        return [training], scoring
    scoring = []
    for name, text in settings.models.texts.items():
        if name in unknown:
            why = f"tokens, cached and time are not measured: {unknown[name]}"
            scoring.append(Scoring(unmeasured(f"score {name}", pairs, why)))
        else:
            scoring.append(plan_scoring(name, text, pairs, settings, out))
    return [], scoring
