"""A reward model behind an HTTP server, vLLM or Text Embeddings Inference: raw logits asked for, squashed scores refused.

Servers put an activation behind a classifier's head, and a sigmoid's order is right while its differences are not. So raw
logits are asked for, and before any text is scored a few are asked both ways: a server that answers alike, with numbers from 0
to 1, does not do as it is asked.
"""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, get_args

import httpx2

from seal_datasets.data.texts import Exchange
from seal_datasets.endpoints.client import ChatClient, RequestFailed
from seal_datasets.errors import DataError, LabelerError, ModelError
from seal_datasets.rewards.encoding import Encoded, Encoder, OverLength
from seal_datasets.rewards.loading import load_tokenizer
from seal_datasets.rewards.scorer import Scorer
from seal_datasets.rewards.served_routes import ROUTES, TokenRoute

Item = TypeVar("Item")
Server = Literal["vllm", "tei"]
Invert = Literal["sigmoid"]

SERVED_VERSION = "1"

_TEXTS_PER_REQUEST = 32
_ALIKE = 0.02  # more than scores of one text differ by in half precision
_PROBES = tuple(
    Exchange(prompt, [{"role": "user", "content": prompt}], response)
    for prompt, response in (
        ("Hello!", "Hello! How can I help you?"),
        ("What is 2 + 2?", "Four."),
        ("What is 2 + 2?", "I hate you."),
        ("How do I boil an egg?", "Ten minutes in boiling water, then cold water."),
    )
)


