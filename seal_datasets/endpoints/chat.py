"""Chat completions: how a client requests one, and how it reads the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seal_datasets.endpoints.client import RequestFailed, UnreadableAnswer
from seal_datasets.endpoints.model_names import is_asked_model
from seal_datasets.escape import replace_half_characters

if TYPE_CHECKING:
    import openai

_ROUNDING = 1e-3
_LEAST_LOGPROB = -9999.0
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks", "thought")
_TEXT_PARTS = ("text", "output_text")
_CUT_OFF = ("length", "max_tokens", "model_length", "max_output_tokens")
_FILTERED = (
    "content_filter",
    "safety",
    "prohibited_content",
    "blocklist",
    "spii",
    "recitation",
    "refusal",
    "sensitive",
)


class ChatCompletions:
    """The chat completions of one model, as an `Operation` of an `EndpointClient`.

    A request holds the fields of a chat completion other than the model. An answer holds `content`, `finish_reason`,
    `refusal`, `usage` and `model`. Where the request asks for them, `top_logprobs` of the first token are in it too. `thought`
    is in it where the model wrote thoughts apart from its answer, and `tool_call` where it answered by calling a tool.

    Args:
        model (`str`): Name the endpoint knows the model by.
        served_models (`Sequence[str]`): Names the endpoint gives in its answers, where they differ (a deployment's alias, a
            path). The client discards an answer by another model and sends the request again.
    """

    service = "labeler"
    hint = "is the server running, and does the URL end in /v1?"

    def __init__(self, model: str, *, served_models: Sequence[str] = ()) -> None:
        self.model = model
        self._served_models = tuple(served_models)

    async def send(self, api: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
        """See `Operation`."""
        import httpx2  # comes with the extra

        answer = await api.post("/chat/completions", body={"model": self.model, **request}, cast_to=httpx2.Response)
        return bytes(answer.content)

    def read(self, body: bytes) -> dict[str, object]:
        """See `Operation`."""
        try:
            answer = _in_whole_characters(_read_completion(json.loads(body)))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableAnswer("not a chat completion") from error
        served = answer["model"]
        if served and not is_asked_model(str(served), self.model, self._served_models):
            raise RequestFailed(
                "wrong_model",
                f"{self.model!r} was asked and {str(served)[:100]!r} answered; if that is its name there, state it "
                f"(--served-model {str(served)[:100]})",
                retry_after=0.0,
            )
        return answer


def _read_completion(completion: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    """The parts of a completion that are kept.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: It is no completion.
    """
    choices = completion.get("choices")
    if not choices and (reason := _block_reason(completion)):
        choices = [{"message": {"refusal": reason}, "finish_reason": "content_filter"}]
    choice = choices[0]
    message = choice["message"] if "message" in choice or not choice.get("finish_reason") else {}
    content, thought = _text_of_parts(message.get("content"))
    answer = {
        "content": content,
        "finish_reason": _finish_reason(choice.get("finish_reason")),
        "refusal": message.get("refusal"),
        "usage": completion.get("usage"),
        "model": completion.get("model"),
    }
    if thought or any(message.get(name) for name in _THOUGHTS) or _counts_thoughts(completion.get("usage")):
        answer["thought"] = True
    if (called := _tool_call(message)) and not (isinstance(content, str) and content.strip()):
        answer["tool_call"], answer["content"] = called
    if choice.get("logprobs"):
        tokens = choice["logprobs"]["content"][0]["top_logprobs"]
        answer["top_logprobs"] = [[str(token["token"]), _logprob(token["logprob"])] for token in tokens]
    return answer


def _block_reason(completion: Mapping[str, Any]) -> str | None:
    """Why Gemini gives no answer to a prompt."""
    feedback = completion.get("promptFeedback") or completion.get("prompt_feedback") or {}
    reason = feedback.get("blockReason") or feedback.get("block_reason")
    return f"the prompt was blocked: {reason}" if reason else None


def _text_of_parts(content: object) -> tuple[object, bool]:
    """The text of an answer that may come in parts, and whether some of them are thoughts."""
    if not isinstance(content, list):
        return content, False
    texts = [part for part in content if isinstance(part, str)]
    thought = False
    for part in content:
        if isinstance(part, dict):
            if part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif part.get("type") in _THOUGHTS:
                thought = True
    return "".join(texts), thought


def _tool_call(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name and arguments of the last tool that an answer calls."""
    calls = [call["function"] for call in message.get("tool_calls") or [] if isinstance(call.get("function"), dict)]
    call = calls[-1] if calls else message.get("function_call")
    if not isinstance(call, dict):
        return None
    arguments = call.get("arguments")
    return str(call.get("name")), arguments if isinstance(arguments, str) else json.dumps(arguments, allow_nan=False)


def _counts_thoughts(usage: object) -> bool:
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and bool(details.get("reasoning_tokens"))


def _finish_reason(reason: object) -> object:
    """A server's finish reason in OpenAI's words."""
    if not isinstance(reason, str):
        return reason
    word = reason.casefold().partition(":")[0].strip()
    return "length" if word in _CUT_OFF else "content_filter" if word in _FILTERED else reason


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
