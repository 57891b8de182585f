"""`seal score`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, add_checkpoint_options, add_input_options, add_verb, write_table
from seal_datasets.errors import DataError


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
    _add_compute_options(score)
    add_checkpoint_options(score, precision=None)


def _add_model_options(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME=MODEL",
        help="short name and reward model, may be repeated. MODEL is a Hub id or folder of a sequence classifier; "
        "dpo:POLICY@REFERENCE, the implicit reward of a policy (dpo-length: is its mean over tokens); "
        "served:URL#MODEL, a model served by vLLM; or tei:URL#MODEL, one served by Text Embeddings Inference",
    )
    score.add_argument(
        "--revision",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="branch, tag or commit of the model with that short name; the commit is recorded (default: main)",
    )
    score.add_argument(
        "--over-length",
        choices=["error", "truncate", "skip"],
        default="error",
        help="for texts longer than the model takes: stop, drop the start of the prompt, or leave them unscored "
        "(default: %(default)s)",
    )


def _add_compute_options(score: argparse.ArgumentParser) -> None:
    group = score.add_argument_group("computing")
    group.add_argument(
        "--backend",
        choices=["torch", "openvino"],
        help="library that computes; openvino is for encoders in float32 on a CPU (default: torch)",
    )
    group.add_argument(
        "--tokens-per-batch",
        type=int,
        metavar="N",
        help="tokens per batch, padding included; lower it if memory runs out (default: by device and backend)",
    )
    group.add_argument(
        "--window",
        type=int,
        default=2048,
        metavar="N",
        help="rows that are sorted by length and dealt to processes together (default: %(default)s)",
    )


def _run(options: argparse.Namespace) -> int:
    from datasets import IterableDataset

    from seal_datasets.data.load import load_pairs
    from seal_datasets.endpoints.keys import check_keys
    from seal_datasets.rewards.loading import processes
    from seal_datasets.rewards.open import addresses_of, open_scorer
    from seal_datasets.rewards.options import ModelOptions
    from seal_datasets.rewards.score import add_rewards, reward_columns, write_rewards
    from seal_datasets.rewards.score_store import ScoreStore

    to_folder = options.out.suffix != ".parquet"
    if options.stream and not to_folder:
        raise DataError(
            f"a stream is written to a folder, but --out {str(options.out)!r} names one file; give a folder"
        )
    named, revisions = _parse_assignments(options.model, "MODEL"), _parse_assignments(options.revision, "REVISION")
    for name in named:
        reward_columns(name)  # rejects a bad name before any slow work
    key = os.environ.get("SEAL_SCORER_API_KEY")
    check_keys(addresses_of(named.values()), key)
    state = processes()
    with state.main_process_first():
        pairs, diagnosis = load_pairs(options.data, split=options.split, limit=options.limit, streaming=options.stream)
    if state.is_main_process:
        sys.stderr.write(f"{diagnosis}\n")
    models = {
        name: open_scorer(
            text,
            over_length=options.over_length,
            head=options.head,
            backend=options.backend,
            options=ModelOptions(
                revision=revisions.get(name),
                max_length=options.max_length,
                precision=options.precision or "auto",
                tokens_per_batch=options.tokens_per_batch,
                allow_pickle=options.allow_pickle,
                allow_remote_code=options.allow_remote_code,
            ),
            api_key=key,
        )
        for name, text in named.items()
    }
    folder = options.store or options.out.with_name(f"{options.out.stem}.rewards")
    with ScoreStore(folder, writer=state.process_index) as store:
        if to_folder or isinstance(pairs, IterableDataset):
            files = write_rewards(
                pairs, models, options.out, store=store, window=options.window, rows_per_file=options.rows_per_file
            )
            sys.stdout.write("".join(f"{path}\n" for path in files) if state.is_main_process else "")
            return 0
        pairs = add_rewards(pairs, models, store=store, window=options.window)
    return write_table(pairs, options.out) if state.is_main_process else 0


def _parse_assignments(texts: list[str], what: str) -> dict[str, str]:
    assigned = dict(text.partition("=")[::2] for text in texts)
    if not all(assigned) or not all(assigned.values()):
        example = "post=my/reward-model" if what == "MODEL" else "post=main"
        raise DataError(f"--{what.lower()} takes NAME={what}, e.g. {example}, got {texts}")
    return assigned
