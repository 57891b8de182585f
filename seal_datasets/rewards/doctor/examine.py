"""Examine a reward model: every way of scoring a text should give the same score."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.data.demo import demo_path
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards.checkpoint import first_line
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.doctor import checks
from seal_datasets.rewards.doctor.findings import Check, Examination, PrecisionFinding
from seal_datasets.rewards.doctor.multi_process import Launch, launched_rewards
from seal_datasets.rewards.doctor.probe import Floats, score_as_used, score_one_by_one, tolerance
from seal_datasets.rewards.doctor.sanity import sanity_pairs
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.open import kind_of, open_scorer
from seal_datasets.rewards.options import ModelOptions, Precision
from seal_datasets.rewards.scorer import Scorer

DEFAULT_LIMIT = 32
"""Pairs that are scored in every way."""

_JITTER = ("determinism", "batch", "packing", "attention", "processes")
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much an examination covers.

    Attributes:
        limit (`int`, defaults to 32): Pairs whose texts are scored in every way, from the shortest to the longest.
        processes (`int`, defaults to 1): Processes to compare with one, started with `accelerate launch`; 1 skips the
            comparison. Classifiers only.
        short (`bool`, defaults to `False`): Whether to skip other precisions, each of which loads the model again.

    Raises:
        DataError: `limit` or `processes` is below 1.
    """

    limit: int = DEFAULT_LIMIT
    processes: int = 1
    short: bool = False

    def __post_init__(self) -> None:
        if self.limit < 1 or self.processes < 1:
            raise DataError(f"limit and processes must be at least 1, got {self.limit} and {self.processes}")


def examine(
    name_or_path: str | Path,
    pairs: Dataset | None = None,
    *,
    extent: Extent | None = None,
    head: int | None = None,
    options: ModelOptions | None = None,
    api_key: str | None = None,
) -> Examination:
    """Score the same texts in every way, and report how far their scores differ and what to do.

    A classifier is examined in every way. Scores of other kinds of model must be finite, reproducible, and independent
    of the other texts of a batch. Every kind is checked for texts that are too long, and for
    obvious pairs in which it prefers the worse response.

    Args:
        name_or_path (`str` or `Path`): Hub id or folder of a sequence classifier, or another kind as for `open_scorer`.
        pairs (`Dataset`, *optional*): Canonical pairs from `load_pairs`; the embedded preference set when omitted.
        extent (`Extent`, *optional*): Pairs, processes and precisions to compare.
        head (`int`, *optional*): As for `RewardModel`.
        options (`ModelOptions`, *optional*): As for `RewardModel`.
        api_key (`str`, *optional*): Key for a server; it is not stored.

    Returns:
        `Examination`: One result per check, and the measured jitter as `tie_band`.

    Raises:
        ModelError: The model cannot be loaded or used.
        DataError: An option does not apply, or no pair fits into the model.

    Example:

    ```python
    >>> examination = examine("models/post")  # doctest: +SKIP
    >>> examination.failed, examination["batch"].status  # doctest: +SKIP
    ((), 'ok')

    ```
    """
    extent, options, name = extent or Extent(), options or ModelOptions(), str(name_or_path)
    pairs = load_pairs(str(demo_path()))[0] if pairs is None else pairs
    if kind_of(name) == "classifier":
        return _examine_classifier(
            partial(RewardModel, name, over_length="truncate", head=head), options, pairs, extent
        )
    if extent.processes > 1:
        raise DataError(f"several processes are compared for classifiers only; leave processes out for {name!r}")
    model = open_scorer(name, over_length="skip", head=head, options=options, api_key=api_key)
    return _examine_scores(model, name, pairs, extent.limit)


def _examine_classifier(
    load: partial[RewardModel], options: ModelOptions, pairs: Dataset, extent: Extent
) -> Examination:
    """Every check; at most one copy of the model is in memory at a time."""
    (name,) = load.args
    model = load(options=options)
    rows, texts, lengths, unscored = _encoded_texts(model, name, pairs, extent.limit)
    first, second = score_as_used(model, texts), score_as_used(model, texts)
    results = [checks.check_finite(first)]
    obvious = [model.score(pair) for pair in sanity_pairs()]
    packed = first if model.packs else None
    if model.packs:
        del model
        _free_memory()
        model = load(options=replace(options, pack=False))
    inputs = [text.inputs for text in texts]
    rewards = score_one_by_one(model, inputs)
    sample = checks.Sample(inputs, rewards, tolerance(rewards, model.model.dtype))
    truncation, shares = checks.check_truncation(lengths, model.encoder.max_length, unscored)
    results += [
        checks.check_determinism(first, second, sample.tolerance),
        checks.check_batch(model, sample),
        checks.check_padding(model, sample),
        checks.check_packing(model, packed, sample),
        checks.check_bos(model, sample),
        checks.check_end(model, sample),
        checks.check_attention(model, sample),
        checks.check_template(model),
        truncation,
        checks.check_sanity([(better, worse) for better, worse in obvious]),
    ]
    if extent.processes > 1:
        launch = Launch(extent.processes, load.keywords["head"], options, model.device.type)
        shared, why_not = launched_rewards(name, pairs.select(rows), launch)
        results.append(checks.check_processes(extent.processes, shared, first, sample.tolerance, why_not))
    provenance, example = model.provenance(), model.encoder.render(sanity_pairs()[0][0])
    precisions: dict[str, PrecisionFinding] = {}
    if not extent.short:
        own, device = str(model.model.dtype).removeprefix("torch."), model.device
        del model
        _free_memory()
        check, precisions = _compare_precisions(load, options, sample, own, device)
        results.append(check)
    return Examination(
        model=provenance,
        n_pairs=sample.n_pairs,
        n_measured=len(lengths) // 2,
        checks=tuple(results),
        tie_band=_jitter(results, sample.tolerance),
        tolerance=sample.tolerance,
        precisions=precisions,
        truncation=shares,
        example=example,
        template_hash=_template_hash(provenance),
    )


