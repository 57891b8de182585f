"""What an audit estimates of its labels' errors: corrected estimates where gold labels were drawn, error curves where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.labels.design import Design, Floats, feature_design
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.analyze_part import MIN_DISCORDANT, Part


def analyze_correction(part: Part, features: Sequence[Feature]) -> dict[str, Any]:
    """Correct imprint, drivers, amplification and agreement by gold labels, or say why not.

    Args:
        part (`Part`): The pairs that the report speaks of, with `gold_<feature>_<side>` columns and `gold_probability`.
        features (`Sequence[Feature]`): Features that have labels.

    Returns:
        `dict[str, Any]`: JSON-ready: `status` is `corrected`, or why there is no correction. Features without gold labels, and
        surface features, are taken as measured.
    """
    checked = [feature for feature in features if _has_gold(part, feature)]
    used = part.at(part.design.complete) if part.design.names else part
    about: dict[str, Any] = {
        "features": [feature.name for feature in checked],
        "as_measured": [feature.name for feature in features if feature not in checked],
    }
    if not checked or not len(used.frame) or not part.design.names:
        return {"status": "no_gold_labels" if not checked else "no_labels", **about}
    gold = _gold_design(used, checked)
    probability = _probability(used)
    whole = _is_gold(used, gold)
    about |= {"n_prompts": len(np.unique(used.prompts)), "n_gold_prompts": len(np.unique(used.prompts[whole]))}
    if not whole.any():
        return {"status": "no_gold_prompt", **about}
    if probability is None and not whole.all():
        return {"status": "draw_not_known", **about}
    how: dict[str, Any] = {"groups": used.prompts, "gold_probability": probability}
    sides = (used.design.chosen, used.design.rejected, gold.chosen, gold.rejected)
    rewards = used.rewards
    units = estimate.corrected_units(
        {name: chosen for name, (chosen, _) in rewards.items()},
        {name: rejected for name, (_, rejected) in rewards.items()},
        *sides,
        used.design.names,
        baseline=part.models.baseline,
        **how,
    )
    first = units["points"]
    statuses = [row.status for rows in first.models.values() for row in rows]
    withheld = None if "ok" in statuses else next((status for status in statuses if status in _WITHHELD), None)
    about |= {"balance_p_value": first.to_dict()["balance_p_value"], "warnings": list(first.warnings)}
    if withheld is not None:
        return {"status": withheld, **about}
    return {
        "status": "corrected",
        **about,
        "method": first.method,
        "imprint": {unit: _with_counts(found.to_dict(), used.design) for unit, found in units.items()},
        "models": {name: _of_model(used, name, sides, how) for name in part.models.audited},
        "agreement": _agreement(part),
    }


_WITHHELD = ("too_few_gold_prompts", "gold_not_random", "no_variance_left")


def _has_gold(part: Part, feature: Feature) -> bool:
    columns = [schema.gold_column(feature.name, side) for side in schema.SIDES]
    return all(column in part.frame and part.frame[column].notna().any() for column in columns)


def _gold_design(part: Part, checked: Sequence[Feature]) -> Design:
    """The design of gold labels, with the columns of the part's; values of other features are the labels themselves."""
    frame = part.frame[[schema.gold_column(feature.name, side) for feature in checked for side in schema.SIDES]]
    frame.columns = [schema.feature_column(feature.name, side) for feature in checked for side in schema.SIDES]
    gold = feature_design(frame, checked)
    sides = []
    for given, known in ((part.design.chosen, gold.chosen), (part.design.rejected, gold.rejected)):
        columns = [
            known[:, gold.names.index(name)] if name in gold.names else given[:, i]
            for i, name in enumerate(part.design.names)
        ]
        without = np.asarray(np.isnan(known).all(axis=1))
        sides.append(np.where(without[:, None], np.nan, np.column_stack(columns)))
    return replace(part.design, chosen=sides[0], rejected=sides[1])


def _probability(part: Part) -> Floats | None:
    if schema.GOLD_PROBABILITY not in part.frame or part.frame[schema.GOLD_PROBABILITY].isna().all():
        return None
    return part.frame[schema.GOLD_PROBABILITY].to_numpy(dtype=float)


def _is_gold(part: Part, gold: Design) -> NDArray[np.bool_]:
    """Pairs of prompts with all gold labels."""
    lacking = ~gold.complete
    return np.asarray(~np.isin(part.prompts, part.prompts[lacking]), dtype=np.bool_)


def _with_counts(found: dict[str, Any], design: Design) -> dict[str, Any]:
    """Rows of a correction under the names that other rows of a report have."""
    differs = dict(zip(design.names, (design.chosen != design.rejected).sum(axis=0).tolist(), strict=True))
    for rows in (*found["models"].values(), *found["changes"].values()):
        for row in rows:
            row["estimate"], row["naive_estimate"] = row.pop("coefficient"), row.pop("naive_coefficient")
            row["n_discordant"] = differs[row["feature"]]
    return found


def _of_model(
    part: Part, model: str, sides: tuple[Floats, Floats, Floats, Floats], how: dict[str, Any]
) -> dict[str, Any]:
    chosen, rejected = part.rewards[model]
    aligned = estimate.aligned_pairs(chosen, rejected, tie_band=part.tie_band)
    how = {**how, "feature_names": part.design.names, "min_discordant": MIN_DISCORDANT}
    return {
        "drivers": estimate.corrected_drivers(aligned, *sides, **how).to_dict(),
        "amplification": estimate.corrected_amplification(chosen, rejected, *sides, **how).to_dict(),
    }


def _agreement(part: Part) -> dict[str, Any]:
    """Corrected agreement with the human choice, by each model's alignment; only where all targets have gold labels."""
    targets = list(part.targets)
    if not targets or not all(_has_gold(part, target) for target in targets):
        return {"status": "no_gold_labels_of_targets" if targets else "no_targets"}
    design = feature_design(part.frame, targets)
    used = part.at(design.complete)
    design = design.at(design.complete)
    gold = _gold_design(replace(used, design=design), targets)
    probability, whole = _probability(used), _is_gold(used, gold)
    if not whole.any():
        return {"status": "no_gold_prompt"}
    if probability is None and not whole.all():
        return {"status": "draw_not_known"}
    found = {}
    for model in part.models.audited:
        aligned = estimate.aligned_pairs(*used.rewards[model], tie_band=part.tie_band)
        found[model] = estimate.corrected_agreement(
            design.chosen,
            design.rejected,
            gold.chosen,
            gold.rejected,
            design.names,
            by=np.where(aligned, "aligned", "misaligned"),
            groups=used.prompts,
            gold_probability=probability,
        ).to_dict()
    return {"status": "ok", "models": found}
