"""Seconds and peak memory of `seal audit --rewards` by step, on synthetic pairs; names the slowest step.

    python -m benchmarks.audit_scale --pairs 160800 1000000            # from jsonl
    python -m benchmarks.audit_scale --pairs 1000000 --parquet         # from parquet

Responses are sentences of the embedded preference set, drawn at random: one to five each, about 190 characters on average.
Two pairs have one prompt on average. Rewards follow length and mood, with noise. Each size runs in a process of its own with
an empty cache. Memory is that of the process and its children, where a page that several share counts once (Pss), sampled up to
twenty times a second: in all, and without pages of files, which the system takes back when it needs them. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REWARDS = {"pre": ("pre_chosen", "pre_rejected"), "post": ("post_chosen", "post_rejected")}
STEPS = {
    "load": ("seal_datasets.audit.precomputed", "load_pairs"),
    "surface features": ("seal_datasets.audit.precomputed", "add_surface_features"),
    "rewards columns": ("seal_datasets.audit.precomputed", "add_own_rewards"),
    "derived columns": ("seal_datasets.audit.finish", "derived_columns"),
    "write pairs": ("seal_datasets.audit.finish", "write_parquet"),
    "analyze": ("seal_datasets.report.write", "analyze"),
    "figures": ("seal_datasets.report.write", "draw_figures"),
    "report": ("seal_datasets.audit.finish", "write_report"),
}
"""Each step with the function that does it; a step within another is not counted twice."""

_MIB = 1 << 20
_BATCH = 20_000


def main() -> None:
    """Make the pairs of each size, audit them, and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[160_800])
    parser.add_argument("--parquet", action="store_true", help="from parquet instead of jsonl")
    parser.add_argument("--folder", help="where files are written; a temporary folder when omitted")
    parser.add_argument("--audit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.audit:
        _audit(Path(options.audit), options.pairs[0])
        return
    for n_pairs in options.pairs:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            file = Path(folder, f"pairs.{'parquet' if options.parquet else 'jsonl'}")
            _write_pairs(file, n_pairs)
            # Bytes that wait to be written would slow the audit.
            os.sync()
            command = [sys.executable, "-m", "benchmarks.audit_scale", "--pairs", str(n_pairs), "--audit", str(file)]
            subprocess.run(command, check=True, env={**os.environ, "HF_DATASETS_CACHE": f"{folder}/cache"})


def _write_pairs(file: Path, n_pairs: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    batches = _pairs(n_pairs)
    if file.suffix == ".jsonl":
        with file.open("w", encoding="utf-8") as lines:
            for batch in batches:
                rows = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
                lines.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        return
    first = pa.table(next(batches))
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for batch in batches:
            writer.write_table(pa.table(batch))


def _pairs(n_pairs: int) -> Iterator[dict[str, list[Any]]]:
    from seal_datasets.data.demo import demo_path

    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()]
    responses = [row[side].rpartition("\n\nAssistant:")[2].strip() for row in rows for side in ("chosen", "rejected")]
    prompts = [row["chosen"].partition("\n\nAssistant:")[0].removeprefix("\n\nHuman: ") for row in rows]
    sentences = [sentence for text in responses for sentence in re.split(r"(?<=[.!?])\s+", text)]
    rng = np.random.default_rng(0)
    for start in range(0, n_pairs, _BATCH):
        n = min(_BATCH, n_pairs - start)
        numbers = rng.integers(0, n_pairs // 2 + 1, n)
        batch: dict[str, list[Any]] = {
            "prompt": [f"{prompts[number % len(prompts)]} ({number})" for number in numbers.tolist()]
        }
        for side in ("chosen", "rejected"):
            counts = rng.integers(1, 6, n)
            drawn = iter(rng.integers(0, len(sentences), int(counts.sum())).tolist())
            batch[side] = [" ".join(sentences[next(drawn)] for _ in range(count)) for count in counts.tolist()]
        level = rng.normal(size=n)
        for model, weight in (("pre", 0.2), ("post", 0.6)):
            for side in ("chosen", "rejected"):
                length = np.log1p([len(text) for text in batch[side]]) - 5.0
                mood = np.array([text.count("!") for text in batch[side]])
                batch[f"{model}_{side}"] = (level + weight * (length - mood) + rng.normal(size=n)).tolist()
        yield batch


def _audit(file: Path, n_pairs: int) -> None:
    from datasets import disable_progress_bars

    from seal_datasets.audit.precomputed import audit_own_rewards

    disable_progress_bars()
    watch = _Watch()
    for step, (module, name) in STEPS.items():
        owner = importlib.import_module(module)
        setattr(owner, name, watch.timed(step, getattr(owner, name)))
    with watch.sampling(), watch.within("other"):
        audit_own_rewards(str(file), file.with_name("audit"), REWARDS)
    watch.print(n_pairs, file.suffix)


class _Watch:
    """Seconds and peaks of memory of steps, of which the innermost counts."""

    def __init__(self) -> None:
        self._steps = ["other"]
        self._seconds: defaultdict[str, Any] = defaultdict(lambda: np.zeros(2))
        self._peaks: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._since = _clocks()

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            with self.within(step):
                return function(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def within(self, step: str) -> Iterator[None]:
        self._book()
        self._steps.append(step)
        try:
            yield
        finally:
            self._book()
            self._steps.pop()

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        ended = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(ended,), daemon=True)
        sampler.start()
        self._since = _clocks()
        yield
        ended.set()
        sampler.join()

    def print(self, n_pairs: int, kind: str) -> None:
        steps = [step for step in (*STEPS, "other") if step in self._seconds]
        total = sum(self._seconds.values())
        whole = tuple(max(peaks) for peaks in zip(*self._peaks.values(), strict=True))
        print(f"{n_pairs:,} pairs from {kind.removeprefix('.')}\n")
        print("| step | seconds | of processors | peak, MiB | without files |\n|---|---|---|---|---|")
        for name, seconds, peaks in (
            *((step, self._seconds[step], self._peaks[step]) for step in steps),
            ("**whole audit**", total, whole),
        ):
            print(f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {peaks[0] // _MIB:,} | {peaks[1] // _MIB:,} |")
        print(f"\nslowest: {max(steps, key=lambda step: self._seconds[step][0])}\n", flush=True)

    def _book(self) -> None:
        now = _clocks()
        self._seconds[self._steps[-1]] += now - self._since
        self._since = now

    def _sample(self, ended: threading.Event) -> None:
        seconds = 0.0
        while not ended.wait(max(0.05, 5.0 * seconds)):  # so that looking takes little of the time
            start = time.perf_counter()
            whole, private = _memory(os.getpid())
            step = self._steps[-1]
            before = self._peaks[step]
            self._peaks[step] = (max(before[0], whole), max(before[1], private))
            seconds = time.perf_counter() - start


def _clocks() -> NDArray[np.float64]:
    """Seconds by the clock, and those of processors that this process and its ended children used."""
    used = os.times()
    return np.array([time.perf_counter(), used.user + used.system + used.children_user + used.children_system])


def _memory(process: int) -> tuple[int, int]:
    """Bytes of memory of a process and its children, and those that are no pages of files."""
    whole = private = 0
    with contextlib.suppress(OSError):  # a child may have ended
        sizes = dict(re.findall(r"^(Pss\w*): +(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M))
        whole, private = int(sizes["Pss"]) << 10, int(sizes["Pss_Anon"]) << 10
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                more = _memory(int(child))
                whole, private = whole + more[0], private + more[1]
    return whole, private


if __name__ == "__main__":
    main()
