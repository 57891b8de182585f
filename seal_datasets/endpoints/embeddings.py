"""Embeddings from an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seal_datasets.endpoints.client import EndpointClient, Limits, RequestFailed, UnreadableAnswer
from seal_datasets.endpoints.model_names import is_asked_model
from seal_datasets.errors import LabelerError

if TYPE_CHECKING:
    import openai

_TEXTS_PER_REQUEST = 32


class _Embeddings:
    """The embeddings of one model, as an `Operation` of an `EndpointClient`."""

    service = "encoder"
    hint = "is the server running with embeddings, and does the URL end in /v1?"

    def __init__(self, model: str) -> None:
        self.model = model

    async def send(self, api: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
        """See `Operation`."""
        import httpx2  # comes with the extra

        answer = await api.post("/embeddings", body={"model": self.model, **request}, cast_to=httpx2.Response)
        return bytes(answer.content)

    def read(self, body: bytes) -> dict[str, object]:
        """See `Operation`."""
        try:
            answer = json.loads(body)
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UnreadableAnswer("not a list of embeddings") from error
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise UnreadableAnswer("not a list of embeddings of one length")
        served = answer.get("model")
        if served and not is_asked_model(str(served), self.model, ()):
            raise RequestFailed("wrong_model", f"{self.model!r} was asked and {str(served)[:100]!r} answered")
        return {"vectors": vectors}


class EmbeddingEndpoint:
    """An encoder behind an OpenAI-compatible endpoint.

    Args:
        url (`str`): Its address, e.g. `http://localhost:8000/v1`.
        model (`str`): Name the endpoint knows the model by.
        api_key (`str`, *optional*): Key for the endpoint, see `key_for`; it is passed to the client and kept nowhere else.

    Attributes:
        name (`str`): Address and model.
        revision (`str`): Empty: an endpoint does not tell which weights it runs.

    Raises:
        LabelerError: The URL holds more than an address.

    Example:

    ```python
    >>> EmbeddingEndpoint("http://localhost:8000/v1", "my-encoder").name
    'http://localhost:8000/v1/#my-encoder'

    ```
    """

    revision = ""

    def __init__(self, url: str, model: str, *, api_key: str | None = None) -> None:
        self._client = EndpointClient(_Embeddings(model), base_url=url, api_key=api_key, limits=Limits(concurrency=4))
        self.name = f"{self._client.url}#{model}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Embed texts; those that the endpoint refuses are sent once more alone.

        Args:
            texts (`Sequence[str]`): n texts.

        Returns:
            `ndarray` of shape (n, d): Vectors of length 1; nan for blank texts and those that the endpoint refuses.

        Raises:
            LabelerError: The endpoint cannot be reached, does not know the model, gives vectors of several lengths, or none at
                all.
        """
        given: dict[int, NDArray[np.float32]] = {}
        lost: list[str] = []
        rows = [row for row, text in enumerate(texts) if text.strip()]

        async def handle(part: list[int]) -> None:
            try:
                answer = await self._client.ask({"input": [texts[row] for row in part]})
            except RequestFailed as error:
                lost.append(str(error))
                for row in part if len(part) > 1 else ():
                    await handle([row])
                return
            vectors: Any = answer["vectors"]
            if len(vectors) == len(part):
                given.update(zip(part, vectors, strict=True))
            else:
                lost.append(f"{len(vectors)} vectors for {len(part)} texts")

        self._client.for_each(_parts(rows), handle)
        if rows and not given:
            raise LabelerError(
                f"the encoder {self.name} gave no embedding of {len(rows):,} texts: {lost[-1]}; is it an encoder?"
            )
        widths = sorted({len(vector) for vector in given.values()})
        if len(widths) > 1:
            raise LabelerError(
                f"the encoder {self.name} gave vectors of {widths[0]} and of {widths[-1]} numbers, not of one length"
            )
        vectors = np.full((len(texts), widths[0] if widths else 1), np.nan)
        for row, vector in given.items():
            norm = float(np.linalg.norm(vector))
            vectors[row] = vector / norm if norm else np.nan
        return vectors


def _parts(rows: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), _TEXTS_PER_REQUEST):
        yield list(rows[start : start + _TEXTS_PER_REQUEST])
