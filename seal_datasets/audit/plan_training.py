"""The step of a plan that trains a pair of models, timed for a few seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from datasets import Dataset

from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.plan_scoring import Scoring, encode_texts, of_sample, plan_scoring, scoring_with, unmeasured
from seal_datasets.audit.planned import PlannedStep
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.rewards.checkpoint import find_checkpoint, weights_are_here
from seal_datasets.rewards.encoding import Encoder
from seal_datasets.rewards.loading import length_limit, load_backbone
from seal_datasets.rewards.speed import Speed, measure_training, model_bytes
from seal_datasets.rewards.train import (
    TrainingMaterial,
    backbone_path,
    encode_comparisons,
    is_trained,
    training_material,
)

_COMPARISONS = 500  # encoded to measure training
_FORWARD_SHARE = 1 / 3  # of the time of a training step: the backward pass takes twice the time of the forward pass


def plan_training(pairs: Dataset, settings: AuditSettings, out: Path) -> tuple[PlannedStep, list[Scoring]]:
    """Plan the training of a pair of models and the scoring with them.

    Args:
        pairs (`Dataset`): Canonical pairs.
        settings (`AuditSettings`): How to train.
        out (`Path`): Folder of the report; models that were trained there before are used.

    Returns:
        `tuple[PlannedStep, list[Scoring]]`: Training, and scoring with `pre` and `post`.
    """
    material = training_material(pairs, settings.training)
    folders = {name: out / "models" / name for name in ("pre", "post")}
    done = {name: is_trained(folder, material.record) for name, folder in folders.items()}
    n_of = {"pre": len(material.contrasts), "post": len(material.preferences) + len(material.contrasts)}
    epochs = {"pre": settings.training.pre_epochs, "post": settings.training.post_epochs}
    step = PlannedStep(
        "train",
        pairs=len(material.preferences),
        texts=sum(2 * count for count in n_of.values()),
        cached=sum(2 * n_of[name] for name in folders if done[name]),
        tokens=0,
        seconds=0.0,
        disk=0,
        notes=(f"{epochs['pre']} epochs of pre and {epochs['post']} of post, on {settings.training.backbone}",),
    )
    if all(done.values()):
        return step, [plan_scoring(name, str(folder), pairs, settings, out) for name, folder in folders.items()]
    missing = {name: n_of[name] * epochs[name] for name in folders if not done[name]}
    return _plan_new_models(step, material, missing, pairs, settings)


def _plan_new_models(
    step: PlannedStep, material: TrainingMaterial, missing: dict[str, int], pairs: Dataset, settings: AuditSettings
) -> tuple[PlannedStep, list[Scoring]]:
    """Time some steps of training; scoring is a share of it."""
    backbone = backbone_path(settings.training.backbone)
    if not weights_are_here(find_checkpoint(backbone)):
        why = f"tokens, time and weights not measured: the weights of {backbone} are not here"
        step = replace(
            step, tokens=math.nan, seconds=math.nan, memory=math.nan, disk=math.nan, notes=(*step.notes, why)
        )
        return step, [Scoring(unmeasured(f"score {name}", pairs, why)) for name in ("pre", "post")]
    print_progress("Measuring: training")
    tokenizer, model = load_backbone(backbone)
    size = model_bytes(model)
    comparisons = [*material.preferences, *material.contrasts]
    order = np.random.default_rng(settings.seed).permutation(len(comparisons))[:_COMPARISONS]
    sample = encode_comparisons([comparisons[index] for index in order], tokenizer, settings.training.max_length)
    per_pair = sum(len(text.inputs["input_ids"]) for pair in sample for text in pair) / max(1, len(sample))
    speed = measure_training(tokenizer, model, sample, batch_size=settings.training.batch_size)
    tokens = per_pair * sum(missing.values())
    step = replace(
        step,
        tokens=round(tokens),
        seconds=speed.seconds_for(tokens),
        memory=4 * size,  # weights, gradients and the two moments of the optimizer
        disk=size * len(missing),
        notes=(*step.notes, f"{of_sample(len(sample), len(comparisons))}trained {speed}"),
    )
    encoder = Encoder(tokenizer, length_limit(model, tokenizer, None), settings.over_length)
    texts = encode_texts(pairs, encoder)
    forward = Speed(speed.n_texts, speed.n_tokens, speed.seconds * _FORWARD_SHARE, speed.device)
    note = "a forward pass is taken to be a third of a training step"
    return step, [scoring_with(name, texts, set(), size, forward, (note,)) for name in ("pre", "post")]
