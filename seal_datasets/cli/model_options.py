"""Options that say how reward models are loaded and run, for every verb that runs one."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from seal_datasets.rewards.options import ModelOptions


def add_checkpoint_options(parser: argparse.ArgumentParser, *, precision: str | None, max_length: bool = True) -> None:
    """Add the options that say how to load a reward model.

    Args:
        parser (`ArgumentParser`): The verb's.
        precision (`str`, *optional*): The default of --precision.
        max_length (`bool`, defaults to `True`): Whether to add --max-length; an audit has it for training too.
    """
    group = parser.add_argument_group("loading the model")
    if max_length:
        group.add_argument(
            "--max-length", type=int, metavar="TOKENS", help="tokens per text (default: the most that the model takes)"
        )
    group.add_argument(
        "--head", type=int, metavar="N", help="output that is the reward; needed if the model has several"
    )
    group.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16", "float16"],
        default=precision,
        help="type of the weights (default: the checkpoint's own)",
    )
    group.add_argument(
        "--device-map",
        choices=["auto"],
        help="auto spreads a model too large for one GPU over all GPUs and memory (default: one device)",
    )
    group.add_argument(
        "--merge-system",
        action="store_true",
        help="where the chat template refuses a system turn or two turns of one role, merge them into one user turn",
    )
    group.add_argument("--allow-pickle", action="store_true", help="read weights from pickle files, which can run code")
    group.add_argument("--allow-remote-code", action="store_true", help="run Python code that comes with the model")


def add_compute_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say how rewards are computed, and return their group."""
    group = parser.add_argument_group("computing")
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
    return group


def add_revision_option(parser: argparse._ActionsContainer) -> None:
    """Add the option that names revisions by a model's short name."""
    parser.add_argument(
        "--revision",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="branch, tag or commit of the model with that short name; the commit is recorded (default: main)",
    )


def model_options(options: argparse.Namespace, *, revision: str | None, max_length: int | None) -> ModelOptions:
    """How to load and run a model, from `add_checkpoint_options` and `add_compute_options`."""
    from seal_datasets.rewards.options import ModelOptions

    return ModelOptions(
        revision=revision,
        max_length=max_length,
        precision=options.precision or "auto",
        tokens_per_batch=getattr(options, "tokens_per_batch", None),
        device_map=options.device_map,
        merge_system=options.merge_system,
        allow_pickle=options.allow_pickle,
        allow_remote_code=options.allow_remote_code,
    )


def parse_assignments(texts: list[str], what: str) -> dict[str, str]:
    """Values by name, from texts such as `post=my/reward-model`; `what` is the option's own word for a value."""
    given = [text.partition("=")[::2] for text in texts]
    assigned = dict(given)
    if len(assigned) < len(given):
        names = [name for name, _ in given]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"--{what.lower()} gives {twice!r} more than once; give each model a name of its own")
    if not all(assigned) or not all(assigned.values()):
        example = {"MODEL": "post=my/reward-model", "REWARDS": "post=score_chosen,score_rejected"}.get(
            what, "post=main"
        )
        raise DataError(f"--{what.lower()} takes NAME={what}, e.g. {example}, got {texts}")
    return assigned


def named_models(texts: list[str]) -> dict[str, str]:
    """Models by short name, from texts such as `post=my/rm`; without a name it is made from the id."""
    from seal_datasets.audit.given_models import name_of

    return parse_assignments(
        [text if re.match(r"[^/:=]+=", text) else f"{name_of(text)}={text}" for text in texts], "MODEL"
    )


def known_revisions(texts: list[str], names: list[str]) -> dict[str, str]:
    """Revisions by a model's short name, each of a model that was given."""
    revisions = parse_assignments(texts, "REVISION")
    if unknown := sorted(set(revisions) - set(names)):
        raise DataError(f"--revision names {unknown[0]!r}, and the models given are {names}; use one of their names")
    return revisions
