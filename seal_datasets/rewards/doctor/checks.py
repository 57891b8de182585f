"""The checks of a model in memory, one function per check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.doctor.findings import Check, CheckStatus, PrecisionFinding
from seal_datasets.rewards.doctor.probe import (
    Floats,
    Inputs,
    count_every_token,
    largest,
    score_one_by_one,
    score_padded,
    use_attention,
)
from seal_datasets.rewards.scorer import Scored, Scorer

BATCH = 8
"""Texts per batch in the checks that pad."""

SANITY_BOUND = 0.75
"""Least share of sanity pairs in which a reward model must prefer the better response."""

FLIPS_ALLOWED = 0.05
"""Largest share of pairs whose preferred response may change in a safe precision."""

LENGTHS = (256, 512, 1024, 2048, 4096)
"""Lengths, in tokens, for which the share of longer texts is reported, besides the model's limit."""

_INVERTED = 0.1
_UNPADDED = "nothing is padded: texts are scored packed, or each by itself"


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts that are scored in every way.

    Attributes:
        texts (`list[dict[str, list[int]]]`): Encoded: chosen and rejected response of the first pair, of the second and so on.
        rewards (`ndarray` of shape (n,)): Reward of each text scored alone.
        tolerance (`float`): Largest difference of two rewards that passes.
    """

    texts: list[Inputs]
    rewards: Floats
    tolerance: float

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.texts) // 2


def check_finite(rewards: Floats) -> Check:
    """Check that every score is finite, and that the scores are not all equal."""
    n_bad = int((~np.isfinite(rewards)).sum())
    if n_bad:
        return Check(
            "finite",
            "failed",
            None,
            f"{n_bad} of {len(rewards)} scores are not finite",
            "look for nan in the weights, or use float32",
        )
    if len(rewards) > 2 and float(np.ptp(rewards)) == 0.0:
        return Check(
            "finite",
            "failed",
            None,
            f"all {len(rewards)} texts have the score {rewards[0]:g}",
            "the head does not depend on the text; check that the weights are those that were trained",
        )
    return Check("finite", "ok", None, f"{len(rewards)} scores from {rewards.min():.4g} to {rewards.max():.4g}")


def check_determinism(first: Floats, second: Floats, tolerance: float) -> Check:
    """Check that scoring the same texts twice gives the same scores."""
    return _compared(
        "determinism",
        largest(first, second),
        tolerance,
        "the same texts scored twice",
        "something random is left in the model, e.g. dropout in its own code",
    )


def check_batch(model: RewardModel, sample: Sample) -> Check:
    """Check that a text's score does not depend on the other texts of its batch."""
    if not model.pads:
        return Check("batch", "not_applicable", None, _UNPADDED)
    order = _mixed(len(sample.texts))
    rewards = score_padded(model, [sample.texts[index] for index in order], side="right", n=BATCH)
    return _compared(
        "batch",
        largest(rewards, sample.rewards[order]),
        sample.tolerance,
        f"one text at a time against batches of {BATCH} of mixed length",
        "score with a batch of one text (tokens_per_batch=1); the model does not mask its padding",
    )


def check_alone(single: Floats, together: Floats, tolerance: float) -> Check:
    """Check that a text has the same score alone as in a batch, for a model that only returns scores."""
    return _compared(
        "batch",
        largest(single, together),
        tolerance,
        "one text at a time against all together",
        "score with a batch of one text (tokens_per_batch=1), or ask whoever runs the server",
    )


def check_packing(model: RewardModel, packed: Floats | None, sample: Sample) -> Check:
    """Check that packed texts have the scores of texts scored alone."""
    if packed is None:
        return Check("packing", "not_applicable", None, f"{type(model.model).__name__} is scored in padded batches")
    return _compared(
        "packing",
        largest(packed, sample.rewards),
        sample.tolerance,
        "texts packed by shared beginning against each by itself",
        "score with pack=False",
    )


