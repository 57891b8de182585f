"""Encoders on CPUs through OpenVINO: the logits of torch, in less time."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification

from seal_datasets.errors import ModelError, import_extra

_CHECK_TOLERANCE = 1e-5


class OpenVinoEncoder:
    """An encoder that is compiled for this machine's CPU, in float32; several batches run at once, each on some of its cores.

    Attributes:
        n_at_once (`int`): Batches that fill the machine.

    Args:
        name (`str`): The model's name, for messages.
        model (`PreTrainedModel`): An encoder with a classifier on it, in float32 on the CPU.
        sample (`Mapping[str, torch.Tensor]`): Inputs of two texts of different lengths, padded at the right.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelError: The model is causal, not in float32 or not on the CPU, cannot be converted, or has other logits on `sample`
            when it is.
    """

    def __init__(self, name: str, model: PreTrainedModel, sample: Mapping[str, torch.Tensor]) -> None:
        # Without this module OpenVINO sends no telemetry about imports and conversions.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        openvino = import_extra("openvino", purpose="score with backend='openvino'")
        if isinstance(model, GenericForSequenceClassification) or getattr(model.config, "is_decoder", False):
            raise ModelError(
                f"{name!r} is a causal model, and OpenVINO scores encoders only; use backend='torch', which packs causal models"
            )
        if model.dtype != torch.float32 or model.device.type != "cpu":
            raise ModelError(
                f"backend='openvino' computes in float32 on a CPU, and {name!r} is in {model.dtype} on {model.device.type}; "
                "use precision='float32' there, or backend='torch'"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the tracer
                converted = openvino.convert_model(model, example_input=dict(sample))
            self._model = openvino.compile_model(
                converted, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
            )
            self._idle: list[Any] = []
            self._has_failed = False
            self.n_at_once = int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        except Exception as error:
            raise ModelError(
                f"OpenVINO cannot convert {name!r}: {str(error).strip().splitlines()[0]}; use backend='torch'"
            ) from error
        with torch.inference_mode():
            expected = model(**sample).logits
        difference = float((self.logits(sample) - expected).abs().max())
        if not difference < _CHECK_TOLERANCE * (1.0 + float(expected.abs().max())):
            raise ModelError(
                f"the logits of {name!r} differ by {difference:.1e} between OpenVINO and torch; use backend='torch'"
            )

    def logits(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Run a batch.

        Args:
            inputs (`Mapping[str, torch.Tensor]`): As the tokenizer makes them, padded at the right.

        Returns:
            `torch.Tensor`: Logits, one row for each text.
        """
        return self.begin(inputs)()

    def begin(self, inputs: Mapping[str, torch.Tensor]) -> Callable[[], torch.Tensor]:
        """Start a batch; several run at once.

        Args:
            inputs (`Mapping[str, torch.Tensor]`): As the tokenizer makes them, padded at the right.

        Returns:
            `Callable[[], torch.Tensor]`: Waits for the logits, one row for each text.
        """
        if self._has_failed:
            # Otherwise OpenVINO keeps the memory of the failed batch, and smaller batches fail too.
            with contextlib.suppress(RuntimeError):  # raised while another batch runs
                self._model.release_memory()
                self._has_failed = False
        request = self._idle.pop() if self._idle else self._model.create_infer_request()
        request.start_async({name: values.numpy() for name, values in inputs.items()}, share_inputs=False)

        def wait() -> torch.Tensor:
            try:
                request.wait()
            except RuntimeError:
                self._has_failed = True
                raise
            logits = torch.from_numpy(request.get_output_tensor(0).data.copy())
            self._idle.append(request)  # its buffers are reused
            return logits

        return wait
