"""The reward models of an audit: their names, and which of them the others are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seal_datasets import schema
from seal_datasets.errors import DataError

_TITLES = {"pre": "the pre-training model", "post": "the post-training model"}


@dataclass(frozen=True, slots=True)
class AuditedModels:
    """The reward models of an audit.

    Attributes:
        names (`tuple[str, ...]`): Short names, in the order given, which is that of training for checkpoints.
        baseline (`str`, *optional*): The model that all others are compared with; none where there is one model.
    """

    names: tuple[str, ...]
    baseline: str | None = None

    @property
    def audited(self) -> tuple[str, ...]:
        """The models that the report speaks of: all but the baseline."""
        return tuple(name for name in self.names if name != self.baseline)

    @property
    def comparisons(self) -> dict[str, tuple[str, str]]:
        """Baseline and compared model, by `<model> - <baseline>`."""
        if self.baseline is None:
            return {}
        return {f"{name} - {self.baseline}": (self.baseline, name) for name in self.audited}

    @property
    def baseline_first(self) -> tuple[str, ...]:
        """All models: the baseline, then those audited."""
        return (*(name for name in self.names if name == self.baseline), *self.audited)

    @property
    def last(self) -> str:
        """The model that stands for all where only one can."""
        return self.audited[-1]

    def title(self, name: str) -> str:
        """What a sentence calls a model."""
        if set(self.names) == set(_TITLES):
            return _TITLES[name]
        return "the model" if len(self.names) == 1 else f"the model {name}"


PRE_AND_POST = AuditedModels(("pre", "post"), "pre")


def models_of(run: Mapping[str, Any]) -> AuditedModels:
    """The models of a finished audit, from its `run.json`."""
    return AuditedModels(tuple(run["models"]), run["baseline"])


def name_models(names: Sequence[str], baseline: str | None = None) -> AuditedModels:
    """Check the names of models, and choose the baseline.

    Args:
        names (`Sequence[str]`): Short names, which become parts of columns.
        baseline (`str`, *optional*): One of them; the first of several when omitted.

    Returns:
        `AuditedModels`: The models.

    Raises:
        DataError: There is no name, a name cannot be part of a column's, two names collide, or the baseline is not among them.

    Example:

    ```python
    >>> name_models(["sft", "step_100", "step_200"]).comparisons["step_200 - sft"]
    ('sft', 'step_200')

    ```
    """
    if not names:
        raise DataError("an audit needs a reward model; give one or more, each with a name")
    taken = dict.fromkeys(schema.CANONICAL_COLUMNS, "")
    for name in names:
        if not name.isidentifier():
            raise DataError(
                f"a model's name becomes part of a column's and must be letters, digits and '_', got {name!r}"
            )
        for column in schema.columns_of_model(name):
            other = taken.setdefault(column.casefold(), name)
            if other != name or names.count(name) > 1:
                raise DataError(
                    f"the names {other!r} and {name!r} of models collide (column {column!r}); give each model another name"
                )
    if baseline is not None and baseline not in names:
        raise DataError(f"the baseline {baseline!r} is none of the models, which are {', '.join(names)}")
    if len(names) == 1 and baseline is not None:
        raise DataError(f"the baseline {baseline!r} is the only model; give another one to compare with it")
    return AuditedModels(tuple(names), baseline or (names[0] if len(names) > 1 else None))