def check_padding(model: RewardModel, sample: Sample) -> Check:
    """Check whether padding at the left changes scores; we pad at the right."""
    if not model.pads:
        return Check("padding", "not_applicable", None, _UNPADDED)
    order = _mixed(len(sample.texts))
    rewards = score_padded(model, [sample.texts[index] for index in order], side="left", n=BATCH)
    difference = largest(rewards, sample.rewards[order])
    side = model.encoder.tokenizer.padding_side
    if not difference > sample.tolerance:
        return _compared("padding", difference, sample.tolerance, "padding at the left against none", "")
    moved = "padding at the left moves scores: positions are counted from the padding on"
    if side == "left":
        return Check(
            "padding",
            "failed",
            difference,
            f"{moved}, and the tokenizer pads there",
            "set padding_side to 'right' in tokenizer_config.json; scores from here are right, as we pad at the "
            "right, but whatever follows the tokenizer gets others",
        )
    return Check(
        "padding", "ok", difference, f"{moved}; the tokenizer and we pad at the right", "never pad it at the left"
    )


def check_bos(model: RewardModel, sample: Sample) -> Check:
    """Check that texts begin with exactly one BOS; measure the effect of none and of two."""
    tokenizer = model.encoder.tokenizer
    bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    if bos is None:
        return Check("bos", "not_applicable", None, "the tokenizer has no token for a beginning")
    counts = {_leading(text["input_ids"], bos) for text in sample.texts}
    adds = _leading(tokenizer("a", verbose=False)["input_ids"], bos) > 0
    if counts == {0} and not adds:
        return Check("bos", "not_applicable", None, "neither the tokenizer nor a template begins texts with a BOS")
    room = [text for text in sample.texts if len(text["input_ids"]) < model.encoder.max_length]
    bare = [_from(text, _leading(text["input_ids"], bos)) for text in room]
    bare = [text for text in bare if text["input_ids"]]
    none, one, two = (score_one_by_one(model, [_begun(text, bos, n) for text in bare]) for n in range(3))
    doubled, missing = largest(one, two), largest(one, none)
    moves = f"a second BOS moves scores by up to {doubled:.3g}, none by up to {missing:.3g}"
    difference = max(doubled, missing)
    if counts == {1}:
        writes = model.encoder.style == "chat_template" and adds
        detail = "; the template writes it and the tokenizer would add another" if writes else ""
        return Check(
            "bos",
            "ok",
            difference,
            f"texts begin with exactly one BOS{detail}; {moves}",
            "tokenise rendered texts with add_special_tokens=False" if writes else "",
        )
    if counts == {0}:
        return Check(
            "bos",
            "failed",
            difference,
            f"the chat template writes no BOS, while the tokenizer would add one; {moves}",
            "find out how the model was trained; put {{ bos_token }} at the head of the chat template if with BOS, "
            "set add_bos_token to false if without",
        )
    return Check(
        "bos",
        "failed",
        difference,
        f"texts begin with {' or '.join(map(str, sorted(counts)))} BOS tokens; {moves}",
        "have the chat template write bos_token once, at its head",
    )


def check_end(model: RewardModel, sample: Sample) -> Check:
    """Check that an end token affects the score, if it is also the padding token."""
    tokenizer = model.encoder.tokenizer
    eos, pad = tokenizer.eos_token_id, model.model.config.get_text_config().pad_token_id
    if eos is None:
        return Check("end_token", "not_applicable", None, "the tokenizer has no end token")
    if pad != eos:
        return Check("end_token", "ok", None, "the padding token is not the end token")
    texts = [text for text in sample.texts if len(text["input_ids"]) < model.encoder.max_length]
    open_ended = [_without_end(text, eos) for text in texts]
    ended = [_appended(text, eos) for text in open_ended]
    moves = largest(score_one_by_one(model, open_ended), score_one_by_one(model, ended))
    if moves > sample.tolerance:
        return Check("end_token", "ok", moves, "padding token and end token are one, and yet an end token counts")
    with count_every_token(model):
        read = largest(score_one_by_one(model, open_ended), score_one_by_one(model, ended))
    detail = "padding token and end token are one: a finished text and the same cut off before its end have one score"
    advice = "give the tokenizer and the config a padding token of their own (pad_token_id)"
    if any(one["input_ids"] != other["input_ids"] for one, other in zip(open_ended, texts, strict=True)):
        return Check(
            "end_token",
            "failed",
            read,
            f"{detail}. Texts here do end with it; read there, scores differ",
            f"{advice}, the one of training",
        )
    return Check("end_token", "warning", read, detail, advice)


