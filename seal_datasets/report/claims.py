"""What a report may claim: one family of tests, declared before any number is seen, with one error rate over all of it.

Every other test is exploratory and gets a q-value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seal_datasets.estimate.inference import detectable_effect
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.labels.surface import SURFACE_FEATURES
from seal_datasets.labels.taxonomy import Feature
from seal_datasets.report.audited_models import PRE_AND_POST, AuditedModels

LEVEL = 0.05
"""Chance that any claim of a report is false where nothing is true."""

UNITS = {
    "imprint": "standard deviations of reward",
    "change": "standard deviations of reward",
    "amplification": "log-odds of a choice",
}
"""Quantities of the primary family, each with its unit."""

Json = dict[str, Any]


def add_claims(report: Json, features: Sequence[Feature], models: AuditedModels = PRE_AND_POST) -> None:
    """Add the primary family, what it claims, and the q-values of all other tests to a report.

    Args:
        report (`dict[str, Any]`): From `analyze`, possibly with `rewrites`. Its `primary_family` and `claims` are set, and
            each of its tests gets `p_primary` (adjusted by Holm over the family) or `q_value`.
        features (`Sequence[Feature]`): The audit's features. The family takes those of the taxonomy; where there are none,
            the surface features.
        models (`AuditedModels`, *optional*): As for `analyze`. The family takes all but the baseline, and their
            changes from it.

    Source: Holm (1979) for the family; Benjamini and Hochberg (1995) for q-values.
    """
    names = primary_features(features)
    subjects = {"imprint": models.audited, "change": tuple(models.comparisons), "amplification": models.audited}
    quantities = [quantity for quantity in UNITS if subjects[quantity]]
    rows = [
        (quantity, subject, row)
        for quantity in quantities
        for subject in subjects[quantity]
        for row in claimable_rows(report, quantity, subject)
        if row["feature"] in names
    ]
    p_values = np.array([np.nan if row["p_value"] is None else row["p_value"] for *_, row in rows], dtype=float)
    for (*_, row), p in zip(rows, adjust_p(p_values, "holm"), strict=True):
        row["p_primary"] = None if np.isnan(p) else float(p)
    _add_q_values([row for row in _tests(report) if "p_primary" not in row])
    tests = [_describe(quantity, subject, row, report) for quantity, subject, row in rows]
    n_tests = int((~np.isnan(p_values)).sum())
    report["primary_family"] = {
        "features": list(names),
        "quantities": quantities,
        "models": list(models.audited),
        "pairs": report["population"]["estimated_on"],
        "adjust": "holm",
        "level": LEVEL,
        "n_tests": n_tests,
        "tests": tests,
        "not_claimed": {
            quantity: _limits([row for found, _, row in rows if found == quantity], n_tests) for quantity in quantities
        },
    }
    claims = [test for test in tests if test["p_adjusted"] is not None and test["p_adjusted"] < LEVEL]
    order = {subject: place for place, subject in enumerate((*models.audited, *models.comparisons))}
    report["claims"] = sorted(
        claims,
        key=lambda test: (quantities.index(test["quantity"]), order[test["model"]], -abs(test["estimate"])),
    )


def primary_features(features: Sequence[Feature]) -> tuple[str, ...]:
    """Names of the features whose tests may become claims.

    Args:
        features (`Sequence[Feature]`): The audit's features.

    Returns:
        `tuple[str, ...]`: Features of the taxonomy with one value per text, or else surface features. Answers of a feature with
            several are exploratory.

    Example:

    ```python
    >>> from seal_datasets.labels.surface import SURFACE_FEATURES
    >>> primary_features(list(SURFACE_FEATURES)[:1])
    ('surface_log_tokens',)

    ```
    """
    single = [feature for feature in features if feature.type != "labels"]
    of_taxonomy = [feature for feature in features if feature not in SURFACE_FEATURES]
    return tuple(feature.name for feature in single if feature in of_taxonomy or not of_taxonomy)


def is_found(row: Mapping[str, Any]) -> bool:
    """Whether an estimate is a claim, or an exploratory test with a q-value below 0.05."""
    value = row.get("p_primary", row.get("q_value"))
    return value is not None and bool(value < LEVEL)


def is_corrected(report: Mapping[str, Any]) -> bool:
    """Whether a report's claims rest on estimates that gold labels correct."""
    return bool(report.get("correction", {}).get("status") == "corrected")


