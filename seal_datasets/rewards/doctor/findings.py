"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from seal_datasets.estimate.result import Result

CheckStatus = Literal["ok", "warning", "failed", "not_applicable"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name (`str`): Of the check.
        status (`str`): `ok`, `warning`, `failed` or `not_applicable`.
        largest_difference (`float`, *optional*): How far the score of one and the same text moved at most; infinite where it
            was a number one way only, `None` where no scores were compared.
        detail (`str`): What was found.
        advice (`str`): What to do; empty where there is nothing to do.
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
        largest_difference (`float`): Of any text's two scores; infinite where one is not finite.
        share_flipped (`float`): Share of the pairs whose preferred response changed.
        safe (`bool`): Whether every score is finite and hardly a pair flips.
    """

    largest_difference: float
    share_flipped: float
    safe: bool


@dataclass(frozen=True, slots=True)
class Examination(Result):
    """What was found of a reward model.

    Attributes:
        model (`dict[str, Any]`): What identifies it, see `RewardModel.provenance`.
        n_pairs (`int`): Pairs whose texts were scored in every way.
        n_measured (`int`): Pairs whose texts were measured in tokens.
        checks (`tuple[Check, ...]`): In the order in which they were made.
        tie_band (`float`): The jitter: how far a text's score moves by batch, packing, padding, attention implementation or
            number of processes alone. Rewards no further apart than this are a tie.
        tolerance (`float`): Largest difference that passes.
        precisions (`dict[str, PrecisionFinding]`): By precision; empty after a short examination.
        truncation (`dict[str, float]`): Share of the texts longer than each number of tokens.
        example (`str`): A text exactly as the model is shown it.
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
        return tuple(each.name for each in self.checks if each.status == "failed")

    def __getitem__(self, name: str) -> Check:
        """The check of a name.

        Raises:
            KeyError: It was not made.
        """
        for each in self.checks:
            if each.name == name:
                return each
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; infinite differences are `None`."""
        return Result.to_dict(self) | {"failed": list(self.failed)}