def check_attention(model: RewardModel, sample: Sample) -> Check:
    """Check that scores do not depend on the attention implementation."""
    rewards = {}
    for implementation in ("eager", "sdpa"):
        try:
            with use_attention(model, implementation):
                rewards[implementation] = score_one_by_one(model, sample.texts)
        except (ValueError, ImportError) as error:
            return Check(
                "attention", "not_applicable", None, f"{implementation} is not to be had: {str(error).splitlines()[0]}"
            )
    return _compared(
        "attention",
        largest(rewards["eager"], rewards["sdpa"]),
        sample.tolerance,
        "sdpa against eager",
        "state the implementation with the scores, and use one only",
    )


def check_precision(
    own: str, rewards: Mapping[str, Floats], unsupported: Mapping[str, str]
) -> tuple[Check, dict[str, PrecisionFinding]]:
    """Check how far scores and preferences change with the precision of the weights.

    Args:
        own (`str`): The precision in use.
        rewards (`Mapping[str, ndarray]`): Scores by precision; those in float32 are the reference.
        unsupported (`Mapping[str, str]`): Reason by precision, for precisions without scores.

    Returns:
        `tuple[Check, dict[str, PrecisionFinding]]`: The check, failed where the precision in use is not safe, and each finding;
        none without scores in float32.
    """
    if "float32" not in rewards:
        why = f"float32 cannot be used here: {unsupported['float32']}"
        return Check("precision", "not_applicable", None, f"there is nothing to compare {own} with; {why}"), {}
    reference = rewards["float32"]
    findings = {name: _precision(reference, scores) for name, scores in rewards.items()}
    if not np.isfinite(reference).any():
        return Check("precision", "not_applicable", None, "there is no finite score in float32"), findings
    lines = [
        f"{name} {'safe' if finding.safe else 'not safe'} (moves by up to {finding.largest_difference:.3g}, preferred response "
        f"changes in {100 * finding.share_flipped:.1f} % of pairs)"
        for name, finding in findings.items()
        if name != "float32"
    ] + [f"{name} cannot be used here: {why}" for name, why in unsupported.items()]
    safe = own not in findings or findings[own].safe
    others = [finding.largest_difference for name, finding in findings.items() if name != "float32"]
    advice = "" if safe else "score with --precision float32"
    difference = max(others) if others else None
    return Check(
        "precision", "ok" if safe else "failed", difference, f"in use: {own}; " + "; ".join(lines), advice
    ), findings


def check_template(model: Scorer) -> Check:
    """Check that a causal model has the chat template that it was trained with."""
    if model.lacks_template:
        return Check(
            "template",
            "failed",
            None,
            "a causal model without a chat template: it is shown prompt and response in a row",
            "add the template that it was trained with to its tokenizer (chat_template.jinja); without one its rewards mean "
            "nothing, unless it was trained on plain text",
        )
    return Check("template", "ok", None, f"texts are shown as {model.encoder.style}")


def check_truncation(
    lengths: Sequence[int], limit: int, unscored: Mapping[str, int] | None = None
) -> tuple[Check, dict[str, float]]:
    """Check which share of the texts exceeds the model's length limit.

    Args:
        lengths (`Sequence[int]`): Tokens of each text.
        limit (`int`): Length limit of the model in tokens.
        unscored (`Mapping[str, int]`, *optional*): Texts without a reward, by status.

    Returns:
        `tuple[Check, dict[str, float]]`: The check, and the share of longer texts by number of tokens.

    Example:

    ```python
    >>> check_truncation([100, 300, 600, 700], 512)[1]
    {'256': 0.75, '512': 0.5, '1024': 0.0, '2048': 0.0, '4096': 0.0}

    ```
    """
    measured = np.array(lengths)
    shares = {str(length): float((measured > length).mean()) for length in sorted({*LENGTHS, limit})}
    over = shares[str(limit)]
    detail = ", ".join(f"{100 * share:.1f} % over {length}" for length, share in shares.items())
    status: CheckStatus = "warning" if over or unscored else "ok"
    counted = ", ".join(f"{n:,} {status}" for status, n in sorted((unscored or {}).items()))
    without = f"; {sum((unscored or {}).values()):,} have no reward ({counted})" if unscored else ""
    advice = (
        f"{100 * over:.1f} % of texts do not fit into the model's {limit} tokens; choose with --over-length"
        if over
        else ""
    )
    return Check(
        "truncation", status, None, f"of {len(lengths):,} texts {detail}; the model takes {limit}{without}", advice
    ), shares