def claimable_rows(report: Mapping[str, Any], quantity: str, subject: str) -> list[Json]:
    """Rows of all features for a model or a comparison, on which claims rest: corrected ones where gold labels correct them.

    Args:
        report (`Mapping[str, Any]`): From `analyze`.
        quantity (`str`): One of `UNITS`.
        subject (`str`): Name of a model or a comparison.

    Returns:
        `list[dict[str, Any]]`: The rows, as the report holds them.
    """
    corrected = is_corrected(report)
    if quantity == "amplification":
        part = report["correction"]["models"] if corrected else report["models"]
        return list(part[subject]["amplification"].get("features", ()))
    if corrected:
        return list(report["correction"]["imprint"]["sd"]["models" if quantity == "imprint" else "changes"][subject])
    standardised = report["imprint"]["all_features"].get("standardised")
    if standardised is None:
        return []
    return list(standardised["sd"]["models" if quantity == "imprint" else "changes"][subject])


def _describe(quantity: str, subject: str, row: Mapping[str, Any], report: Mapping[str, Any]) -> Json:
    amplified = quantity == "amplification"
    part = report["models"][subject]["amplification"] if amplified else report["imprint"]["all_features"]
    return {
        "quantity": quantity,
        "feature": row["feature"],
        "model": subject,
        "estimate": row["amplification" if amplified else "estimate"],
        "unit": UNITS[quantity],
        "confidence_interval": row["confidence_interval"],
        "p_value": row["p_value"],
        "p_adjusted": row["p_primary"],
        "n_pairs": part["n_pairs"],
        "n_discordant": row["n_discordant"],
        "robustness_value": row.get("robustness_value"),
        "status": row["status"],
        "family": "primary",
        "corrected": is_corrected(report),
        "sign_flips_at": _flips_at(quantity, subject, row["feature"], report),
    }


def _flips_at(quantity: str, subject: str, feature: str, report: Mapping[str, Any]) -> float | None:
    """Share of wrong labels at which an uncorrected imprint changes its sign, if any does."""
    curve = report.get("error_curves", {}).get(subject, {}).get(feature) if quantity == "imprint" else None
    return None if curve is None else curve["sign_flips_at"]


def _limits(rows: Sequence[Mapping[str, Any]], n_tests: int) -> Json:
    """What the tests of a quantity could have found, and what they exclude; for a report that claims nothing of it."""
    tested = [row for row in rows if row["p_value"] is not None]
    errors, freedom = (
        np.array([row[key] for row in tested], dtype=float) for key in ("std_error", "degrees_of_freedom")
    )
    detectable = detectable_effect(errors, freedom, n_tests, 1 - LEVEL)
    bounds = [row["equivalence_bound"] for row in tested if row.get("equivalence_bound") is not None]
    return {
        "n_tested": len(tested),
        "not_tested": dict(sorted(Counter(row["status"] for row in rows if row["p_value"] is None).items())),
        "detectable": [float(detectable.min()), float(detectable.max())] if tested else None,
        "excluded_beyond": max(bounds) if bounds else None,
    }


def _tests(entry: object) -> Iterator[Json]:
    """Every part of a report that holds a p-value."""
    if isinstance(entry, dict):
        if "p_value" in entry:
            yield entry
        for value in entry.values():
            yield from _tests(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from _tests(value)


def _add_q_values(tests: Sequence[Json]) -> None:
    p_values = np.array([np.nan if test["p_value"] is None else test["p_value"] for test in tests], dtype=float)
    for test, q in zip(tests, adjust_p(p_values, "bh"), strict=True):
        test["q_value"] = None if np.isnan(q) else float(q)
