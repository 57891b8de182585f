"""Chat completions: how a client requests one, and how it reads the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seal_datasets.endpoints.client import RequestFailed, UnreadableAnswer, replace_half_characters

if TYPE_CHECKING:
    import openai

_ROUNDING = 1e-3
_LEAST_LOGPROB = -9999.0


class ChatCompletions:
    """The chat completions of one model, as an `Operation` of an `EndpointClient`.

    A request holds the arguments of `chat.completions.create` other than the model. An answer holds `content`,
    `finish_reason`, `refusal`, `usage` and `model`. Where the request asks for them, `top_logprobs` of the first token are
    in it too.

    Args:
        model (`str`): Name the endpoint knows the model by.
        served_model (`str`, *optional*): Name the endpoint gives in its answers, where that is neither the model's name nor
            begins with it (a deployment's alias). The client discards an answer by another model and sends the request again.
    """

    service = "labeler"
    hint = "is the server running, and does the URL end in /v1?"

    def __init__(self, model: str, *, served_model: str | None = None) -> None:
        self.model = model
        self._served_model = served_model

    async def send(self, api: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
        """See `Operation`."""
        raw = await api.chat.completions.with_raw_response.create(model=self.model, **request)
        return bytes(raw.content)

    def read(self, body: bytes) -> dict[str, object]:
        """See `Operation`."""
        try:
            completion = json.loads(body)
            choice = completion["choices"][0]
            message = choice["message"]
            answer = {
                "content": message.get("content"),
                "finish_reason": choice.get("finish_reason"),
                "refusal": message.get("refusal"),
                "usage": completion.get("usage"),
                "model": completion.get("model"),
            }
            if choice.get("logprobs"):
                tokens = choice["logprobs"]["content"][0]["top_logprobs"]
                answer["top_logprobs"] = [[str(token["token"]), _logprob(token["logprob"])] for token in tokens]
            answer = _in_whole_characters(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableAnswer("not a chat completion") from error
        served = str(answer["model"])
        if served != self._served_model and not served.startswith(self.model):
            raise RequestFailed(
                "wrong_model",
                f"{self.model!r} was asked and {served!r} answered; if that is its name, give served_model",
                retry_after=0.0,
            )
        return answer


def _logprob(value: object) -> float:
    """A log-probability; impossible tokens get -9999, as with OpenAI, since JSON cannot hold minus infinity."""
    if not isinstance(value, (int, float)) or not value <= _ROUNDING:
        raise ValueError(f"{value!r} is not a log-probability")
    return max(float(value), _LEAST_LOGPROB)


def _in_whole_characters(answer: dict[str, object]) -> dict[str, object]:
    """Replace each half of a surrogate pair by U+FFFD: JSON can spell it, and no text can hold it."""
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        mended: dict[str, object] = json.loads(replace_half_characters(text))
        return mended
    return answer
