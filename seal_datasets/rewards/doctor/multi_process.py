"""The scores that several processes find together, started as a user would start them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.rewards.doctor.probe import Floats

_MODEL = "examined"
_SECONDS = 1800
_OPTIONS = ("max_length", "head", "precision")
_FLAGS = ("allow_pickle", "allow_remote_code")


def launched_rewards(
    name: str, pairs: Dataset, processes: int, loading: Mapping[str, object], device: str
) -> tuple[Floats | None, str]:
    """Score pairs with `seal score` under `accelerate launch`.

    Args:
        name (`str`): The model.
        pairs (`Dataset`): Canonical pairs.
        processes (`int`): Processes to start.
        loading (`Mapping[str, object]`): Arguments of `RewardModel`.
        device (`str`): Type of device that one process uses.

    Returns:
        `tuple[ndarray, str]`: Rewards, chosen and rejected in turn, or `None` and why there are none.
    """
    if device == "cuda" and torch.cuda.device_count() < processes:
        return None, f"{processes} processes need as many GPUs; there are {torch.cuda.device_count()}"
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "pairs.parquet", Path(folder) / "scored.parquet"
        pairs.to_parquet(str(data))
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        command += [
            "--num_machines",
            "1",
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
            "--main_process_port",
            "0",
        ]
        command += ["--multi_gpu"]  # on CPUs too: with --cpu the launcher starts one process, whatever their number
        command += ["-m", "seal_datasets.cli", "score", str(data), "--out", str(out), "--over-length", "truncate"]
        command += ["--model", f"{_MODEL}={name}", *_words(loading)]
        try:
            finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            return None, f"{processes} processes had not finished after {_SECONDS} seconds"
        if finished.returncode or not out.is_file():
            last = next((line for line in reversed(finished.stderr.splitlines()) if line.strip()), "nothing was said")
            return None, f"{processes} processes ended with {finished.returncode}: {last}"
        started = len(
            list(out.with_name("scored.rewards").glob("*.sqlite"))
        )  # each keeps its rewards in a file of its own
        if started != processes:
            return None, f"the launcher started {started} of {processes} processes"
        scored = Dataset.from_parquet(str(out), cache_dir=folder)
        sides = [scored[schema.reward_column(_MODEL, side)][:] for side in schema.SIDES]
    rewards = [np.nan if each is None else each for pair in zip(*sides, strict=True) for each in pair]
    return np.array(rewards, dtype=np.float64), ""


def _words(loading: Mapping[str, object]) -> list[str]:
    words = [f"--revision={_MODEL}={loading['revision']}"] if loading["revision"] else []
    words += [f"--{name.replace('_', '-')}={loading[name]}" for name in _OPTIONS if loading[name] is not None]
    return words + [f"--{name.replace('_', '-')}" for name in _FLAGS if loading[name]]
