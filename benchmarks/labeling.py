"""Overhead of labeling: throughput on an instant endpoint, memory, and a rerun with a full cache.

    python -m benchmarks.labeling            # an instant double of an endpoint, on the loopback interface
    python -m benchmarks.labeling --real     # and the embedded model against a bare load generator

The bare generator is the `openai` client in a loop of asyncio tasks: no store, no schema, no parsing, no retries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
from datasets import Dataset

from seal_datasets import load_pairs
from seal_datasets.data.texts import Text
from seal_datasets.endpoints.embedded import MODEL_NAME, EmbeddedLM
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.featurize import add_features
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.taxonomy import Taxonomy, load_taxonomy

FEATURES = (
    "last_response_is_harmless",
    "last_response_is_helpful",
    "last_response_is_honest",
    "last_response_is_refusal",
    "last_response_is_eloquent",
    "last_response_sentiment",
)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--memory-texts", type=int, default=200_000)
    parser.add_argument("--real", action="store_true", help="also measure on the embedded model (minutes)")
    options = parser.parse_args()
    taxonomy = load_taxonomy().select(FEATURES)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port}/v1"
    _await(port)
    _instant(url, taxonomy, options.texts)
    _memory(url, taxonomy, options.memory_texts)
    server.kill()
    if options.real:
        with EmbeddedLM() as lm:
            _against_a_bare_generator(lm.url, taxonomy)


def _texts(n: int, start: int = 0) -> Iterator[Text]:
    for number in range(start, start + n):
        yield Text(
            f"\n\nHuman: {'How do I boil an egg, and for how long? ' * 10}", f" Reply {number}. " + "Well. " * 60
        )


def _instant(url: str, taxonomy: Taxonomy, n: int) -> None:
    seconds = _bare("m", url, taxonomy, list(_texts(n // 4, start=10**7)), 32)
    _say("bare generator, instant endpoint", f"{n // 4 / seconds:,.0f} requests/s")
    with tempfile.TemporaryDirectory() as folder, ResponseStore(Path(folder) / "s.sqlite") as store:
        labeler = Labeler("m", base_url=url, store=store, options=RequestOptions(concurrency=32))
        wall, cpu = time.perf_counter(), time.process_time()
        labeler.ask(_texts(n), taxonomy)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        _say(
            "labeler, instant endpoint",
            f"{n / wall:,.0f} requests/s, {n * len(FEATURES) / wall:,.0f} labels/s; {cpu / wall:.2f} cores",
        )
        start = time.perf_counter()
        labeler.label(list(_texts(n)), taxonomy)
        _say("the same again over the full store", f"{n / (time.perf_counter() - start):,.0f} texts/s")
        texts = list(_texts(n))
        rows = {
            "prompt": [text.prompt for text in texts[::2]],
            "chosen": [text.response for text in texts[::2]],
            "rejected": [text.response for text in texts[1::2]],
        }
        pairs, _ = load_pairs(Dataset.from_dict(rows))
        speeds = []
        for _ in range(9):
            start = time.perf_counter()
            labelled = add_features(pairs, labeler, taxonomy)
            speeds.append(len(labelled) / (time.perf_counter() - start))
        _say(
            "add_features over the full store",
            f"{statistics.median(speeds):,.0f} pairs/s (two texts a pair; {min(speeds):,.0f} to {max(speeds):,.0f})",
        )


def _memory(url: str, taxonomy: Taxonomy, n: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ResponseStore(Path(folder) / "s.sqlite") as store:
        labeler = Labeler("m", base_url=url, store=store, options=RequestOptions(concurrency=32))
        labeler.ask(_texts(n // 10), taxonomy)
        early = _peak()
        start = time.perf_counter()
        labeler.ask(_texts(n - n // 10, start=n // 10), taxonomy)
        seconds = time.perf_counter() - start
        _say(
            f"{n:,} texts",
            f"peak memory {early:.0f} MB after a tenth, {_peak():.0f} MB at the end; {n * 0.9 / seconds:,.0f} requests/s",
        )


def _against_a_bare_generator(url: str, taxonomy: Taxonomy) -> None:
    """Alternate rounds, each on other texts. CPU time separates the overhead from the variation of the model."""
    number = 0
    for concurrency in (1, 4, 16, 64):
        n = max(16, concurrency)
        wall: dict[str, list[float]] = {"bare": [], "labeler": []}
        cpu: dict[str, list[float]] = {"bare": [], "labeler": []}
        for _ in range(2 if n == 64 else 3):
            for who in wall:
                texts = list(_texts(n, start=number))
                number += n
                used, start = time.process_time(), time.perf_counter()
                if who == "bare":
                    _bare(MODEL_NAME, url, taxonomy, texts, concurrency)
                else:
                    Labeler(MODEL_NAME, base_url=url, options=RequestOptions(concurrency=concurrency)).ask(
                        texts, taxonomy
                    )
                wall[who].append(time.perf_counter() - start)
                cpu[who].append(time.process_time() - used)
        bare, ours = (sum(wall[who]) for who in ("bare", "labeler"))
        extra = sum(cpu["labeler"]) - sum(cpu["bare"])
        _say(
            f"embedded model, {concurrency} at once, {n} texts a round",
            f"bare {bare:.1f} s, labeler {ours:.1f} s, {ours / bare:.2f}x; processor's time of the labeler beyond the bare "
            f"client's: {1000 * extra / n / len(wall['bare']):.1f} ms a text = {extra / bare:.2%} of the time",
        )


def _bare(model: str, url: str, taxonomy: Taxonomy, texts: list[Text], concurrency: int) -> float:
    jobs = Labeler(model, base_url=url)._jobs(texts, taxonomy)

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=openai.DefaultAioHttpClient()) as api:

            async def work() -> None:
                for job in jobs:
                    body: dict[str, Any] = next(job.requests([])).body
                    await api.chat.completions.create(model=model, **body)

            await asyncio.gather(*(work() for _ in range(concurrency)))

    start = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - start


def _serve(port: int) -> None:
    from aiohttp import web

    answer = dict.fromkeys(FEATURES, True) | {"last_response_sentiment": "neutral"}
    message = {"role": "assistant", "content": json.dumps(answer)}
    completion = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
    }
    body = json.dumps(completion).encode()

    async def reply(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def _await(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(what: str, figure: str) -> None:
    sys.stdout.write(f"{what:<45} {figure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
