"""`seal score`."""

from __future__ import annotations

import argparse
import sys

from seal_datasets.cli.options import Verbs, table_options, verb, write
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    score = verb(verbs, "score", _run, "add a reward model's scores; runs under `accelerate launch` too",
                  "seal score labelled.parquet --model pre=my/rm-before --model post=my/rm-after --out scored.parquet",
                  "accelerate launch scripts/score.py labelled.parquet --model post=my/rm --out scored.parquet")  # fmt: skip
    table_options(score)
    score.add_argument("--model", action="append", required=True, metavar="NAME=MODEL",
                       help="short name and Hub id or folder, e.g. post=my/reward-model; may be repeated")  # fmt: skip
    score.add_argument("--over-length", choices=["error", "truncate", "skip"], default="error",
                       help="texts longer than the model takes (default: %(default)s)")  # fmt: skip
    score.add_argument("--batch-size", type=int, default=16, help="texts per forward pass (default: %(default)s)")
    score.add_argument("--allow-pickle", action="store_true", help="read weights from pickle files, which can run code")


def _run(options: argparse.Namespace) -> int:
    from accelerate import PartialState

    from seal_datasets.load import load_pairs
    from seal_datasets.reward_model import RewardModel
    from seal_datasets.score import add_rewards

    models = dict(named.partition("=")[::2] for named in options.model)
    if not all(models) or not all(models.values()):
        raise DataError(f"--model takes NAME=MODEL, e.g. post=my/reward-model, got {options.model}")
    state = PartialState()
    with state.main_process_first():
        pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    if state.is_main_process:
        sys.stderr.write(f"{diagnosis}\n")
    for name, path in models.items():
        model = RewardModel(
            path, over_length=options.over_length, batch_size=options.batch_size, allow_pickle=options.allow_pickle
        )
        pairs = add_rewards(pairs, model, name=name)
    return write(pairs, options.out) if state.is_main_process else 0
