"""Results of an examination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from seal_datasets.estimate.result import Result

CheckStatus = Literal["ok", "warning", "failed", "not_applicable"]


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check.

    Attributes:
        name (`str`): Name of the check.
        status (`str`): `ok`, `warning`, `failed` or `not_applicable`.
        largest_difference (`float`, *optional*): Largest difference between two scores of a text; infinite if only
            one is finite, `None` if no scores were compared.
        detail (`str`): Explanation of the result.
        advice (`str`): What to do; empty if nothing.
    """

    name: str
    status: CheckStatus
    largest_difference: float | None
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class PrecisionFinding:
    """Scores in one precision against those in float32.

    Attributes:
        largest_difference (`float`): Largest difference between two scores of a text; infinite if only one is finite.
        share_flipped (`float`): Share of the pairs whose preferred response changed.
        safe (`bool`): Whether every score is finite and few preferences change.
    """

    largest_difference: float
    share_flipped: float
    safe: bool


@dataclass(frozen=True, slots=True)
class Examination(Result):
    """Result of the examination of a reward model.

    Attributes:
        model (`dict[str, Any]`): Identity of the model, see `RewardModel.provenance`.
        n_pairs (`int`): Pairs whose texts were scored in every way.
        n_measured (`int`): Pairs whose texts were measured in tokens.
        checks (`tuple[Check, ...]`): The checks, in order.
        tie_band (`float`): The jitter: how far a text's score moves by batch, packing, padding, attention implementation or
            number of processes alone. Rewards no further apart than this are a tie.
        tolerance (`float`): Largest difference that passes.
        precisions (`dict[str, PrecisionFinding]`): Results by precision; empty after a short examination, or where
            float32 cannot be used.
        truncation (`dict[str, float]`): Share of longer texts, by number of tokens.
        example (`str`): A text exactly as the model receives it.
        template_hash (`str`, *optional*): Hash of the chat template.
    """

    model: dict[str, Any]
    n_pairs: int
    n_measured: int
    checks: tuple[Check, ...]
    tie_band: float
    tolerance: float
    precisions: dict[str, PrecisionFinding]
    truncation: dict[str, float]
    example: str
    template_hash: str | None

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if check.status == "failed")

    def __getitem__(self, name: str) -> Check:
        """Return the check with a name.

        Raises:
            KeyError: No check has this name.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; infinite differences are `None`."""
        return Result.to_dict(self) | {"failed": list(self.failed)}
