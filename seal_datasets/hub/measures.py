"""Results of an audited model as the Hub lists them: ids, names and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measure:
    """One result on a model's page.

    Attributes:
        task_id (`str`): Task in `eval.yaml` of the audit's dataset.
        metric (`str`): Kind of the result.
        name (`str`): What a reader sees.
        value (`float`): The result.
        about (`dict[str, Any]`): `n_pairs`, and `confidence_interval` where there is one.
    """

    task_id: str
    metric: str
    name: str
    value: float
    about: dict[str, Any]


def measures_of(report: Mapping[str, Any], model: str) -> list[Measure]:
    """Results of one model: alignment and resistance of each part, and its reward shift.

    Args:
        report (`Mapping[str, Any]`): A finished audit's.
        model (`str`): Short name of the model.

    Returns:
        `list[Measure]`: Those with a value.
    """
    measures = []
    for part, entry in report["models"][model]["resistance"].items():
        where = "" if part == "all" else f" ({part} pairs)"
        suffix = "" if part == "all" else f"_{part}"
        counted, interval = {"n_pairs": entry["n_pairs"]}, entry["confidence_interval"]
        details = counted if None in interval else {**counted, "confidence_interval": interval}
        values = (
            ("alignment_resistance", "Alignment resistance", entry["alignment_resistance"], details),
            ("alignment_score", "Alignment score", entry["alignment_score"], counted),
        )
        for metric, name, value, about in values:
            if value is not None:
                measures.append(Measure(f"{metric}{suffix}", metric, f"{name}{where}", value, about))
    for comparison in report["comparisons"].values():
        shift = comparison["shift"]["all"]
        if comparison["later"] == model and shift["mean_degrees"] is not None:
            about = {"n_pairs": shift["n_pairs"]}
            measures.append(
                Measure("reward_shift", "reward_shift", "Mean reward shift, degrees", shift["mean_degrees"], about)
            )
    return measures


def task_ids(report: Mapping[str, Any]) -> list[str]:
    """Ids of the results of all models of an audit, each once.

    Args:
        report (`Mapping[str, Any]`): A finished audit's.

    Returns:
        `list[str]`: The ids.
    """
    return list(dict.fromkeys(each.task_id for model in report["models"] for each in measures_of(report, model)))
