"""What to do after reading a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seal_datasets.report.audited_models import models_of
from seal_datasets.report.claims import is_corrected
from seal_datasets.report.page.figure import feature_title


def what_to_do(report: Mapping[str, Any], counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Say what to do next.

    Args:
        report (`Mapping[str, Any]`): From `write_report`.
        counts (`Mapping[str, int]`): Resistant pairs by feature in which the rejected response has more; a feature may be
            missing where they were not counted.

    Returns:
        `list[tuple[str, str]]`: Sentences, each with the state of the page that shows what it speaks of; empty for none.
    """
    steps: list[tuple[str, str]] = []
    run = report["run"]
    if any(examination["failed"] for examination in (run.get("doctor") or {}).values()):
        steps.append(
            ("Mend the scores first: checks of the doctor failed, and every number below rests on them.", "#doctor")
        )
    last = models_of(run).last
    beyond = [
        claim["feature"]
        for claim in report["claims"]
        if claim["quantity"] == "amplification" and claim["model"] == last and claim["estimate"] > 0
    ]
    shown = [name for name in beyond[:1] if counts.get(name) != 0]
    for name in shown:
        number = f"{counts[name]:,} " if name in counts else ""
        text = f"Read the {number}resistant pairs in which the rejected response has more of “{feature_title(name)}”."
        steps.append((text, f"#aligned=no&more_rejected={name}"))
    if not shown and (n := _n_resistant(report)):
        steps.append((f"Read the {n:,} resistant pairs, largest margin first.", "#aligned=no"))
    if not run["labeler"]:
        steps.append(
            (
                "Label a drawn share: `seal gold DATA --n 300`, then audit again with `--gold`; a probe labels the rest.",
                "",
            )
        )
    elif not is_corrected(report):
        steps.append(("Have labels corrected: `seal gold DATA --n 300`, then audit again with `--gold`.", ""))
    if report["population"]["estimated_on"] != "heldout":
        text = "Say which pairs the model was trained on (column `partition`): these numbers may be memory."
        steps.append((text, ""))
    return steps[:3]


def _n_resistant(report: Mapping[str, Any]) -> int:
    """Resistant pairs of the last model, of those that the report speaks of."""
    last, where = models_of(report["run"]).last, report["population"]["estimated_on"]
    found = report["models"][last]["resistance"][where]
    share: float = found["alignment_resistance"] or 0.0
    return round(share * int(found["n_pairs"]))
