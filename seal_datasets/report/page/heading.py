"""What stands above a report: its title, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.report.audited_models import models_of


def title_of(report: Mapping[str, Any]) -> str:
    """The title of a report."""
    models = models_of(report["run"])
    whose = models.last if len(models.audited) == 1 else f"{len(models.names)} models"
    return f"What {whose} learned from {report['run']['source']}"


def byline_of(report: Mapping[str, Any]) -> str:
    """What a report rests on, on one line: pairs, prompts, the model and its baseline."""
    models, run = models_of(report["run"]), report["run"]
    population = report["population"]
    pairs = f"{population['n_used']:,} pairs of {population['n_prompts']:,} prompts"
    if population["estimated_on"] == "heldout":
        pairs += f", {report['models'][models.last]['resistance']['heldout']['n_pairs']:,} held out"
    record = run["models"][models.last]
    revision = f" at {str(record['revision'])[:12]}" if record.get("revision") else ""
    baseline = f" · baseline {models.baseline}" if models.baseline else ""
    return f"SEAL audit · {pairs} · model {models.last}{revision}{baseline}"
