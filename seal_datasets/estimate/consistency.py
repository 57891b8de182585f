"""Consistency of preferences: contradictory pairs and preference cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Codes, group_codes, same_length
from seal_datasets.estimate.result import Result

_Ids = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Consistency(Result):
    """Counts of preferences between the responses to one prompt that cannot all hold at once.

    Attributes:
        n_pairs (`int`): Number of pairs.
        n_prompts (`int`): Number of prompts.
        n_same_response (`int`): Pairs whose two responses are the same.
        n_duplicate (`int`): Pairs that repeat an earlier one: the same prompt, chosen and rejected response.
        n_contradictory (`int`): Pairs whose responses another pair of the prompt has in the opposite order.
        n_in_cycles (`int`): Pairs on a preference cycle a > b > ... > a, contradictory pairs included.
        n_prompts_with_cycle (`int`): Prompts with a cycle.
    """

    n_pairs: int
    n_prompts: int
    n_same_response: int
    n_duplicate: int
    n_contradictory: int
    n_in_cycles: int
    n_prompts_with_cycle: int


def inconsistent_pairs(groups: Sequence[Any] | NDArray[Any], chosen_ids: _Ids, rejected_ids: _Ids) -> NDArray[np.bool_]:
    """Pairs on a cycle of preferences between the responses to one prompt, which cannot all hold at once.

    Args:
        groups (sequence of shape (n,)): Prompt ids.
        chosen_ids (sequence of shape (n,)): Ids or texts that are equal for equal responses.
        rejected_ids (sequence of shape (n,)): The same for the rejected responses.

    Returns:
        `ndarray` of shape (n,): Whether a pair is on a cycle; two contradictory pairs are a cycle of two.

    Raises:
        DataError: Lengths differ or an id is missing.

    Example:

    ```python
    >>> inconsistent_pairs(["p"] * 4, ["a", "b", "c", "a"], ["b", "c", "a", "d"]).tolist()  # a > b > c > a
    [True, True, True, False]

    ```
    """
    clusters = group_codes(groups, "groups")
    sides = group_codes(chosen_ids, "chosen_ids"), group_codes(rejected_ids, "rejected_ids")
    same_length(groups=clusters, chosen_ids=sides[0], rejected_ids=sides[1])
    return _find_cyclic(*_response_codes(clusters, chosen_ids, rejected_ids))


def _response_codes(clusters: Codes, chosen_ids: _Ids, rejected_ids: _Ids) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Codes of the chosen and rejected responses by prompt, and the number of distinct responses."""
    n = len(clusters)
    ids = np.concatenate([np.asarray(side, dtype=object) for side in (chosen_ids, rejected_ids)])
    responses = pd.factorize(ids)[0].astype(np.int64)
    nodes = pd.factorize(np.tile(clusters, 2) * n * 2 + responses)[0].astype(np.int64)
    return nodes[:n], nodes[n:], int(nodes.max()) + 1


def _find_cyclic(chosen: NDArray[Any], rejected: NDArray[Any], n_nodes: int) -> NDArray[np.bool_]:
    """Pairs on a cycle: both responses are in one strongly connected component."""
    graph = sparse.coo_array((np.ones(len(chosen)), (chosen, rejected)), shape=(n_nodes, n_nodes)).tocsr()
    component = csgraph.connected_components(graph, connection="strong")[1]
    return np.asarray((chosen != rejected) & (component[chosen] == component[rejected]), dtype=np.bool_)


def count_inconsistent(
    groups: object, clusters: Codes, chosen_ids: _Ids | None, rejected_ids: _Ids | None
) -> tuple[Consistency | None, str]:
    """The counts and `ok`, or None and the reason for it."""
    if chosen_ids is None and rejected_ids is None:
        return None, "no chosen_ids and rejected_ids, which say where responses are the same"
    if chosen_ids is None or rejected_ids is None:
        raise DataError("chosen_ids and rejected_ids belong together; give both or neither")
    if groups is None:
        return None, "no groups, which say where prompts are the same"
    sides = group_codes(chosen_ids, "chosen_ids"), group_codes(rejected_ids, "rejected_ids")
    n = same_length(groups=clusters, chosen_ids=sides[0], rejected_ids=sides[1])
    chosen, rejected, n_nodes = _response_codes(clusters, chosen_ids, rejected_ids)
    edges, different = chosen * n_nodes + rejected, chosen != rejected
    cyclic = _find_cyclic(chosen, rejected, n_nodes)
    return Consistency(
        n_pairs=n,
        n_prompts=int(clusters.max()) + 1,
        n_same_response=int((~different).sum()),
        n_duplicate=n - len(pd.unique(edges)),
        n_contradictory=int((different & np.isin(rejected * n_nodes + chosen, edges)).sum()),
        n_in_cycles=int(cyclic.sum()),
        n_prompts_with_cycle=len(pd.unique(clusters[cyclic])),
    ), "ok"
