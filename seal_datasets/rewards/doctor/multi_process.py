"""Rewards computed by several processes, started as a user starts them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.rewards.doctor.probe import Floats
from seal_datasets.rewards.options import ModelOptions

_MODEL = "examined"
_SECONDS = 1800
_LAUNCH = ("--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0")
_VALUES = ("max_length", "precision", "tokens_per_batch")
_FLAGS = ("merge_system", "allow_pickle", "allow_remote_code")


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start several processes, and how they load the model.

    Attributes:
        processes (`int`): Number of processes.
        head (`int`, *optional*): As for `RewardModel`.
        options (`ModelOptions`): As for `RewardModel`.
        device (`str`): Type of device that one process uses.
    """

    processes: int
    head: int | None
    options: ModelOptions
    device: str


def launched_rewards(name: str, pairs: Dataset, launch: Launch) -> tuple[Floats | None, str]:
    """Score pairs with `seal score` under `accelerate launch`.

    Args:
        name (`str`): The model.
        pairs (`Dataset`): Canonical pairs.
        launch (`Launch`): Number of processes and options of the model.

    Returns:
        `tuple[ndarray, str]`: Rewards, chosen and rejected in turn, or `None` and the reason why there are none.
    """
    processes = launch.processes
    if launch.device == "cuda" and torch.cuda.device_count() < processes:
        return None, f"{processes} processes need as many GPUs; there are {torch.cuda.device_count()}"
    if launch.options.attention is not None or launch.options.pack is not None:
        return None, "`seal score` has no options for attention and pack; leave them out to compare processes"
    if launch.options.device_map is not None:
        return None, "a model that is spread over devices is scored by one process"
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "pairs.parquet", Path(folder) / "scored.parquet"
        pairs.to_parquet(str(data))
        command = [sys.executable, "-m", "accelerate.commands.launch", f"--num_processes={processes}", *_LAUNCH]
        command += ["--multi_gpu"]  # on CPUs too: with --cpu the launcher always starts a single process
        command += ["-m", "seal_datasets.cli", "score", str(data), "--out", str(out), "--over-length", "truncate"]
        command += ["--model", f"{_MODEL}={name}", *_model_arguments(launch.head, launch.options)]
        try:
            finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            return None, f"{processes} processes had not finished after {_SECONDS} seconds"
        if finished.returncode or not out.is_file():
            last = next((line for line in reversed(finished.stderr.splitlines()) if line.strip()), "no message")
            return None, f"{processes} processes exited with code {finished.returncode}: {last}"
        # Each process keeps its rewards in a file of its own.
        started = len(list(out.with_name("scored.rewards").glob("*.sqlite")))
        if started != processes:
            return None, f"the launcher started {started} of {processes} processes"
        scored = Dataset.from_parquet(str(out), cache_dir=folder)
        sides = [scored[schema.reward_column(_MODEL, side)][:] for side in schema.SIDES]
    rewards = [np.nan if reward is None else reward for pair in zip(*sides, strict=True) for reward in pair]
    return np.array(rewards, dtype=np.float64), ""


def _model_arguments(head: int | None, options: ModelOptions) -> list[str]:
    arguments = [f"--revision={_MODEL}={options.revision}"] if options.revision else []
    arguments += [f"--head={head}"] if head is not None else []
    arguments += [f"--{_dashed(name)}={value}" for name in _VALUES if (value := getattr(options, name)) is not None]
    return arguments + [f"--{_dashed(name)}" for name in _FLAGS if getattr(options, name)]


def _dashed(name: str) -> str:
    return name.replace("_", "-")
