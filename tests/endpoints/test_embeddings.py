"""Embeddings come from any OpenAI-compatible endpoint; what it refuses is missing, and nothing is guessed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from seal_datasets.endpoints import client
from seal_datasets.endpoints.embeddings import EmbeddingEndpoint
from seal_datasets.errors import LabelerError


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(body["input"])
        self.server.requests.append(body["input"])
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments):
        pass


class Encoder(ThreadingHTTPServer):
    """Embeds texts by what `answer` makes of them."""

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.requests = answer, []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


def by_length(texts, width=3):
    rows = [{"index": i, "embedding": [len(text), 1.0, 0.0][:width]} for i, text in enumerate(texts)]
    return 200, {"object": "list", "data": rows[::-1], "model": "m"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.01)


def test_vectors_come_in_the_order_of_the_texts_and_have_length_one():
    texts = ["x" * n for n in range(1, 81)]
    with Encoder(by_length) as server:
        vectors = EmbeddingEndpoint(server.url, "m").embed([*texts, "  "])
    assert len(server.requests) == 3
    assert np.linalg.norm(vectors[:80], axis=1) == pytest.approx(np.ones(80))
    assert (vectors[:80, 0] / vectors[:80, 1]).round().astype(int).tolist() == list(range(1, 81))
    assert np.isnan(vectors[80]).all()


def test_a_text_that_is_refused_is_missing_and_its_neighbours_are_not():
    def refuses_long(texts):
        if any(len(text) > 5 for text in texts):
            return 400, {"error": {"message": "input is too long", "type": "invalid_request_error"}}
        return by_length(texts)

    with Encoder(refuses_long) as server:
        vectors = EmbeddingEndpoint(server.url, "m").embed(["a", "b" * 9, "c"])
    assert np.isnan(vectors).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: (200, {"data": "nothing"}), "no embedding of 1 texts: bad_response"),
        (lambda texts: (200, {"data": [{"index": 0, "embedding": [1.0, float("inf")]}]}), "no embedding"),
        (lambda texts: (200, {"data": []}), "no embedding"),
        (lambda texts: (404, {"error": {"message": "no model m"}}), "refused to work"),
    ],
)
def test_what_is_no_encoder_is_an_error(answer, message):
    with Encoder(answer) as server, pytest.raises(LabelerError, match=message):
        EmbeddingEndpoint(server.url, "m").embed(["a"])


def test_vectors_of_several_lengths_are_refused():
    widths = iter([3, 2])
    with (
        Encoder(lambda texts: by_length(texts, next(widths))) as server,
        pytest.raises(LabelerError, match="vectors of 2 and of 3 numbers"),
    ):
        EmbeddingEndpoint(server.url, "m").embed(["x"] * 40)
