"""Which pairs to read first, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seal_datasets import schema
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.page.figure import feature_title
from seal_datasets.report.page.pair_columns import differences_of

_FIRST = 3


def first_pairs(used: pd.DataFrame, report: Mapping[str, Any], against: NDArray[np.bool_]) -> list[dict[str, str]]:
    """Choose the pairs to read first: those most against people's choice, with a claimed feature on the wrong side if any.

    Args:
        used (`pandas.DataFrame`): From `used_pairs`.
        report (`Mapping[str, Any]`): From `write_report`.
        against (`ndarray` of shape (n,)): Resistant pairs.

    Returns:
        `list[dict[str, str]]`: At most three, each with `id` and `why`.
    """
    model = models_of(report["run"]).last
    margin = used[schema.margin_column(model)].to_numpy(dtype=float)
    preferred = margin < -float(report["run"].get("tie_band", 0.0))
    chosen: list[tuple[int, str]] = []
    for claim in report["claims"]:
        if claim["quantity"] == "change" or claim["model"] != model:
            continue
        name, sign = claim["feature"], 1 if claim["estimate"] > 0 else -1
        rows = np.flatnonzero(against & (differences_of(used, name) * sign < 0))
        if len(rows):
            side = "rejected" if sign > 0 else "chosen"
            chosen.append(
                (int(rows[np.argmin(margin[rows])]), f"the {side} response has more of “{feature_title(name)}”")
            )
    rows = np.flatnonzero(against)
    for row in rows[np.argsort(margin[rows], kind="stable")][: _FIRST + len(chosen)]:
        reason = "among the largest margins against people's choice"
        chosen.append((int(row), reason if preferred[row] else "a tie, which counts as not preferring the chosen one"))
    found: list[dict[str, str]] = []
    taken: set[int] = set()
    for row, why in chosen:
        if row not in taken and len(found) < _FIRST:
            taken.add(row)
            pair_id = str(used[schema.PAIR_ID].iloc[row])
            which = f"the rejected response by {-margin[row]:.2f}" if preferred[row] else "neither response"
            found.append({"id": pair_id, "why": f"{model} prefers {which}; {why}"})
    return found
