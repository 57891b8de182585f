"""Examine a reward model: every way in which a text may be scored should give it one score."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.data.demo import demo_path
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.doctor import checks
from seal_datasets.rewards.doctor.findings import Check, Examination, PrecisionFinding
from seal_datasets.rewards.doctor.multi_process import launched_rewards
from seal_datasets.rewards.doctor.probe import Floats, alone, as_scored, tolerance
from seal_datasets.rewards.doctor.sanity import sanity_pairs
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.loading import Precision
from seal_datasets.rewards.open import kind_of, open_scorer
from seal_datasets.rewards.scorer import Scorer

DEFAULT_LIMIT = 32
"""Pairs that are scored in every way."""

_JITTER = ("determinism", "batch", "packing", "attention", "processes")
_SIXTEEN_BITS: tuple[Precision, ...] = ("bfloat16", "float16")


def examine(
    name_or_path: str | Path,
    pairs: Dataset | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    processes: int = 1,
    short: bool = False,
    revision: str | None = None,
    max_length: int | None = None,
    head: int | None = None,
    precision: Precision = "auto",
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
    api_key: str | None = None,
) -> Examination:
    """Score the same texts in every way a scorer may, and say how far their scores move and what to do.

    A classifier is examined in every way. Of other kinds only scores are asked for: whether they are finite, the same a second
    time, and the same of a text by itself; which texts are too long; and whether obviously better responses are preferred.

    Args:
        name_or_path (`str` or `Path`): Sequence classifier, a Hub id or local folder, or another kind as for `open_scorer`.
        pairs (`Dataset`, *optional*): Canonical pairs from `load_pairs`; the embedded preference set when omitted.
        limit (`int`, defaults to 32): Pairs whose texts are scored in every way, from the shortest to the longest.
        processes (`int`, defaults to 1): Processes to compare with one, started with `accelerate launch`; 1 leaves this out.
            Classifiers only.
        short (`bool`, defaults to `False`): Whether to leave out other precisions, which are loaded one by one.
        revision (`str`, *optional*): As for `RewardModel`.
        max_length (`int`, *optional*): As for `RewardModel`.
        head (`int`, *optional*): As for `RewardModel`.
        precision (`str`, defaults to `"auto"`): As for `RewardModel`.
        allow_pickle (`bool`, defaults to `False`): As for `RewardModel`.
        allow_remote_code (`bool`, defaults to `False`): As for `RewardModel`.
        api_key (`str`, *optional*): Key for a server; written nowhere.

    Returns:
        `Examination`: A check each, and the measured jitter as `tie_band`.

    Raises:
        ModelError: The model cannot be loaded or used.
        DataError: An option is out of range, or no pair fits into the model.

    Example:

    ```python
    >>> found = examine("models/post")  # doctest: +SKIP
    >>> found.failed, found["batch"].status  # doctest: +SKIP
    ((), 'ok')

    ```
    """
    if limit < 1 or processes < 1:
        raise DataError(f"limit and processes must be at least 1, got {limit} and {processes}")
    loading: dict[str, Any] = {
        "revision": revision,
        "max_length": max_length,
        "head": head,
        "precision": precision,
        "allow_pickle": allow_pickle,
        "allow_remote_code": allow_remote_code,
    }
    name = str(name_or_path)
    pairs = load_pairs(str(demo_path()))[0] if pairs is None else pairs
    if kind_of(name) != "classifier":
        if processes > 1:
            raise DataError(f"several processes are compared for classifiers only; leave processes out for {name!r}")
        loading["precision"] = None if precision == "auto" else precision
        return _by_scores(open_scorer(name, over_length="skip", api_key=api_key, **loading), name, pairs, limit)
    model = RewardModel(name, over_length="truncate", **loading)
    rows, texts, lengths = _texts(model, name, pairs, limit)
    scored, again = as_scored(model, texts), as_scored(model, texts)
    made = [checks.check_finite(scored)]
    obvious = [model.score(pair) for pair in sanity_pairs()]
    packed = scored if model.packs else None
    if model.packs:
        del model
        _free()
        model = RewardModel(name, over_length="truncate", pack=False, **loading)
    inputs = [each.inputs for each in texts]
    rewards = alone(model, inputs)
    sample = checks.Sample(inputs, rewards, tolerance(rewards, model.model.dtype))
    truncation, shares = checks.check_truncation(lengths, model.encoder.max_length)
    made += [
        checks.check_determinism(scored, again, sample.tolerance),
        checks.check_batch(model, sample),
        checks.check_padding(model, sample),
        checks.check_packing(model, packed, sample),
        checks.check_bos(model, sample),
        checks.check_end(model, sample),
        checks.check_attention(model, sample),
        truncation,
        checks.check_sanity([(better, worse) for better, worse in obvious]),
    ]
    if processes > 1:
        shared, why_not = launched_rewards(name, pairs.select(rows), processes, loading, model.device.type)
        made.append(checks.check_processes(processes, shared, scored, sample.tolerance, why_not))
    about, example = model.provenance(), model.encoder.render(sanity_pairs()[0][0])
    precisions: dict[str, PrecisionFinding] = {}
    if not short:
        own, device = str(model.model.dtype).removeprefix("torch."), model.device
        del model
        _free()
        check, precisions = _precisions(name, inputs, rewards, own, device, loading)
        made.append(check)
    return Examination(
        about,
        sample.n_pairs,
        len(lengths) // 2,
        tuple(made),
        _jitter(made, sample.tolerance),
        sample.tolerance,
        precisions,
        shares,
        example,
        about["template_hash"] if isinstance(about["template_hash"], str) else None,
    )


def _by_scores(model: Scorer, name: str, pairs: Dataset, limit: int) -> Examination:
    """The checks that ask a model for nothing but scores."""
    _, texts, lengths = _texts(model, name, pairs, limit)
    scored, again = as_scored(model, texts), as_scored(model, texts)
    single = np.concatenate([as_scored(model, [each]) for each in texts])
    about = model.provenance()
    kind = getattr(torch, str(about["dtype"]), torch.float32)
    allowed = tolerance(single, kind if isinstance(kind, torch.dtype) else torch.float32)
    truncation, shares = checks.check_truncation(lengths, model.encoder.max_length)
    made = [
        checks.check_finite(scored),
        checks.check_determinism(scored, again, allowed),
        checks.check_alone(single, scored, allowed),
        truncation,
        checks.check_sanity([(better, worse) for better, worse in (model.score(pair) for pair in sanity_pairs())]),
    ]
    template = about["template_hash"]
    return Examination(
        about,
        len(texts) // 2,
        len(lengths) // 2,
        tuple(made),
        _jitter(made, allowed),
        allowed,
        {},
        shares,
        model.encoder.render(sanity_pairs()[0][0]),
        template if isinstance(template, str) else None,
    )


def _texts(model: Scorer, name: str, pairs: Dataset, limit: int) -> tuple[list[int], list[Encoded], list[int]]:
    """The rows to score and their texts encoded, from the shortest to the longest, and the tokens of every text."""
    whole = [
        (index, found)
        for index, row in enumerate(pairs)
        if all(found := [each for side in schema.SIDES if (each := exchange(row, side)) is not None])
        and len(found) == len(schema.SIDES)
    ]
    encoded = model.encode([text for _, texts in whole for text in texts])
    lengths = [each.n_tokens for each in encoded]
    both = [
        (index, encoded[2 * place : 2 * place + 2])
        for place, (index, _) in enumerate(whole)
        if all(each.inputs for each in encoded[2 * place : 2 * place + 2])
    ]
    if not both:
        raise DataError(f"none of the {len(pairs)} pairs has two texts that fit into {name!r}; give others")
    both.sort(key=lambda each: max(text.n_tokens for text in each[1]))
    places = sorted({round(each) for each in np.linspace(0, len(both) - 1, min(limit, len(both)))})
    chosen = [both[place] for place in places]
    return [index for index, _ in chosen], [text for _, texts in chosen for text in texts], lengths


def _precisions(
    name: str,
    inputs: Sequence[dict[str, list[int]]],
    rewards: Floats,
    own: str,
    device: torch.device,
    loading: dict[str, Any],
) -> tuple[Check, dict[str, PrecisionFinding]]:
    """Load the model in each precision in turn, and score."""
    found: dict[str, Floats] = {own: rewards}
    unsupported: dict[str, str] = {}
    for precision in ("float32", *_SIXTEEN_BITS):
        if precision == own:
            continue
        model = RewardModel(name, over_length="truncate", pack=False, **{**loading, "precision": precision})
        try:
            found[precision] = alone(model, inputs)
        except RuntimeError as error:
            unsupported[precision] = f"{str(error).splitlines()[0]} (on {device.type})"
        del model
        _free()
    return checks.check_precision(own, found, unsupported)


def _jitter(made: Sequence[Check], allowed: float) -> float:
    """Largest difference between ways that scores are made in; a side on which we never pad is none of them."""
    sizes = [each.largest_difference for each in made if each.name in _JITTER]
    sizes += [
        each.largest_difference
        for each in made
        if each.name == "padding" and (each.largest_difference or 0.0) <= allowed
    ]
    return max((each for each in sizes if each is not None and np.isfinite(each)), default=0.0)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
