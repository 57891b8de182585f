"""What a model of own code gives for a text: one number, or one row of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from seal_datasets.errors import ModelError
from seal_datasets.rewards.checkpoint import first_line

OUTPUTS = ("score", "end_scores", "logits", "rewards")
"""Fields that rewards are read from, the first that there is: the one of a whole text before those of its parts."""

_EXACTNESS = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}


def read_outputs(output: Any) -> torch.Tensor | None:  # noqa: ANN401 - whatever own code returns
    """The rewards in what a model returned, one row for each text; `None` where there are none.

    Example:

    ```python
    >>> read_outputs({"logits": torch.zeros(2, 5), "score": torch.tensor([0.5, -1.0])}).tolist()
    [[0.5], [-1.0]]

    ```
    """
    found = output if isinstance(output, torch.Tensor) else None
    if found is None and isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
        found = output[0]
    for name in OUTPUTS:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if found is None and isinstance(value, torch.Tensor):
            found = value
    if found is None:
        return None
    return found[:, None] if found.dim() == 1 else found


def probe(
    model: PreTrainedModel, name: str, together: Mapping[str, torch.Tensor], alone: Mapping[str, torch.Tensor]
) -> tuple[int, bool]:
    """Run a model of own code on two texts, and on the shorter one by itself.

    Args:
        model (`PreTrainedModel`): The model.
        name (`str`): Its name, for messages.
        together (`Mapping[str, torch.Tensor]`): Two texts of different lengths, padded, the second the
            shorter; or that one alone where nothing can be padded.
        alone (`Mapping[str, torch.Tensor]`): The second text.

    Returns:
        `tuple[int, bool]`: Outputs per text, and whether they are the same in a batch.

    Raises:
        ModelError: The code fails, or does not give one row for each text.
    """
    rows: list[torch.Tensor] = []
    for inputs in (together, alone):
        n_texts = len(inputs["input_ids"])
        try:
            with torch.inference_mode():
                output = model(**inputs)
        except Exception as error:
            raise ModelError(
                f"the code of {name!r} fails on a text: {first_line(error)}. It may need another version of transformers; see "
                "its page"
            ) from error
        found = read_outputs(output)
        gives = f"none of {', '.join(OUTPUTS)}" if found is None else f"outputs of the shape {tuple(found.shape)}"
        if found is None or found.dim() != 2 or found.shape[0] != n_texts:
            raise ModelError(
                f"the code of {name!r} gives {gives} for {n_texts} texts; a reward model gives one number, or one row of "
                "them, for each text"
            )
        rows.append(found[-1].float())
    both, single = rows
    exactness = _EXACTNESS.get(model.dtype, 0.1) * (1.0 + float(single.abs().max()))
    return single.shape[0], bool((both - single).abs().max() <= exactness)
