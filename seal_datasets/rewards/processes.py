"""The processes that score together."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def processes() -> PartialState:
    """Which process this is, of how many: on CPUs `accelerate` must be told so, or takes each for the only one."""
    launched_on_cpus = "LOCAL_RANK" in os.environ and not torch.accelerator.is_available()
    return PartialState(cpu=launched_on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU"))
