"""Causal models on packed sequences: a prefix that texts share is computed once, and nothing is padded.

The two texts of a pair share a prompt. Under a causal mask the states of the prompt do not depend on the response. So one row
holds the prompt and both responses. Each response keeps the positions it has directly after the prompt, and a mask keeps it
from attending to the other. The prompt with its responses is a *tree*; many trees fill a row. The logits equal those of each
text by itself, up to the order of float sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, GenerationMixin, PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification

from seal_datasets.rewards.batching import token_rows

ATTENTION = "seal_trees"

_KEEPS_MOST = 0.8
_WORTH_SHARING = 8
_CHECK_TOKENS = 12
_CHECK_TOLERANCE = 1e-4


@dataclass(slots=True)
class Tree:
    """Texts with a shared prefix.

    Attributes:
        n_shared (`int`): Tokens of the shared prefix.
        texts (`list[int]`): Positions of the texts.
    """

    n_shared: int
    texts: list[int]

    def n_tokens(self, ids: Sequence[Sequence[int]]) -> int:
        """Tokens that go through the model."""
        return self.n_shared + sum(len(ids[index]) - self.n_shared for index in self.texts)


@dataclass(frozen=True, slots=True)
class _Span:
    """Position of a tree in a row: its first text whole, then the rest of each other text with its mask."""

    start: int
    n_shared: int
    first: int
    rest: tuple[tuple[int, int, torch.Tensor], ...]


def build_trees(ids: Sequence[Sequence[int]], budget: int) -> list[Tree]:
    """Group texts by shared prefix, so that fewer tokens go through the model.

    Args:
        ids (`Sequence[Sequence[int]]`): Tokens of each text.
        budget (`int`): Tokens of a tree of several texts at most.

    Returns:
        `list[Tree]`: The trees; every text is in one of them.

    Example:

    ```python
    >>> prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> build_trees([[*prompt, 11], [5, 5], [*prompt, 12, 13]], budget=100)
    [Tree(n_shared=9, texts=[0, 2]), Tree(n_shared=2, texts=[1])]

    ```
    """
    order = sorted(range(len(ids)), key=lambda index: list(ids[index]))
    # After sorting, neighbours have the longest shared prefixes.
    shared = [_n_common(ids[one], ids[other]) for one, other in pairwise(order)]
    trees: list[Tree] = []
    for rank, text in enumerate(order):
        before = shared[rank - 1] if rank else 0
        behind = shared[rank] if rank < len(shared) else 0
        grown = _with(trees[-1], text, ids, before) if trees else None
        nearest = before >= behind or (trees and len(trees[-1].texts) > 1)
        if grown is not None and nearest and grown.n_tokens(ids) <= budget:
            trees[-1] = grown
        else:
            trees.append(Tree(len(ids[text]), [text]))
    return trees


def _with(tree: Tree, text: int, ids: Sequence[Sequence[int]], n_common: int) -> Tree | None:
    """A tree with one more text, or `None` where sharing would save fewer tokens."""
    # Every text keeps one token of its own: its logit is read there.
    n_shared = min(n_common, *(len(ids[index]) - 1 for index in (text, *tree.texts)))
    spoils = len(tree.texts) > 1 and n_shared < _KEEPS_MOST * tree.n_shared
    return None if n_shared < _WORTH_SHARING or spoils else Tree(min(n_shared, tree.n_shared), [*tree.texts, text])


def packed_rows(ids: Sequence[Sequence[int]], budget: int) -> list[list[Tree]]:
    """Lay texts out in rows of trees, each to go through a model at once.

    Args:
        ids (`Sequence[Sequence[int]]`): Tokens of each text.
        budget (`int`): Tokens of a row; a longer text is a row of its own.

    Returns:
        `list[list[Tree]]`: The trees of each row, the largest first.

    Example:

    ```python
    >>> prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> [texts_of(row) for row in packed_rows([[*prompt, 11], [5, 5], [*prompt, 12, 13], [6, 7]], budget=14)]
    [[0, 2, 1], [3]]

    ```
    """
    trees = build_trees(ids, budget)
    rows = token_rows([tree.n_tokens(ids) for tree in trees], budget)
    return [[trees[index] for index in row] for row in rows]


def texts_of(trees: Iterable[Tree]) -> list[int]:
    """Positions of the texts of some trees, in their order in a row."""
    return [text for tree in trees for text in tree.texts]


def can_pack(model: PreTrainedModel, max_length: int) -> bool:
    """Whether a model's attention takes a custom mask: by its configuration, and verified on two short texts.

    Args:
        model (`PreTrainedModel`): A sequence classifier or causal language model, in the form in which it will be used.
        max_length (`int`): Tokens of the longest text.

    Returns:
        `bool`: Whether `packed_logits`, or the head on `packed_states`, gives the model's own logits.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    declared = (
        isinstance(model, (GenericForSequenceClassification, GenerationMixin))
        and model._supports_attention_backend
        and set(getattr(config, "layer_types", None) or ["full_attention"]) <= {"full_attention", "sliding_attention"}
        and (window is None or window >= max_length)
        and getattr(config, "attn_logit_softcapping", None) is None
        and getattr(config, "is_causal", True)
    )
    return bool(declared) and _gives_its_own_logits(model)


