"""Seconds of processors and memory of loading pairs and of surface features; and of a stream read by two processes.

    python -m benchmarks.loading pairs.jsonl.gz --pairs 160800     # e.g. the test split of hh-rlhf, repeated
    accelerate launch --multi_gpu --num_processes 2 -m benchmarks.loading pairs.jsonl.gz --pairs 20000 --stream

The rows of the file are repeated, each time with a number in their first turn, so that prompts differ.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, disable_caching, disable_progress_bars

from seal_datasets import add_surface_features, load_pairs


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="dialogues as chosen and rejected, in jsonl or jsonl.gz")
    parser.add_argument("--pairs", type=int, default=40_000)
    parser.add_argument("--stream", action="store_true", help="read a stream once for all processes and once by each")
    options = parser.parse_args()
    disable_progress_bars()
    disable_caching()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows(options.file, options.pairs))
        if options.stream:
            _time_stream(path)
        else:
            _time_table(path, options.pairs)


def _rows(file: str, n_rows: int) -> Iterator[dict[str, str]]:
    rows = Dataset.from_json(file).select_columns(["chosen", "rejected"]).to_list()
    for number, row in zip(range(n_rows), itertools.cycle(rows), strict=False):
        yield {side: text.replace("Human:", f"Human: {number}", 1) for side, text in row.items()}


def _time_table(path: Path, n_pairs: int) -> None:
    sys.stdout.write("| step | seconds of CPU | rate | peak of this process so far, MiB |\n|---|---|---|---|\n")
    start = _processor_seconds()
    pairs, _ = load_pairs(path)
    _print_step("load_pairs, from jsonl", _processor_seconds() - start, n_pairs, "pairs")
    start = _processor_seconds()
    add_surface_features(pairs)
    _print_step("add_surface_features", _processor_seconds() - start, 2 * n_pairs, "texts")


def _processor_seconds() -> float:
    """Seconds of processors that this process and its ended children used."""
    return sum(os.times()[:4])


def _print_step(name: str, seconds: float, n: int, unit: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(f"| {name} | {seconds:.1f} | {n / seconds:,.0f} {unit}/s | {peak:,} |\n")


def _time_stream(path: Path) -> None:
    from seal_datasets.rewards.loading import processes
    from seal_datasets.rewards.read_once import read_once

    state = processes()
    for name in ("by each process", "once"):
        stream, _ = load_pairs(path, streaming=True)
        state.wait_for_everyone()
        wall, start = time.perf_counter(), time.process_time()
        windows = stream.iter(2048)
        n_rows = sum(len(window["pair_id"]) for window in (read_once(windows) if name == "once" else windows))
        state.wait_for_everyone()
        sys.stdout.write(
            f"read {name}: process {state.process_index} has {n_rows:,} rows, {time.process_time() - start:.1f} s of CPU, "
            f"{time.perf_counter() - wall:.1f} s in all\n"
        )


if __name__ == "__main__":
    main()
