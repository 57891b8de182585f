"""`seal train-pair`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seal_datasets.cli.options import (
    Verbs,
    add_input_options,
    add_seed_option,
    add_training_options,
    add_verb,
    load_table,
    training_settings,
)


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    train = add_verb(
        verbs,
        "train-pair",
        _run,
        "train a pre- and a post-training reward model on preference data",
        "seal train-pair pairs.jsonl --out models",
    )
    add_input_options(train)
    train.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder for the two models, pre/ and post/"
    )
    add_seed_option(train)
    add_training_options(train)


def _run(options: argparse.Namespace) -> int:
    from seal_datasets.rewards.train import measure_pair, train_pair
    from seal_datasets.rewards.training_settings import TrainingSettings

    pairs = load_table(options)
    trained = train_pair(pairs, options.out, training_settings(options, TrainingSettings()))
    for part, accuracies in measure_pair(pairs, trained).items():
        for name, accuracy in accuracies.items():
            low, high = (1.0 - bound for bound in reversed(accuracy.confidence_interval))
            sys.stderr.write(
                f"{name}, {'held-out' if part == 'heldout' else 'training'} pairs ({accuracy.n_pairs:,}): prefers the chosen "
                f"response in {accuracy.alignment_score:.1%} ({low:.1%} to {high:.1%})\n"
            )
    sys.stdout.write(f"{trained.pre}\n{trained.post}\n")
    return 0
