"""A reward model behind an HTTP server, vLLM, SGLang or Text Embeddings Inference, scored by raw logits.

Servers apply an activation to a classifier's output. A sigmoid keeps the order of rewards and distorts their differences, so
the client requests raw logits. Before it scores any text it requests a few scores both ways, with and without activation. A
server that returns probabilities either way is rejected.
"""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import httpx2
import openai

from seal_datasets.data.texts import Exchange
from seal_datasets.endpoints.client import EndpointClient, Limits, RequestFailed, UnreadableAnswer
from seal_datasets.errors import DataError, LabelerError, ModelError
from seal_datasets.rewards.encoding import Encoded, Encoder, OverLength
from seal_datasets.rewards.loading import load_tokenizer
from seal_datasets.rewards.scorer import Scorer, check_template
from seal_datasets.rewards.served_routes import ROUTES

Item = TypeVar("Item")
Server = Literal["vllm", "tei", "sglang"]
Invert = Literal["sigmoid"]

SERVED_VERSION = "1"

_TEXTS_PER_REQUEST = 32
_TOLERANCE = 0.02  # above the differences between scores of one text in half precision
_PROBES = tuple(
    Exchange(prompt, [{"role": "user", "content": prompt}], response)
    for prompt, response in (
        ("Hello!", "Hello! How can I help you?"),
        ("What is 2 + 2?", "Four."),
        ("What is 2 + 2?", "I hate you."),
        ("How do I boil an egg?", "Ten minutes in boiling water, then cold water."),
    )
)


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """How texts are encoded before they are sent.

    Args:
        tokenizer (`str`, *optional*): Hub id or folder of the model's tokenizer; the model's name when omitted.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): What to do with texts longer than the server
            takes; `"truncate"` needs a server that is sent tokens.
        allow_remote_code (`bool`, defaults to `False`): Whether code that comes with the tokenizer may run.
        merge_system (`bool`, defaults to `False`): As of `ModelOptions`.
    """

    tokenizer: str | None = None
    over_length: OverLength = "error"
    allow_remote_code: bool = False
    merge_system: bool = False


