"""The processes that score together."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def processes() -> PartialState:
    """Which process this is, and of how many: on CPUs `accelerate` has to be told that they are, or takes itself to be alone."""
    launched_on_cpus = "LOCAL_RANK" in os.environ and not torch.accelerator.is_available()
    return PartialState(cpu=launched_on_cpus or parse_flag_from_env("ACCELERATE_USE_CPU"))
