"""How a reward model is loaded and run: one group of options for every kind that runs here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Backend = Literal["torch", "openvino"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is loaded and run.

    Attributes:
        revision (`str`, *optional*): Branch, tag or commit on the Hub; the commit it resolves to is recorded.
        max_length (`int`, *optional*): Tokens per text; the model's own limit when omitted.
        precision (`"auto"`, `"float32"`, `"bfloat16"` or `"float16"`, defaults to `"auto"`): Type of the weights; `"auto"` is
            the checkpoint's own.
        attention (`str`, *optional*): Attention implementation, e.g. `"eager"`; transformers' choice when omitted.
        tokens_per_batch (`int`, *optional*): Tokens of a batch, padding included; by device and kind when omitted.
        pack (`bool`, *optional*): Whether a prompt that responses share is computed once, without padding. When omitted, models
            that support it are packed.
        device_map (`str`, *optional*): `"auto"` spreads a model that is too large for one GPU over all GPUs and memory.
        merge_system (`bool`, defaults to `False`): Whether a conversation that the chat template refuses is shown with fewer
            turns. System turns then join the next user turn, and neighbours of one role become one turn.
        allow_pickle (`bool`, defaults to `False`): Whether weights may be read from pickle files, which can run code.
        allow_remote_code (`bool`, defaults to `False`): Whether code that comes with the model may run.

    Example:

    ```python
    >>> ModelOptions(precision="bfloat16", max_length=512).changed()
    ['max_length', 'precision']

    ```
    """

    revision: str | None = None
    max_length: int | None = None
    precision: Precision = "auto"
    attention: str | None = None
    tokens_per_batch: int | None = None
    pack: bool | None = None
    device_map: str | None = None
    merge_system: bool = False
    allow_pickle: bool = False
    allow_remote_code: bool = False

    def changed(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        return [option.name for option in fields(self) if getattr(self, option.name) != option.default]
