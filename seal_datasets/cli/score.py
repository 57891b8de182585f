"""`seal score`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from seal_datasets.cli.options import Verbs, verb, write
from seal_datasets.errors import DataError


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    score = verb(
        verbs,
        "score",
        _run,
        "add reward models' scores; runs under `accelerate launch` too",
        "seal score labelled.parquet --model pre=my/rm-before --model post=my/rm-after --out scored.parquet",
        "seal score labelled.parquet --model post=dpo:my/policy@my/reference --out scored.parquet",
        "seal score labelled.parquet --model post=served:http://localhost:8000#my/rm --out scored.parquet",
        "seal score Anthropic/hh-rlhf --split train --stream --model post=my/rm --out scored/   # any number of rows",
        "accelerate launch -m seal_datasets.cli score labelled.parquet --model post=my/rm --out scored.parquet",
    )
    score.add_argument("data", help="as for audit; a table written by an earlier verb keeps its columns")
    score.add_argument("--split", help="split of a dataset with several")
    score.add_argument("--limit", type=int, help="take this many pairs")
    score.add_argument("--out", type=Path, required=True, help="Parquet file to write, or a folder of Parquet files")
    score.add_argument(
        "--stream",
        action="store_true",
        help="read the data as a stream, holding a window of rows at a time; --out is a folder",
    )
    score.add_argument(
        "--rows-per-file", type=int, default=100_000, help="rows of each file of a folder (default: %(default)s)"
    )
    score.add_argument(
        "--store",
        type=Path,
        help="folder where rewards are kept as they come, so that a run that is stopped "
        "goes on (default: beside the output)",
    )
    score.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME=MODEL",
        help="short name and reward model: a Hub id or folder of a sequence classifier, e.g. post=my/rm; "
        "dpo:POLICY@REFERENCE for the implicit reward of a policy (dpo-length: for its mean over tokens); "
        "served:URL#MODEL for one behind vLLM, tei:URL#MODEL behind Text Embeddings Inference, with a key, if "
        "they need one, in SEAL_SCORER_API_KEY (ADDRESS=KEY for each where they are of several services, with "
        "blanks between); may be repeated",
    )
    score.add_argument(
        "--revision",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="branch, tag or commit of a model on the Hub; the commit is recorded",
    )
    score.add_argument(
        "--over-length",
        choices=["error", "truncate", "skip"],
        default="error",
        help="texts longer than the model takes (default: %(default)s)",
    )
    score.add_argument("--max-length", type=int, help="tokens per text (default: what the model takes)")
    score.add_argument("--head", type=int, help="which output of a model with several is the reward")
    score.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="type of the weights (default: the checkpoint's own)",
    )
    score.add_argument(
        "--tokens-per-batch", type=int, help="tokens of a batch, padding included; fewer where memory runs out"
    )
    score.add_argument(
        "--window",
        type=int,
        default=2048,
        help="rows within which texts are sorted by length and dealt to processes (default: %(default)s)",
    )
    score.add_argument(
        "--backend",
        choices=["torch", "openvino"],
        help="what computes; openvino is for encoders in float32 on a CPU (default: torch)",
    )
    score.add_argument("--allow-pickle", action="store_true", help="read weights from pickle files, which can run code")
    score.add_argument("--allow-remote-code", action="store_true", help="run code that comes with the model")


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
        raise DataError(f"a stream is written as a folder of files; {str(options.out)!r} names one file")
    named, revisions = _assignments(options.model, "MODEL"), _assignments(options.revision, "REVISION")
    for name in named:
        reward_columns(name)  # before anything takes long
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
    return write(pairs, options.out) if state.is_main_process else 0


def _assignments(given: list[str], what: str) -> dict[str, str]:
    parts = dict(each.partition("=")[::2] for each in given)
    if not all(parts) or not all(parts.values()):
        raise DataError(f"--{what.lower()} takes NAME={what}, e.g. post=my/reward-model, got {given}")
    return parts
