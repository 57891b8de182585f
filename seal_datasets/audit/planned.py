"""The plan of an audit: what each step will do and cost, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seal_datasets.audit.plan_text import render_plan


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of an audit.

    In every number, `None` means that the step has none, and nan that it is unknown; `notes` says why.

    Attributes:
        name (`str`): What is done.
        pairs (`float`, *optional*): Pairs of the step.
        texts (`float`, *optional*): Different texts.
        cached (`float`, *optional*): Of these, texts whose result is stored already.
        tokens (`float`, *optional*): Tokens of the texts that are left, both sent and written.
        requests (`float`, *optional*): Requests that are left.
        dollars (`float`, *optional*): Their cost.
        seconds (`float`, *optional*): Time that the step will take on this machine.
        memory (`float`, *optional*): Bytes of memory for its table or its weights.
        disk (`float`, *optional*): Bytes that it will add in the folder of the report.
        notes (`tuple[str, ...]`): How numbers were found, and why others are unknown.
    """

    name: str
    pairs: float | None = None
    texts: float | None = None
    cached: float | None = None
    tokens: float | None = None
    requests: float | None = None
    dollars: float | None = None
    seconds: float | None = None
    memory: float | None = None
    disk: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What an audit will do and cost.

    Attributes:
        steps (`tuple[PlannedStep, ...]`): In the order of the audit.

    Example:

    ```python
    >>> plan = AuditPlan((PlannedStep("load", pairs=2, seconds=0.5), PlannedStep("score rm", pairs=2, seconds=7200.0)))
    >>> plan.total("seconds"), plan["load"].pairs
    (7200.5, 2)

    ```
    """

    steps: tuple[PlannedStep, ...]

    def __getitem__(self, name: str) -> PlannedStep:
        """Return the step with a name.

        Raises:
            KeyError: No step has this name.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def total(self, column: str) -> float | None:
        """Sum over the steps of a column of `PlannedStep`; for memory, of what is held at the same time.

        Returns:
            `float`, *optional*: nan if a part of it is unknown, `None` if no step has it.
        """
        given = [value for value in self._parts(column) if value is not None]
        return sum(given) if given else None

    def known_parts(self, column: str) -> list[float]:
        """The terms of `total` that are known."""
        return _known(self._parts(column))

    def _parts(self, column: str) -> list[float | None]:
        if column != "memory":
            return [getattr(step, column) for step in self.steps]
        held = {step.name: step.memory for step in self.steps}
        table, rewriting = held.pop("load", None), [held.pop(name, None) for name in ("rewrites", "label rewrites")]
        # All models stay open while rewrites are made; labels and training come before.
        models = [held.pop(name) for name in list(held) if name.startswith("score ")]
        phases = [*([size] for size in held.values()), *([*models, size] for size in rewriting)]
        return [table, *max(phases, key=lambda phase: sum(_known(phase)))]

    def __str__(self) -> str:
        return render_plan(self)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]


def sample_rows(n: int, at_most: int) -> list[int]:
    """Rows at equal distances.

    Args:
        n (`int`): Rows of the table.
        at_most (`int`): Rows to take.

    Returns:
        `list[int]`: Their numbers; all where there are no more.

    Example:

    ```python
    >>> sample_rows(9, 3), sample_rows(2, 3)
    ([0, 4, 8], [0, 1])

    ```
    """
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).round().astype(int)).tolist() if n else []
