"""The reward models of an audit as they are given: by name, of any kind, or as columns of the data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seal_datasets.errors import DataError
from seal_datasets.report.audited_models import PRE_AND_POST, AuditedModels, name_models
from seal_datasets.rewards.options import Backend, ModelOptions

Columns = tuple[str, str]


@dataclass(frozen=True, slots=True)
class GivenModels:
    """The reward models of an audit, and how they are opened.

    Attributes:
        texts (`dict[str, str]`): Models to run by short name, in order, each as for `open_scorer`. A pair is trained where
            neither texts nor columns are given: `pre` and `post`.
        columns (`dict[str, tuple[str, str]]`): Models whose rewards the data holds, by short name: the columns of the chosen
            and of the rejected response's reward. They come after those to run.
        baseline (`str`, *optional*): Name of the model that all others are compared with; the first of several when omitted.
        revisions (`dict[str, str]`): Branch, tag or commit on the Hub, by short name.
        options (`ModelOptions`): How all are loaded and run; revisions are given apart.
        head (`int`, *optional*): Output that is the reward, for classifiers with several.
        backend (`"torch"` or `"openvino"`, *optional*): Library that runs classifiers.
    """

    texts: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    baseline: str | None = None
    revisions: dict[str, str] = field(default_factory=dict)
    options: ModelOptions = field(default_factory=ModelOptions)
    head: int | None = None
    backend: Backend | None = None

    def __post_init__(self) -> None:
        if self.names:
            name_models(self.names, self.baseline)
        elif self.baseline is not None and self.baseline not in PRE_AND_POST.names:
            raise DataError(f"the baseline {self.baseline!r} is none of the models that are trained, pre and post")
        if unknown := sorted(set(self.revisions) - set(self.texts)):
            raise DataError(f"a revision is given for {unknown[0]!r}, and the models to run are {sorted(self.texts)}")
        self._refuse_twins()

    def _refuse_twins(self) -> None:
        given = [(name, (text, self.revisions.get(name))) for name, text in self.texts.items()]
        counts = Counter(model for _, model in given)
        twins = [name for name, model in given if counts[model] > 1]
        columns = Counter(self.columns.values())
        twins = twins or [name for name, pair in self.columns.items() if columns[pair] > 1]
        if twins:
            raise DataError(f"{' and '.join(twins)} are the same model; give each model once")

    @property
    def names(self) -> list[str]:
        """Short names, in order."""
        return [*self.texts, *self.columns]

    @property
    def audited(self) -> AuditedModels:
        """Names and baseline."""
        return name_models(self.names or PRE_AND_POST.names, self.baseline)

    def opening(self, name: str) -> dict[str, Any]:
        """Arguments of `open_scorer` for one model."""
        options = replace(self.options, revision=self.revisions.get(name))
        return {"head": self.head, "backend": self.backend, "options": options}


def give_models(models: Mapping[str, str | Path | Columns], baseline: str | None = None) -> GivenModels:
    """Models by name, as `run_audit` takes them.

    Args:
        models (`Mapping[str, str | tuple[str, str]]`): By short name a model as for `open_scorer`, or the two columns of its
            rewards.
        baseline (`str`, *optional*): One of the names.

    Returns:
        `GivenModels`: With the defaults of everything else.

    Raises:
        DataError: As for `name_models`, or a model is given twice, or is neither text nor two columns.

    Example:

    ```python
    >>> give_models({"a": "my/rm", "old": ("score_chosen", "score_rejected")}).audited.comparisons
    {'old - a': ('a', 'old')}

    ```
    """
    columns = {name: model for name, model in models.items() if not isinstance(model, str | Path)}
    for name, model in columns.items():
        if not (isinstance(model, tuple) and len(model) == 2 and all(isinstance(column, str) for column in model)):
            raise DataError(
                f"the model {name!r} is given as {model!r}; needed is an id or path, or a tuple of the columns of the chosen "
                "and of the rejected response's reward"
            )
    texts = {name: str(model) for name, model in models.items() if name not in columns}
    return GivenModels(texts=texts, columns=columns, baseline=baseline)


def name_of(text: str) -> str:
    """The short name of a model that was given without one: the last part of its id or path.

    Args:
        text (`str`): As for `open_scorer`.

    Returns:
        `str`: A name that can be part of a column's.

    Example:

    ```python
    >>> name_of("my/rm-v2.1"), name_of("dpo:my/policy@my/sft"), name_of("served:http://localhost:8000#my/7b-rm")
    ('rm_v2_1', 'policy', 'rm_7b_rm')

    ```
    """
    kept = re.sub(r"^(dpo|dpo-length):([^@]*)@.*$", r"\2", text)
    kept = re.sub(r"^[a-z]+:https?://[^#]*#([^@]*).*$", r"\1", kept)
    last = re.sub(r"\W+", "_", kept.rstrip("/").rpartition("/")[2]).strip("_")
    return last if last.isidentifier() else f"rm_{last}".rstrip("_")
