"""The plan of an audit of given columns; needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from seal_datasets.audit.plan_table import load_table, plan_report
from seal_datasets.audit.planned import AuditPlan
from seal_datasets.audit.precomputed import OwnRewardsSettings, check_own_features
from seal_datasets.labels.gold import add_gold
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import load_taxonomy
from seal_datasets.report.audited_models import name_models
from seal_datasets.rewards.precomputed import RewardColumns


def plan_own_rewards(
    source: str | Dataset, out: str | Path, rewards: RewardColumns, settings: OwnRewardsSettings | None = None
) -> AuditPlan:
    """Plan `audit_own_rewards`, with the same arguments, without adding to its folder.

    Args:
        source (`str` or `Dataset`): As for `audit_own_rewards`.
        out (`str` or `Path`): As for `audit_own_rewards`.
        rewards (`Mapping[str, tuple[str, str]]`): As for `audit_own_rewards`.
        settings (`OwnRewardsSettings`, *optional*): As for `audit_own_rewards`.

    Returns:
        `AuditPlan`: Load, surface features and report.

    Raises:
        DataError: As for `audit_own_rewards`.
    """
    settings = settings or OwnRewardsSettings()
    models = name_models(list(rewards), settings.baseline)
    taxonomy = load_taxonomy(settings.taxonomy)
    table = load_table(source, Path(out), split=settings.split, limit=settings.limit, seed=settings.seed)
    if settings.gold is not None:
        add_gold(table.pairs, settings.gold, taxonomy)
    sample, labelled = check_own_features(table.sample, taxonomy)
    table = replace(table, sample=sample)
    report = plan_report(table, [*labelled, *SURFACE_FEATURES], models, rewards, notes=())
    return AuditPlan((table.step, table.surface_step, report))