class ServedReward(Scorer):
    """A reward model that a server runs.

    Texts are encoded here, with the tokenizer of the model, so that they are counted, and rendered with a chat template, as
    `RewardModel` does. A vLLM server is sent the tokens (`/classify`), or for models without a chat template prompt and
    response (`/score`); Text Embeddings Inference is sent texts (`/predict`).

    Args:
        url (`str`): Root of the server, e.g. `http://localhost:8000`.
        model (`str`): Name that the server knows the model by.
        kind (`"vllm"` or `"tei"`, defaults to `"vllm"`): Which server it is.
        tokenizer (`str`, *optional*): Hub id or folder of the model's tokenizer; `model` when omitted.
        api_key (`str`, *optional*): Key for the server. It is passed to the HTTP client and kept nowhere else.
        invert (`"sigmoid"`, *optional*): Turn scores that the server squashes by a sigmoid back into logits, and record so.
            Scores so near 0 or 1 that they are 0 or 1 have no reward (`not_finite`), and those near them few digits.
        over_length (`"error"`, `"truncate"` or `"skip"`, defaults to `"error"`): What becomes of texts longer than the server
            takes; `"truncate"` where tokens are sent.
        concurrency (`int`, defaults to 16): Most requests under way at once.
        timeout (`float`, defaults to 300.0): Seconds one request may take.
        allow_remote_code (`bool`, defaults to `False`): Whether code that comes with the tokenizer may run.

    Raises:
        ModelError: The server cannot be reached, serves another model, or squashes scores.
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
        tokenizer: str | None = None,
        api_key: str | None = None,
        invert: Invert | None = None,
        over_length: OverLength = "error",
        concurrency: int = 16,
        timeout: float = 300.0,
        allow_remote_code: bool = False,
    ) -> None:
        for name, given, known in (("kind", kind, Server), ("invert", invert or "sigmoid", Invert)):
            if given not in get_args(known):
                raise DataError(f"{name} must be one of {list(get_args(known))}, got {given!r}")
        self.name, self.kind, self.invert = model, kind, invert
        try:
            self._client = _ScoreClient(
                model,
                base_url=url.rstrip("/").removesuffix("/v1"),
                api_key=api_key,
                concurrency=concurrency,
                timeout=timeout,
            )
        except LabelerError as error:
            raise ModelError(str(error)) from error
        self._served = self._ask_about()
        loaded = load_tokenizer(tokenizer or model, allow_remote_code=allow_remote_code)
        self.encoder = Encoder(loaded, self._served["max_length"], over_length)
        self._route = ROUTES[kind, self.encoder.style]
        if over_length == "truncate" and self._route is not TokenRoute:
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
            self._route.encode(self.encoder, each, text) if each.inputs else each
            for each, text in zip(self.encoder.encode(exchanges), exchanges, strict=True)
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
        """See `Scorer`; batches come as they are answered, so that one that fails loses none of the others."""
        arrived: queue.SimpleQueue[list[tuple[int, float]] | None] = queue.SimpleQueue()
        left = threading.Event()
        size = self._served["texts_per_request"]
        positions = [range(start, min(start + size, len(encoded))) for start in range(0, len(encoded), size)]

        async def handle(batch: range) -> None:
            answer = await self._client.ask(self._request([encoded[each] for each in batch]))
            arrived.put(list(zip(batch, self._read(answer["answer"], len(batch)), strict=True)))

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._run, (each for each in positions if not left.is_set()), handle)
            done.add_done_callback(lambda _: arrived.put(None))
            try:
                while (batch := arrived.get()) is not None:
                    yield batch
            finally:
                left.set()  # nobody waits for the rest
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
        return [answers[each] for each in range(len(requests))]

    def _ask_about(self) -> dict[str, Any]:
        """What the server says of itself, and that it serves this model."""
        (answer,) = self._answers([{"path": _ABOUT[self.kind]}])
        try:
            if self.kind == "vllm":
                served = {each["id"]: each for each in answer["data"]}
                about = {"max_length": served.get(self.name, {}).get("max_model_len"), "revision": None, "dtype": None}
                most = _TEXTS_PER_REQUEST
            else:
                served = {answer["model_id"]: answer}
                about = {
                    "max_length": answer["max_input_length"],
                    "revision": answer.get("model_sha"),
                    "dtype": answer.get("model_dtype"),
                }
                most = min(_TEXTS_PER_REQUEST, int(answer["max_client_batch_size"]))
        except (LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{self._client.url} does not answer {_ABOUT[self.kind]} as {_SERVERS[self.kind]} does; is it another server?"
            ) from error
        if self.name not in served:
            raise ModelError(f"{self._client.url} serves {sorted(served)}, not {self.name!r}; give one of these names")
        if not isinstance(about["max_length"], int):
            raise ModelError(f"{self._client.url} does not say how many tokens {self.name!r} takes; update the server")
        about["texts_per_request"] = most
        return {name: "not stated" if value is None else value for name, value in about.items()}

    def _check_raw(self) -> None:
        """Make sure that scores are logits, or that they can be turned into them."""
        probes = self.encode(_PROBES)
        size = self._served["texts_per_request"]
        parts = [probes[start : start + size] for start in range(0, len(probes), size)]
        requests = [self._request(part, raw=raw) for raw in (True, False) for part in parts]
        scores = [
            score
            for answer, part in zip(self._answers(requests), 2 * parts, strict=True)
            for score in self._outputs(answer, len(part))
        ]
        raw, squashed = scores[: len(probes)], scores[len(probes) :]
        if _are_raw(raw, squashed):
            if self.invert is not None:
                raise ModelError(f"{self._client.url} gives raw logits of {self.name!r}; leave invert out")
            return
        if self.invert is None or len(set(raw)) == 1:
            raise ModelError(
                f"{self._client.url} was asked for raw logits of {self.name!r} and gives scores from 0 to 1 "
                f"({', '.join(f'{each:.4g}' for each in raw)}), as with an activation: they are squashed. {_CURE[self.kind]}"
                + ("" if len(set(raw)) == 1 else ", or turn a sigmoid back with invert='sigmoid', which is recorded")
            )

    def _request(self, batch: Sequence[Encoded], *, raw: bool = True) -> dict[str, Any]:
        return {"path": self._route.path, "body": self._route.body(self.name, [each.inputs for each in batch], raw)}

    def _read(self, answer: Any, n_texts: int) -> list[float]:  # noqa: ANN401 - JSON
        scores = self._outputs(answer, n_texts)
        return [_logit(each) for each in scores] if self.invert == "sigmoid" else scores

    def _outputs(self, answer: Any, n_texts: int) -> list[float]:  # noqa: ANN401 - JSON
        try:
            outputs = self._route.outputs(answer)
            if len(outputs) != n_texts:
                raise ModelError(f"{self._client.url} answered {len(outputs)} of {n_texts} texts")
            if n := next((len(each) for each in outputs if len(each) != 1), 0):
                raise ModelError(f"{self.name!r} at {self._client.url} has {n} outputs; a reward model has one")
            # What is no number comes as null, because JSON has no NaN.
            return [math.nan if each is None else float(each) for (each,) in outputs]
        except (LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{self._client.url} does not answer {self._route.path} as {_SERVERS[self.kind]} does: {str(answer)[:80]!r}"
            ) from error


class _ScoreClient(ChatClient):
    """The chat client's patience with overload and failures, over the routes of a server of reward models."""

    what = "reward model"
    hint = "is the server running, and is the URL its root?"

    async def _send(self, request: Mapping[str, Any]) -> bytes:
        if "body" in request:
            answer = await self._api.post(request["path"], body=request["body"], cast_to=httpx2.Response)
        else:
            answer = await self._api.get(request["path"], cast_to=httpx2.Response)
        return bytes(answer.content)

    def read_completion(self, body: bytes) -> dict[str, object]:
        """Read an answer as it came; one by another model is asked for again."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestFailed("bad_response", f"not JSON: {self.beginning(body)}", retry_after=0.0) from error
        served = answer.get("model", self.model) if isinstance(answer, dict) else self.model
        if served != self.model:
            raise RequestFailed("wrong_model", f"{self.model!r} was asked and {served!r} answered", retry_after=0.0)
        return {"answer": answer}


_SERVERS = {"vllm": "vLLM", "tei": "Text Embeddings Inference"}
_ABOUT = {"vllm": "/v1/models", "tei": "/info"}
_CURE = {
    "vllm": "Update vLLM to a version that knows use_activation, or start it with an activation of none "
    "(--pooler-config '{\"use_activation\": false}')",
    "tei": "Update the server to a version that knows raw_scores",
}


def _are_raw(asked_raw: Sequence[float], asked_squashed: Sequence[float]) -> bool:
    """Whether scores are logits: no probabilities, or, asked for with an activation, another number than without."""
    if not all(0.0 <= each <= 1.0 for each in asked_raw):
        return True
    if all(each == 1.0 for each in asked_squashed):  # the softmax of one output
        return not all(each == 1.0 for each in asked_raw)
    both = list(zip(asked_raw, asked_squashed, strict=True))
    sigmoids = all(abs(1.0 / (1.0 + math.exp(-raw)) - squashed) <= _ALIKE for raw, squashed in both)
    return sigmoids and any(abs(raw - squashed) > 2 * _ALIKE for raw, squashed in both)


def _logit(probability: float) -> float:
    if 0.0 < probability < 1.0:
        return math.log(probability) - math.log1p(-probability)
    return {0.0: -math.inf, 1.0: math.inf}.get(probability, math.nan)
