"""Which models of two audits are compared with each other: the same by revision, or else by short name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from seal_datasets.report.audited_models import AuditedModels, models_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished audit.

    Attributes:
        name (`str`): Name in the comparison.
        report (`dict[str, Any]`): Content of `report.json`.
        pairs (`DataFrame`, *optional*): Its usable pairs, indexed by a digest of their texts; `None` where unavailable.
    """

    name: str
    report: Json
    pairs: pd.DataFrame | None

    @property
    def models(self) -> AuditedModels:
        """Its reward models."""
        return models_of(self.report["run"])


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of an audit in a comparison.

    Attributes:
        name (`str`): Name in the comparison: the audit's, with the model's where the audit has several.
        audit (`Audit`): The audit.
        model (`str`): The model's short name there.
    """

    name: str
    audit: Audit
    model: str

    @property
    def report(self) -> Json:
        """Content of the audit's `report.json`."""
        return self.audit.report

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same model elsewhere: a hash of its weights, or its id and revision.

        The revision of columns of rewards is that of their table, and the columns are the model.
        """
        record: Mapping[str, Any] = self.report["run"]["models"][self.model]
        revision = str(record["revision"])
        is_of_weights = revision.startswith("sha256:") and "architecture" in record
        return (revision,) if is_of_weights else (record["model"], revision)


def subjects_of(audits: Sequence[Audit]) -> list[Subject]:
    """The models that a comparison speaks of.

    Args:
        audits (`Sequence[Audit]`): The audits.

    Returns:
        `list[Subject]`: All audited models. A baseline is among them where another audit has it and not as its baseline.
    """
    audited = {audit.name: [Subject(audit.name, audit, model) for model in audit.models.audited] for audit in audits}
    subjects = []
    for audit in audits:
        elsewhere = {each.identity for name, others in audited.items() if name != audit.name for each in others}
        baseline = [Subject(audit.name, audit, name) for name in (audit.models.baseline,) if name is not None]
        chosen = [each for each in baseline if each.identity in elsewhere] + audited[audit.name]
        several = len(chosen) > 1
        subjects += [Subject(f"{audit.name}: {each.model}", audit, each.model) if several else each for each in chosen]
    return subjects


def match_models(first: Sequence[Subject], second: Sequence[Subject]) -> list[tuple[Subject, Subject]]:
    """Match the models of two audits.

    Args:
        first (`Sequence[Subject]`): Models of one audit.
        second (`Sequence[Subject]`): Models of the other.

    Returns:
        `list[tuple[Subject, Subject]]`: Each model once at most. Where nothing matches and each audit has one, these two.
    """
    left, right = list(first), list(second)
    matches = []
    for key in ("identity", "model"):
        for one in list(left):
            found = next((other for other in right if getattr(one, key) == getattr(other, key)), None)
            if found is not None:
                matches.append((one, found))
                left.remove(one)
                right.remove(found)
    if not matches and len(left) == len(right) == 1:
        matches = [(left[0], right[0])]
    return matches


def describe_matches(matches: Sequence[tuple[Subject, Subject]]) -> str:
    """Say which models are compared, where an audit has several.

    Args:
        matches (`Sequence[tuple[Subject, Subject]]`): From `match_models`.

    Returns:
        `str`: A sentence; empty where two audits of one model each are compared.
    """
    if not matches:
        return "No model is in both, so none are compared."
    if all(subject.name == subject.audit.name for match in matches for subject in match):
        return ""
    said = [
        f"{one.model} with {other.model} ({'the same model' if one.identity == other.identity else 'another model'})"
        for one, other in matches
    ]
    return f"Compared are {', '.join(said)}."
