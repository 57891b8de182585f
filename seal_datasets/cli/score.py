"""`seal score`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.cli.model_options import (
    add_checkpoint_options,
    add_compute_options,
    add_revision_option,
    known_revisions,
    model_options,
    parse_assignments,
)
from seal_datasets.cli.options import Verbs, add_input_options, add_verb, write_table
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from seal_datasets.data.diagnosis import Diagnosis
    from seal_datasets.rewards.scorer import Scorer


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    score = add_verb(
        verbs,
        "score",
        _run,
        "add the scores of reward models",
        "seal score labelled.parquet --model pre=my/rm-before --model post=my/rm-after --out scored.parquet",
        "seal score labelled.parquet --model post=dpo:my/policy@my/reference --out scored.parquet",
        "seal score labelled.parquet --model post=served:http://localhost:8000#my/rm --out scored.parquet",
        "seal score Anthropic/hh-rlhf --split train --stream --model post=my/rm --out scored/",
        "accelerate launch -m seal_datasets.cli score labelled.parquet --model post=my/rm \\\n"
        "      --out scored.parquet                     # on several processes",
        note="Keys of served models are read from SEAL_SCORER_API_KEY. For several services,\n"
        "set it to ADDRESS=KEY pairs, separated by spaces.",
        common="data --split --limit --stream --model --over-length --max-length --precision --out",
    )
    add_input_options(score)
    score.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="Parquet file to write, or a folder for several Parquet files",
    )
    score.add_argument(
        "--stream",
        action="store_true",
        help="read the data as a stream, one window of rows at a time; --out must be a folder",
    )
    score.add_argument(
        "--rows-per-file",
        type=int,
        default=100_000,
        metavar="N",
        help="rows per file if --out is a folder (default: %(default)s)",
    )
    score.add_argument(
        "--store",
        type=Path,
        metavar="FOLDER",
        help="cache of rewards, with which a re-run resumes (default: next to the output)",
    )
    _add_model_options(score)
    add_compute_options(score).add_argument(
        "--window",
        type=int,
        default=2048,
        metavar="N",
        help="rows that are sorted by length and dealt to processes together (default: %(default)s)",
    )
    add_checkpoint_options(score, precision=None)


def _add_model_options(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME=MODEL",
        help="short name and reward model, may be repeated. MODEL is a Hub id or folder of a sequence classifier; "
        "dpo:POLICY@REFERENCE, the implicit reward of a policy (dpo-length: is its mean over tokens); "
        "served:URL#MODEL, a model served by vLLM; sglang:URL#MODEL, by SGLang; or tei:URL#MODEL, by Text Embeddings "
        "Inference. Adapters made with PEFT are taken wherever a model is",
    )
    add_revision_option(score)
    score.add_argument(
        "--over-length",
        choices=["error", "truncate", "skip"],
        default="error",
        help="for texts longer than the model takes: stop, drop the start of the prompt, or leave them unscored "
        "(default: %(default)s)",
    )


def _run(options: argparse.Namespace) -> int:
    from datasets import IterableDataset

    from seal_datasets.endpoints.keys import check_keys
    from seal_datasets.rewards.loading import processes
    from seal_datasets.rewards.open import addresses_of, open_scorer
    from seal_datasets.rewards.score import add_rewards, reward_columns, write_rewards
    from seal_datasets.rewards.score_store import ScoreStore

    to_folder = options.out.suffix != ".parquet"
    if options.stream and not to_folder:
        raise DataError(
            f"a stream is written to a folder, but --out {str(options.out)!r} names one file; give a folder"
        )
    named = parse_assignments(options.model, "MODEL")
    revisions = known_revisions(options.revision, list(named))
    for name in named:
        reward_columns(name)  # rejects a bad name before any slow work
    key = os.environ.get("SEAL_SCORER_API_KEY")
    check_keys(addresses_of(named.values()), key)
    state = processes()
    pairs, diagnosis, dealt = _load(options)
    if state.is_main_process:
        sys.stderr.write(f"{diagnosis}\n")
    models = {
        name: open_scorer(
            text,
            over_length=options.over_length,
            head=options.head,
            backend=options.backend,
            options=model_options(options, revision=revisions.get(name), max_length=options.max_length),
            api_key=key,
        )
        for name, text in named.items()
    }
    notes = [f"{name}: note: {note}\n" for name, model in models.items() for note in model.notes]
    sys.stderr.write("".join(notes) if state.is_main_process else "")
    folder = options.store or options.out.with_name(f"{options.out.stem}.rewards")
    with ScoreStore(folder, writer=state.process_index) as store:
        if to_folder or isinstance(pairs, IterableDataset):
            how = {"window": options.window, "rows_per_file": options.rows_per_file, "dealt": dealt}
            files = write_rewards(pairs, models, options.out, store=store, **how)
            sys.stdout.write("".join(f"{path}\n" for path in files) if state.is_main_process else "")
            return _print_counts(files, models) if state.is_main_process else 0
        pairs = add_rewards(pairs, models, store=store, window=options.window)
    if not state.is_main_process:
        return 0
    write_table(pairs, options.out)
    return _print_counts(pairs, models)


def _load(options: argparse.Namespace) -> tuple[Dataset | IterableDataset, Diagnosis, bool]:
    """The pairs, and whether a stream is dealt: whether they are only those of this process."""
    from seal_datasets.data.deal import NotDealtError
    from seal_datasets.data.load import load_pairs
    from seal_datasets.rewards.dealt import can_deal
    from seal_datasets.rewards.loading import processes

    state = processes()
    how = {"split": options.split, "limit": options.limit}
    part = None
    if options.stream and options.limit is None and can_deal(options.out):
        part = (state.process_index, state.num_processes)
    with state.main_process_first():
        if part is not None:
            try:
                return *load_pairs(options.data, streaming=part, **how), True
            except NotDealtError:
                pass  # one process reads for all
        return *load_pairs(options.data, streaming=options.stream, **how), False


def _print_counts(scored: Dataset | list[Path], models: Mapping[str, Scorer]) -> int:
    """Say how many texts have a reward, and why others have none; 1 where a model gave none at all."""
    from seal_datasets.rewards.counts import count_statuses, describe_counts, n_rewarded

    counts = {name: count_statuses(scored, name) for name in models}
    for name in models:
        sys.stderr.write(f"{describe_counts(name, counts[name], models)}\n")
    return 1 if any(each and not n_rewarded(each) for each in counts.values()) else 0
