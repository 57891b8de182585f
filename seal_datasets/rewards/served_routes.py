"""Requests to reward servers and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards.encoding import Encoded, Encoder


class TokenRoute:
    """vLLM, for models with a chat template: the tokens, as they are."""

    path = "/classify"

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:  # noqa: ARG004 - as of all routes
        """The text as this route sends it."""
        return Encoded({"input_ids": encoded.inputs["input_ids"]}, encoded.status, encoded.n_tokens)

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:
        """The request of one batch."""
        return {"model": model, "input": [each["input_ids"] for each in batch], **_activation(raw)}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """The outputs of each text, in order."""
        return [each["probs"] for each in sorted(answer["data"], key=lambda each: int(each["index"]))]


class PairRoute(TokenRoute):
    """vLLM, for models of two segments, whose tokens alone would not say which segment they are of."""

    path = "/score"

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:  # noqa: ARG004 - as of all routes
        """The text as this route sends it."""
        texts = {"prompt": exchange.prompt, "response": exchange.response}
        return _with_texts(encoded, texts)

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:
        """The request of one batch."""
        texts = {
            "text_1": [_text(each["prompt"]) for each in batch],
            "text_2": [_text(each["response"]) for each in batch],
        }
        return {"model": model, **texts, **_activation(raw)}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """The outputs of each text, in order."""
        return [[each["score"]] for each in sorted(answer["data"], key=lambda each: int(each["index"]))]


class TeiPairRoute(PairRoute):
    """Text Embeddings Inference, for models of two segments."""

    path = "/predict"

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:  # noqa: ARG004
        """The request of one batch."""
        inputs = [[_text(each["prompt"]), _text(each["response"])] for each in batch]
        return {"inputs": inputs, "raw_scores": raw, "truncate": False}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """The outputs of each text, in order."""
        return [[output["score"] for output in each] for each in answer]


class TeiTextRoute(TeiPairRoute):
    """Text Embeddings Inference, for models with a chat template: rendered here, special tokens added there."""

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:
        """The text as this route sends it."""
        turns = [*exchange.conversation, {"role": "assistant", "content": exchange.response}]
        whole = str(encoder.tokenizer.apply_chat_template(turns, tokenize=False))
        for text in (whole, whole.removeprefix(str(encoder.tokenizer.bos_token or ""))):
            if list(encoder.tokenizer(text, verbose=False)["input_ids"]) == encoded.inputs["input_ids"]:
                return _with_texts(encoded, {"text": text})
        raise ModelError(
            "Text Embeddings Inference adds special tokens to the texts it is sent, and with this tokenizer that gives other "
            "tokens than the chat template; serve the model with vLLM, which is sent the tokens"
        )

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:  # noqa: ARG004
        """The request of one batch."""
        return {"inputs": [[_text(each["text"])] for each in batch], "raw_scores": raw, "truncate": False}


ROUTES: dict[tuple[str, str], type[TokenRoute]] = {
    ("vllm", "chat_template"): TokenRoute,
    ("vllm", "text_pair"): PairRoute,
    ("tei", "chat_template"): TeiTextRoute,
    ("tei", "text_pair"): TeiPairRoute,
}


def _activation(raw: bool) -> dict[str, bool]:
    # The second is the name in vLLM 0.10; a name that a version does not know is passed over by it.
    return {"use_activation": not raw, "activation": not raw}


def _with_texts(encoded: Encoded, texts: Mapping[str, str]) -> Encoded:
    """An encoded text that keeps what is sent, as bytes, beside the tokens."""
    inputs = {name: list(text.encode("utf-8", "surrogatepass")) for name, text in texts.items()}
    return Encoded(inputs, encoded.status, encoded.n_tokens)


def _text(content: list[int]) -> str:
    return bytes(content).decode("utf-8", "surrogatepass")