def check_sanity(scored: Sequence[tuple[Scored, Scored]]) -> Check:
    """Check that the model prefers the better response of obvious pairs; each pair has the better one first."""
    preferred = sum(
        better.reward is not None and worse.reward is not None and better.reward > worse.reward
        for better, worse in scored
    )
    share = preferred / len(scored)
    detail = (
        f"the better response is preferred in {preferred} of {len(scored)} obvious pairs ({SANITY_BOUND:.0%} asked)"
    )
    if any(outcome.reward is None for pair in scored for outcome in pair):
        return Check("sanity", "failed", None, f"{detail}; some have no finite score", "look for nan in the weights")
    if share <= _INVERTED:
        return Check(
            "sanity",
            "failed",
            None,
            detail,
            "the sign or the output is wrong: check --head and what the head was trained for",
        )
    if share < SANITY_BOUND:
        return Check(
            "sanity",
            "warning",
            None,
            detail,
            "check that head, chat template and weights are the trained ones; a "
            "model for one narrow purpose may well be below",
        )
    return Check("sanity", "ok", None, detail)


def check_processes(n: int, shared: Floats | None, rewards: Floats, tolerance: float, why_not: str = "") -> Check:
    """Check that several processes give the scores of one process."""
    if shared is None:
        return Check("processes", "not_applicable", None, why_not)
    return _compared(
        "processes",
        largest(shared, rewards),
        tolerance,
        f"1 process against {n}",
        "score on one process, and report this: it is a fault of ours",
    )


def _compared(name: str, difference: float, tolerance: float, what: str, advice: str) -> Check:
    if np.isnan(difference):
        return Check(name, "not_applicable", None, "there is no finite score to compare")
    if difference > tolerance:
        return Check(name, "failed", difference, f"{what}: more than {tolerance:.3g}", advice)
    return Check(name, "ok", difference, f"{what}: no more than {tolerance:.3g}")


def _precision(reference: Floats, rewards: Floats) -> PrecisionFinding:
    before, after = reference[0::2] - reference[1::2], rewards[0::2] - rewards[1::2]
    known = np.isfinite(before)
    # A margin that is not finite counts as no preference.
    flipped = np.sign(before[known]) != np.sign(np.nan_to_num(after[known]))
    share = float(flipped.mean()) if known.any() else 0.0
    return PrecisionFinding(
        largest(reference, rewards), share, bool(np.isfinite(rewards).all()) and share <= FLIPS_ALLOWED
    )


def _mixed(n: int) -> list[int]:
    """Positions from both ends in turn, so that texts sorted by length alternate between short and long."""
    return [index // 2 if index % 2 == 0 else n - 1 - index // 2 for index in range(n)]


def _leading(ids: Sequence[int], token: int) -> int:
    return next((index for index, token_id in enumerate(ids) if token_id != token), len(ids))


def _from(text: Inputs, start: int) -> Inputs:
    return {name: values[start:] for name, values in text.items()}


def _begun(text: Inputs, bos: int, n: int) -> Inputs:
    """Prepend `n` BOS tokens to a text, with attention and in its first segment."""
    first = {"input_ids": bos, "attention_mask": 1}
    return {name: [first.get(name, 0)] * n + values for name, values in text.items()}


def _appended(text: Inputs, eos: int) -> Inputs:
    last = {"input_ids": eos, "attention_mask": 1}
    return {name: [*values, last.get(name, values[-1] if values else 0)] for name, values in text.items()}


def _without_end(text: Inputs, eos: int) -> Inputs:
    """Remove the end tokens at the end of a text."""
    ids = text["input_ids"]
    n = next((index for index in range(len(ids), 1, -1) if ids[index - 1] != eos), 1)
    return {name: values[:n] for name, values in text.items()}
