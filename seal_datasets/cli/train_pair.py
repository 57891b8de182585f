"""`seal train-pair`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, training_options, training_settings, verb


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    train = verb(
        verbs,
        "train-pair",
        _run,
        "train a pre- and a post-training reward model on a dataset",
        "seal train-pair pairs.jsonl --out models",
    )
    train.add_argument("data", help="as for audit")
    train.add_argument("--split", help="split of a dataset with several")
    train.add_argument("--limit", type=int, help="take this many pairs")
    train.add_argument("--out", type=Path, required=True, help="folder for pre/ and post/")
    training_options(train)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.data.load import load_pairs
    from seal_datasets.rewards.train import TrainingSettings, measure_pair, train_pair

    pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit)
    sys.stderr.write(f"{diagnosis}\n")
    trained = train_pair(pairs, options.out, training_settings(options, TrainingSettings()))
    for part, found in measure_pair(pairs, trained).items():
        for name, accuracy in found.items():
            low, high = (1.0 - bound for bound in reversed(accuracy.cluster_interval or accuracy.confidence_interval))
            sys.stderr.write(
                f"{name}, {'held-out' if part == 'heldout' else 'training'} pairs ({accuracy.n_pairs:,}): prefers the chosen "
                f"response in {accuracy.alignment_score:.1%} ({low:.1%} to {high:.1%})\n"
            )
    sys.stdout.write(f"{trained.pre}\n{trained.post}\n")
    return 0
