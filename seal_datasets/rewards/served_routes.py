"""Requests to reward servers and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards.encoding import Encoded, Encoder, merge_turns
from seal_datasets.rewards.templates import Refused, render


class TokenRoute:
    """vLLM, for models with a chat template: requests hold tokens."""

    path = "/classify"
    sends_tokens = True

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:  # noqa: ARG004 - as of all routes
        """Encode a text for this route."""
        return Encoded({"input_ids": encoded.inputs["input_ids"]}, encoded.status, encoded.n_tokens)

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:
        """Body of the request for one batch."""
        return {"model": model, "input": [inputs["input_ids"] for inputs in batch], **_activation(raw)}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """Outputs by text, in the order of the batch."""
        return [result["probs"] for result in sorted(answer["data"], key=lambda result: int(result["index"]))]


class PairRoute(TokenRoute):
    """vLLM, for models with two segments: requests hold texts, since tokens do not state their segment."""

    path = "/score"
    sends_tokens = False

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:  # noqa: ARG004 - as of all routes
        """Encode a text for this route."""
        texts = {"prompt": exchange.prompt, "response": exchange.response}
        return _with_texts(encoded, texts)

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:
        """Body of the request for one batch."""
        texts = {
            "text_1": [_decode(inputs["prompt"]) for inputs in batch],
            "text_2": [_decode(inputs["response"]) for inputs in batch],
        }
        return {"model": model, **texts, **_activation(raw)}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """Outputs by text, in the order of the batch."""
        return [[result["score"]] for result in sorted(answer["data"], key=lambda result: int(result["index"]))]


class TeiPairRoute(PairRoute):
    """Text Embeddings Inference, for models with two segments."""

    path = "/predict"

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:  # noqa: ARG004
        """Body of the request for one batch."""
        texts = [[_decode(inputs["prompt"]), _decode(inputs["response"])] for inputs in batch]
        return {"inputs": texts, "raw_scores": raw, "truncate": False}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """Outputs by text, in the order of the batch."""
        return [[output["score"] for output in outputs] for outputs in answer]


class TeiTextRoute(TeiPairRoute):
    """Text Embeddings Inference, for models with a chat template: the server adds special tokens to rendered texts."""

    @staticmethod
    def encode(encoder: Encoder, encoded: Encoded, exchange: Exchange) -> Encoded:
        """Encode a text for this route."""
        answer = {"role": "assistant", "content": exchange.response}
        merged = merge_turns(exchange.conversation) if encoded.status == "merged" else exchange.conversation
        (whole,) = render(encoder.tokenizer, [[*merged, answer]])
        if isinstance(whole, Refused):
            return Encoded({}, whole.status, 0)
        for text in (whole, whole.removeprefix(str(encoder.tokenizer.bos_token or ""))):
            if list(encoder.tokenizer(text, verbose=False)["input_ids"]) == encoded.inputs["input_ids"]:
                return _with_texts(encoded, {"text": text})
        raise ModelError(
            "Text Embeddings Inference adds special tokens to texts, and with this tokenizer the result differs from the chat "
            "template's tokens; serve the model with vLLM, which receives tokens"
        )

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:  # noqa: ARG004
        """Body of the request for one batch."""
        return {"inputs": [[_decode(inputs["text"])] for inputs in batch], "raw_scores": raw, "truncate": False}


class EmbeddingRoute(TokenRoute):
    """SGLang, for models with a chat template: requests hold tokens, answers hold rewards as embeddings."""

    @staticmethod
    def body(model: str, batch: Sequence[Mapping[str, list[int]]], raw: bool) -> dict[str, Any]:  # noqa: ARG004
        """Body of the request for one batch."""
        return {"model": model, "input_ids": [inputs["input_ids"] for inputs in batch]}

    @staticmethod
    def outputs(answer: Any) -> list[list[Any]]:  # noqa: ANN401 - JSON
        """Outputs by text, in the order of the batch."""
        rewards = [result["embedding"] for result in (answer if isinstance(answer, list) else [answer])]
        return [reward if isinstance(reward, list) else [reward] for reward in rewards]


ROUTES: dict[tuple[str, str], type[TokenRoute]] = {
    ("vllm", "chat_template"): TokenRoute,
    ("vllm", "text_pair"): PairRoute,
    ("tei", "chat_template"): TeiTextRoute,
    ("tei", "text_pair"): TeiPairRoute,
    ("sglang", "chat_template"): EmbeddingRoute,
}


def _activation(raw: bool) -> dict[str, bool]:
    # vLLM 0.10 calls the option `activation`; every version ignores the name that it does not know.
    return {"use_activation": not raw, "activation": not raw}


def _with_texts(encoded: Encoded, texts: Mapping[str, str]) -> Encoded:
    """Replace the tokens of an encoded text by the texts to send, as lists of bytes."""
    inputs = {name: list(text.encode("utf-8", "surrogatepass")) for name, text in texts.items()}
    return Encoded(inputs, encoded.status, encoded.n_tokens)


def _decode(content: list[int]) -> str:
    return bytes(content).decode("utf-8", "surrogatepass")