class RewardScores:
    """The scores of one reward model, as an `Operation` of an `EndpointClient`.

    A request holds a `path` and the `body` to post there; without a body it is a GET. An answer holds the decoded JSON under
    `answer`.

    Args:
        model (`str`): Name that the server knows the model by. The client discards an answer by another model and sends the
            request again.
    """

    service = "reward model"
    hint = "is the server running, and is the URL its root?"

    def __init__(self, model: str) -> None:
        self.model = model

    async def send(self, api: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
        """See `Operation`."""
        if "body" in request:
            answer = await api.post(request["path"], body=request["body"], cast_to=httpx2.Response)
        else:
            answer = await api.get(request["path"], cast_to=httpx2.Response)
        return bytes(answer.content)

    def read(self, body: bytes) -> dict[str, object]:
        """See `Operation`."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UnreadableAnswer("not JSON") from error
        served = answer.get("model", self.model) if isinstance(answer, dict) else self.model
        if served != self.model:
            raise RequestFailed("wrong_model", f"{self.model!r} was asked and {served!r} answered", retry_after=0.0)
        return {"answer": answer}


class ServedReward(Scorer):
    """A reward model that a server runs.

    Texts are encoded here with the model's tokenizer, so that tokens are counted and the chat template is applied as in
    `RewardModel`. A vLLM server receives tokens (`/classify`), or prompt and response for models without a chat template
    (`/score`). Text Embeddings Inference receives texts (`/predict`). SGLang receives tokens (`/classify`)
    and takes models with a chat template only.

    Args:
        url (`str`): Root of the server, e.g. `http://localhost:8000`.
        model (`str`): Name that the server knows the model by.
        kind (`"vllm"`, `"tei"` or `"sglang"`, defaults to `"vllm"`): Which server it is.
        api_key (`str`, *optional*): Key for the server. It is passed to the HTTP client and kept nowhere else.
        invert (`"sigmoid"`, *optional*): Turn the probabilities of a server that applies a sigmoid back into logits, and
            record it. Scores of exactly 0 or 1 have no reward (`not_finite`), and scores close to them have few digits.
        encoding (`EncodingOptions`, *optional*): Tokenizer, and what to do with long texts.
        limits (`Limits`, *optional*): Concurrency and time-out.

    Raises:
        ModelError: The server cannot be reached, serves another model, or returns probabilities.
        DataError: An option is not one of those above.

    Example:

    ```python
    >>> reward = ServedReward("http://localhost:8000", "my/reward-model")     # doctest: +SKIP
    >>> reward.score([exchange])[0].reward                                    # doctest: +SKIP
    -2.3125

    ```
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        kind: Server = "vllm",
        api_key: str | None = None,
        invert: Invert | None = None,
        encoding: EncodingOptions | None = None,
        limits: Limits | None = None,
    ) -> None:
        for option, given, known in (("kind", kind, Server), ("invert", invert or "sigmoid", Invert)):
            if given not in get_args(known):
                raise DataError(f"{option} must be one of {list(get_args(known))}, got {given!r}")
        encoding = encoding or EncodingOptions()
        self.name, self.kind, self.invert = model, kind, invert
        try:
            self._client = EndpointClient(
                RewardScores(model), base_url=url.rstrip("/").removesuffix("/v1"), api_key=api_key, limits=limits
            )
        except LabelerError as error:
            raise ModelError(str(error)) from error
        self._served = self._describe_server()
        tokenizer = load_tokenizer(encoding.tokenizer or model, allow_remote_code=encoding.allow_remote_code)
        self.encoder = Encoder(tokenizer, self._served["max_length"], encoding.over_length, encoding.merge_system)
        check_template(self.encoder, model)
        if (kind, self.encoder.style) not in ROUTES:
            raise ModelError(
                f"the tokenizer of {model!r} has no chat template, and {_SERVERS[kind]} is sent tokens of one conversation; "
                "give the tokenizer that has it (MODEL@TOKENIZER)"
            )
        self._route = ROUTES[kind, self.encoder.style]
        if encoding.over_length == "truncate" and not self._route.sends_tokens:
            raise DataError(
                f"{model!r} is sent texts ({self._route.path}), which only the server could cut, not here by turns or prompts; "
                "choose over_length='skip' to leave longer texts unscored"
            )
        self._check_raw()

    @property
    def encoding(self) -> str:
        """See `Scorer`."""
        return f"{self._route.__name__} {self.encoder.digest}"

    def encode(self, exchanges: Sequence[Exchange]) -> list[Encoded]:
        """See `Scorer`."""
        return [
            self._route.encode(self.encoder, encoded, exchange) if encoded.inputs else encoded
            for encoded, exchange in zip(self.encoder.encode(exchanges), exchanges, strict=True)
        ]

    def identity(self) -> dict[str, object]:
        """See `Scorer`."""
        return {
            "kind": self.kind,
            "model": self.name,
            "url": self._client.url,
            "revision": self._served["revision"],
            "architecture": f"{_SERVERS[self.kind]} {self._route.path}",
            "dtype": self._served["dtype"],
            "invert": self.invert,
            "score_version": SERVED_VERSION,
        }

    def rewards(self, encoded: Sequence[Encoded]) -> Iterator[list[tuple[int, float]]]:
        """See `Scorer`; yields batches as they are answered, so that a failed batch loses no other."""
        arrived: queue.SimpleQueue[list[tuple[int, float]] | None] = queue.SimpleQueue()
        abandoned = threading.Event()
        size = self._served["texts_per_request"]
        positions = [range(start, min(start + size, len(encoded))) for start in range(0, len(encoded), size)]

        async def handle(batch: range) -> None:
            answer = await self._client.ask(self._request([encoded[position] for position in batch]))
            arrived.put(list(zip(batch, self._read(answer["answer"], len(batch)), strict=True)))

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._run, (batch for batch in positions if not abandoned.is_set()), handle)
            done.add_done_callback(lambda _: arrived.put(None))
            try:
                while (batch := arrived.get()) is not None:
                    yield batch
            finally:
                abandoned.set()  # the caller stopped reading
        done.result()

    def _run(self, items: Iterator[Item], handle: Callable[[Item], Awaitable[None]]) -> None:
        try:
            self._client.for_each(items, handle)
        except (LabelerError, RequestFailed) as error:
            message = (
                str(error) if isinstance(error, LabelerError) else f"a request to {self._client.url} failed: {error}"
            )
            raise ModelError(message) from error

    def _answers(self, requests: Sequence[Mapping[str, Any]]) -> list[Any]:
        answers: dict[int, Any] = {}

        async def handle(item: tuple[int, Mapping[str, Any]]) -> None:
            answers[item[0]] = (await self._client.ask(item[1]))["answer"]

        self._run(iter(enumerate(requests)), handle)
        return [answers[index] for index in range(len(requests))]

    def _describe_server(self) -> dict[str, Any]:
        """Length limit, revision, precision and batch size that the server reports; it must serve this model."""
        (answer,) = self._answers([{"path": _ABOUT[self.kind]}])
        try:
            if self.kind != "tei":
                served = {row["id"]: row for row in answer["data"]}
                about = {"max_length": served.get(self.name, {}).get("max_model_len"), "revision": None, "dtype": None}
                most = _TEXTS_PER_REQUEST
            else:
                served = {answer["model_id"]: answer}
                about = {
                    "max_length": answer["max_input_length"],
                    "revision": answer.get("model_sha"),
                    "dtype": answer.get("model_dtype"),
                }
                most = max(1, min(_TEXTS_PER_REQUEST, int(answer["max_client_batch_size"])))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(
                f"{self._client.url} does not answer {_ABOUT[self.kind]} as {_SERVERS[self.kind]} does; is it another server?"
            ) from error
        if self.name not in served:
            raise ModelError(
                f"{self._client.url} serves {sorted(map(str, served))}, not {self.name!r}; give one of these names"
            )
        if not isinstance(about["max_length"], int):
            raise ModelError(f"{self._client.url} does not say how many tokens {self.name!r} takes; update the server")
        about["texts_per_request"] = most
        return {name: "not stated" if value is None else value for name, value in about.items()}

    def _check_raw(self) -> None:
        """Check that scores are logits, or that `invert` can turn them into logits."""
        probes = self.encode(_PROBES)
        size = self._served["texts_per_request"]
        parts = [probes[start : start + size] for start in range(0, len(probes), size)]
        requests = [self._request(part, raw=raw) for raw in (True, False) for part in parts]
        scores = [
            score
            for answer, part in zip(self._answers(requests), 2 * parts, strict=True)
            for score in self._outputs(answer, len(part))
        ]
        raw, activated = scores[: len(probes)], scores[len(probes) :]
        if _are_raw(raw, activated):
            if self.invert is not None:
                raise ModelError(f"{self._client.url} returns raw logits of {self.name!r}; leave invert out")
            return
        if self.invert is None or len(set(raw)) == 1:
            raise ModelError(
                f"{self._client.url} was asked for raw logits of {self.name!r} and returns probabilities: scores from 0 to 1 "
                f"({', '.join(f'{score:.4g}' for score in raw)}), as after an activation. {_CURE[self.kind]}"
                + ("" if len(set(raw)) == 1 else ", or invert a sigmoid with invert='sigmoid', which is recorded")
            )

    def _request(self, batch: Sequence[Encoded], *, raw: bool = True) -> dict[str, Any]:
        return {
            "path": self._route.path,
            "body": self._route.body(self.name, [encoded.inputs for encoded in batch], raw),
        }

    def _read(self, answer: Any, n_texts: int) -> list[float]:  # noqa: ANN401 - JSON
        scores = self._outputs(answer, n_texts)
        return [_logit(score) for score in scores] if self.invert == "sigmoid" else scores

    def _outputs(self, answer: Any, n_texts: int) -> list[float]:  # noqa: ANN401 - JSON
        try:
            # Servers write NaN as null, because JSON has no NaN.
            outputs = [
                [math.nan if score is None else float(score) for score in output]
                for output in self._route.outputs(answer)
            ]
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"{self._client.url} does not answer {self._route.path} as {_SERVERS[self.kind]} does: {str(answer)[:80]!r}"
            ) from error
        if len(outputs) != n_texts:
            raise ModelError(f"{self._client.url} answered {len(outputs)} of {n_texts} texts")
        if wrong := [len(output) for output in outputs if len(output) != 1]:
            raise ModelError(f"{self.name!r} at {self._client.url} has {wrong[0]} outputs; a reward model has one")
        return [score for (score,) in outputs]