def _examine_scores(model: Scorer, name: str, pairs: Dataset, limit: int) -> Examination:
    """The checks that need only scores."""
    _, texts, lengths, unscored = _encoded_texts(model, name, pairs, limit)
    first, second = score_as_used(model, texts), score_as_used(model, texts)
    single = np.concatenate([score_as_used(model, [text]) for text in texts])
    provenance = model.provenance()
    dtype = getattr(torch, str(provenance["dtype"]), torch.float32)
    allowed = tolerance(single, dtype if isinstance(dtype, torch.dtype) else torch.float32)
    truncation, shares = checks.check_truncation(lengths, model.encoder.max_length, unscored)
    results = [
        checks.check_finite(first),
        checks.check_determinism(first, second, allowed),
        checks.check_alone(single, first, allowed),
        checks.check_template(model),
        truncation,
        checks.check_sanity([(better, worse) for better, worse in (model.score(pair) for pair in sanity_pairs())]),
    ]
    return Examination(
        model=provenance,
        n_pairs=len(texts) // 2,
        n_measured=len(lengths) // 2,
        checks=tuple(results),
        tie_band=_jitter(results, allowed),
        tolerance=allowed,
        precisions={},
        truncation=shares,
        example=model.encoder.render(sanity_pairs()[0][0]),
        template_hash=_template_hash(provenance),
    )


def _template_hash(provenance: Mapping[str, object]) -> str | None:
    template_hash = provenance["template_hash"]
    return template_hash if isinstance(template_hash, str) else None


def _encoded_texts(
    model: Scorer, name: str, pairs: Dataset, limit: int
) -> tuple[list[int], list[Encoded], list[int], Counter[str]]:
    """The rows to score and their encoded texts by length; the tokens of every text, and statuses of those left out."""
    texts: list[Exchange] = []
    rows = []
    for index, row in enumerate(pairs):
        chosen, rejected = (exchange(row, side) for side in schema.SIDES)
        if chosen is not None and rejected is not None:
            rows.append(index)
            texts += [chosen, rejected]
    encoded = model.encode(texts)
    lengths = [text.n_tokens for text in encoded]
    fitting = [
        (row, chosen, rejected)
        for row, chosen, rejected in zip(rows, encoded[::2], encoded[1::2], strict=True)
        if chosen.inputs and rejected.inputs
    ]
    if not fitting:
        raise DataError(f"none of the {len(pairs)} pairs has two texts that fit into {name!r}; give others")
    fitting.sort(key=lambda pair: max(text.n_tokens for text in pair[1:]))
    positions = sorted({round(position) for position in np.linspace(0, len(fitting) - 1, min(limit, len(fitting)))})
    sampled = [fitting[position] for position in positions]
    unscored = Counter[str](text.status for text in encoded if not text.inputs)
    return [row for row, *_ in sampled], [text for _, *pair in sampled for text in pair], lengths, unscored


def _compare_precisions(
    load: partial[RewardModel], options: ModelOptions, sample: checks.Sample, own: str, device: torch.device
) -> tuple[Check, dict[str, PrecisionFinding]]:
    """Load the model in each precision in turn, and score."""
    rewards: dict[str, Floats] = {own: sample.rewards}
    unsupported: dict[str, str] = {}
    for precision in _PRECISIONS:
        if precision == own:
            continue
        try:
            rewards[precision] = _scores_in(load, options, precision, sample)
        except (RuntimeError, ModelError) as error:  # of an operation, of memory, or of weights that overflow
            unsupported[precision] = f"{first_line(error)} (on {device.type})"
        _free_memory()
    return checks.check_precision(own, rewards, unsupported)


def _scores_in(
    load: partial[RewardModel], options: ModelOptions, precision: Precision, sample: checks.Sample
) -> Floats:
    """Scores in one precision; the model is freed on return."""
    return score_one_by_one(load(options=replace(options, pack=False, precision=precision)), sample.texts)


def _jitter(results: Sequence[Check], allowed: float) -> float:
    """Largest difference between two ways of scoring in use; padding at the left is not in use."""
    sizes = [check.largest_difference for check in results if check.name in _JITTER]
    sizes += [
        check.largest_difference
        for check in results
        if check.name == "padding" and (check.largest_difference or 0.0) <= allowed
    ]
    return max((size for size in sizes if size is not None and np.isfinite(size)), default=0.0)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
