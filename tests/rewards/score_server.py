"""A double of vLLM, SGLang and Text Embeddings Inference, none of which runs here: their routes, behind them a real model.

Requests and answers have the fields that those servers' sources declare; the logits come from a bare transformers loop.
"""

from __future__ import annotations

import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

KEY = "sk-secret-of-the-scorer"


class ScoreServer:
    """The double, as a context manager.

    Args:
        path: Folder of a sequence classifier.
        name: Name that it is served by.
        obeys: Whether it knows how to leave its activation out.
        failures: Statuses to answer the first scoring requests with; 0 is an answer that comes too late.
    """

    def __init__(self, path, name=None, *, obeys=True, failures=(), answers_as=None):
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForSequenceClassification.from_pretrained(path).eval()
        self.name, self.obeys, self.failures = name or path, obeys, list(failures)
        self.answers_as = answers_as or self.name
        self.requests, self.lock = [], threading.Lock()

    def __enter__(self):
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(200, double.about(self.path))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with double.lock:
                    double.requests.append((self.path, body))
                    failure = double.failures.pop(0) if double.failures else None
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if key == "sk-wrong":
                    self.answer(401, {"error": {"message": f"key {key} is not known"}})
                elif failure:
                    self.answer(failure, {"error": {"message": "injected"}}, {"retry-after-ms": "20"})
                else:
                    time.sleep(4.0 if failure == 0 else 0.0)
                    self.answer(200, double.score(self.path, body))

            def answer(self, status, content, headers=()):
                data = json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in dict(headers, **{"Content-Type": "application/json"}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client has left

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def about(self, path):
        if path == "/v1/models":
            return {
                "object": "list",
                "data": [
                    {
                        "id": self.name,
                        "object": "model",
                        "owned_by": "vllm",
                        "root": self.name,
                        "max_model_len": self.tokenizer.model_max_length,
                    }
                ],
            }
        labels = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
        return {
            "model_id": self.name,
            "model_sha": "abc123",
            "model_dtype": "float32",
            "model_type": {"reranker": labels},
            "max_input_length": self.tokenizer.model_max_length,
            "max_client_batch_size": 3,
        }

    def score(self, path, body):
        if path == "/predict":
            assert len(body["inputs"]) <= 3
            assert body["truncate"] is False
            raw = body["raw_scores"]
            texts = [self.tokenizer(*([part] for part in each), return_tensors="pt") for each in body["inputs"]]
            return [[{"score": each, "label": "LABEL_0"}] for each in self.outputs(texts, raw)]
        if "input_ids" in body:  # SGLang, which applies no activation
            texts = [{"input_ids": torch.tensor([ids])} for ids in body["input_ids"]]
            return [{"embedding": [each], "meta_info": {"id": "x"}} for each in self.outputs(texts, True)]
        raw = body.get("use_activation") is False
        if path == "/classify":
            texts = [{"input_ids": torch.tensor([ids])} for ids in body["input"]]
            data = [
                {"index": i, "label": "LABEL_0", "probs": [each], "num_classes": 1}
                for i, each in enumerate(self.outputs(texts, raw))
            ]
        else:
            pairs = zip(body["text_1"], body["text_2"], strict=True)
            texts = [self.tokenizer([one], [other], return_tensors="pt") for one, other in pairs]
            data = [{"index": i, "object": "score", "score": each} for i, each in enumerate(self.outputs(texts, raw))]
        return {"id": "x", "object": "list", "created": 0, "model": self.answers_as, "data": data[::-1]}

    def outputs(self, texts, raw):
        with self.lock, torch.inference_mode():
            logits = [self.model(**each).logits.item() for each in texts]
        return logits if raw and self.obeys else [1.0 / (1.0 + math.exp(-each)) for each in logits]