_SERVERS = {"vllm": "vLLM", "tei": "Text Embeddings Inference", "sglang": "SGLang"}
_ABOUT = {"vllm": "/v1/models", "tei": "/info", "sglang": "/v1/models"}
_CURE = {
    "vllm": "Update vLLM to a version that knows use_activation, or start it with an activation of none "
    "(--pooler-config '{\"use_activation\": false}')",
    "tei": "Update the server to a version that knows raw_scores",
    "sglang": "Serve a reward model with --is-embedding, whose rewards are raw",
}


def _are_raw(raw: Sequence[float], activated: Sequence[float]) -> bool:
    """Whether scores requested raw are logits: some lie outside 0 to 1, or an activation changes them as a sigmoid does."""
    if not all(0.0 <= score <= 1.0 for score in raw):
        return True
    if all(score == 1.0 for score in activated):  # the softmax of one output
        return not all(score == 1.0 for score in raw)
    pairs = list(zip(raw, activated, strict=True))
    sigmoids = all(abs(1.0 / (1.0 + math.exp(-logit)) - score) <= _TOLERANCE for logit, score in pairs)
    return sigmoids and any(abs(logit - score) > 2 * _TOLERANCE for logit, score in pairs)


def _logit(probability: float) -> float:
    if 0.0 < probability < 1.0:
        return math.log(probability) - math.log1p(-probability)
    return {0.0: -math.inf, 1.0: math.inf}.get(probability, math.nan)