def packed_logits(model: PreTrainedModel, ids: Sequence[Sequence[int]], trees: Iterable[Tree]) -> torch.Tensor:
    """Run trees through a sequence classifier in one row.

    Args:
        model (`PreTrainedModel`): One that `can_pack`, with `ATTENTION` as its attention implementation.
        ids (`Sequence[Sequence[int]]`): Tokens of each text.
        trees (`Iterable[Tree]`): The trees to run.

    Returns:
        `torch.Tensor`: Logits, one row for each text of each tree, in their order.
    """
    trees = list(trees)
    states, places = packed_states(model, ids, trees)
    pad = model.config.get_text_config().pad_token_id
    last = [place[_last_token(ids[text], pad)] for text, place in zip(texts_of(trees), places, strict=True)]
    logits: torch.Tensor = model.score(states[torch.tensor(last, device=model.device)])
    return logits


def packed_states(
    model: PreTrainedModel, ids: Sequence[Sequence[int]], trees: Iterable[Tree]
) -> tuple[torch.Tensor, list[list[int]]]:
    """Run trees through a model in one row, up to its head.

    Args:
        model (`PreTrainedModel`): As for `packed_logits`, or a causal language model.
        ids (`Sequence[Sequence[int]]`): Tokens of each text.
        trees (`Iterable[Tree]`): The trees to run.

    Returns:
        `tuple[torch.Tensor, list[list[int]]]`: The hidden state of each token of the row; and for each text of each tree, in
            their order, the positions of its tokens.
    """
    tokens: list[int] = []
    positions: list[int] = []
    places: list[list[int]] = []
    spans: list[_Span] = []
    for tree in trees:
        start, first = len(tokens), ids[tree.texts[0]]
        tokens += first
        positions += range(len(first))
        places.append(list(range(start, len(tokens))))
        rest = []
        for text in tree.texts[1:]:
            begin, own = len(tokens), ids[text][tree.n_shared :]
            tokens += own
            positions += range(tree.n_shared, len(ids[text]))
            places.append([*range(start, start + tree.n_shared), *range(begin, len(tokens))])
            rest.append((begin, len(tokens), _follows(tree.n_shared, len(own), model.device)))
        spans.append(_Span(start, tree.n_shared, start + len(first), tuple(rest)))
    states: torch.Tensor = getattr(model, model.base_model_prefix)(
        input_ids=torch.tensor([tokens], device=model.device),
        position_ids=torch.tensor([positions], device=model.device),
        use_cache=False,
        trees=spans,
    ).last_hidden_state[0]
    return states, places


def _n_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the shared prefix of two texts, in tokens."""
    return next(
        (position for position, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _last_token(ids: Sequence[int], pad: int | None) -> int:
    """Position of the token whose logit is read: the last that is not the padding token, as in transformers."""
    return next((position for position in range(len(ids) - 1, -1, -1) if ids[position] != pad), 0)


def _follows(n_shared: int, n_own: int, device: torch.device) -> torch.Tensor:
    """Mask: the shared tokens and its own earlier tokens that each token of a response attends to."""
    return torch.ones(n_own, n_shared + n_own, dtype=torch.bool, device=device).tril(n_shared)


def _tree_attention(
    module: torch.nn.Module,  # noqa: ARG001 - as every attention implementation is called
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the trees say it
    *,
    scaling: float | None = None,
    trees: Sequence[_Span],
    **_: Any,  # noqa: ANN401 - what other implementations are told
) -> tuple[torch.Tensor, None]:
    n_groups = query.shape[1] // key.shape[1]
    if n_groups > 1:
        key, value = key.repeat_interleave(n_groups, dim=1), value.repeat_interleave(n_groups, dim=1)
    out = torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype, device=query.device)
    for tree in trees:
        whole, shared = slice(tree.start, tree.first), slice(tree.start, tree.start + tree.n_shared)
        out[:, :, whole] = scaled_dot_product_attention(
            query[:, :, whole], key[:, :, whole], value[:, :, whole], is_causal=True, scale=scaling
        )
        for begin, end, follows in tree.rest:
            own = slice(begin, end)
            out[:, :, own] = scaled_dot_product_attention(
                query[:, :, own],
                torch.cat([key[:, :, shared], key[:, :, own]], dim=2),
                torch.cat([value[:, :, shared], value[:, :, own]], dim=2),
                attn_mask=follows,
                scale=scaling,
            )
    return out.transpose(1, 2), None


AttentionInterface.register(ATTENTION, _tree_attention)


def _gives_its_own_logits(model: PreTrainedModel) -> bool:
    vocabulary = model.config.get_text_config().vocab_size
    numbers = [(7 * index + 3) % vocabulary for index in range(2 * _CHECK_TOKENS)]
    ids = [numbers[: _CHECK_TOKENS + 4], numbers[:_CHECK_TOKENS] + numbers[_CHECK_TOKENS + 7 :]]
    trees = build_trees(ids, budget=len(numbers) * 2)
    before = model.config._attn_implementation
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([ids[index]], device=model.device)).logits for index in texts_of(trees)]
        model.set_attn_implementation(ATTENTION)
        try:
            if isinstance(model, GenericForSequenceClassification):
                together = packed_logits(model, ids, trees)
            else:
                states, places = packed_states(model, ids, trees)
                alone = [logits[0] for logits in alone]
                together = model.get_output_embeddings()(states[list(chain.from_iterable(places))])
        except (TypeError, RuntimeError):
            return False
        finally:
            model.set_attn_implementation(before)
    expected = torch.cat(alone).float()
    exactness = _CHECK_TOLERANCE if model.dtype == torch.float32 else 0.1
    return bool(torch.allclose(together.float(), expected, atol=exactness * (1.0 + float(expected.abs().max()))))
