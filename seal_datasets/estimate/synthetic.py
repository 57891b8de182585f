"""Synthetic preference pairs with known imprints, for tests and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from seal_datasets.errors import DataError
from seal_datasets.estimate.inputs import Floats


@dataclass(frozen=True, slots=True)
class PlantedPairs:
    """Pairs drawn from Eq. (1), by pair and in the long form that `feature_imprint` needs.

    Attributes:
        feature_names (`tuple[str, ...]`): The k features.
        imprint (`ndarray` of shape (k,)): True imprint on the post-training rewards.
        pre_imprint (`ndarray` of shape (k,)): True imprint on the pre-training rewards.
        chosen_features (`ndarray` of shape (n, k)): 0 or 1.
        rejected_features (`ndarray` of shape (n, k)): 0 or 1.
        chosen_rewards (`ndarray` of shape (n,)): Post-training.
        rejected_rewards (`ndarray` of shape (n,)): Post-training.
        pre_chosen_rewards (`ndarray` of shape (n,)): Pre-training.
        pre_rejected_rewards (`ndarray` of shape (n,)): Pre-training.
        prompts (`ndarray` of shape (n,)): Prompt id of each pair.
        rewards (`ndarray` of shape (2n,)): Post-training rewards of the chosen texts, then of the rejected ones.
        pre_rewards (`ndarray` of shape (2n,)): The same before training.
        features (`ndarray` of shape (2n, k)): Features in that order.
        labels (`ndarray` of shape (2n, k)): The features with a labeler's errors.
        groups (`ndarray` of shape (2n,)): Prompt ids in that order.
    """

    feature_names: tuple[str, ...]
    imprint: Floats
    pre_imprint: Floats
    chosen_features: Floats
    rejected_features: Floats
    chosen_rewards: Floats
    rejected_rewards: Floats
    pre_chosen_rewards: Floats
    pre_rejected_rewards: Floats
    prompts: NDArray[np.int64]
    rewards: Floats
    pre_rewards: Floats
    features: Floats
    labels: Floats
    groups: NDArray[np.int64]


def planted_pairs(
    n_pairs: int,
    *,
    imprint: Mapping[str, float],
    pre_imprint: Mapping[str, float] | None = None,
    n_prompts: int | None = None,
    pairs_per_prompt: tuple[int, int] | None = None,
    prompt_effect: float = 1.0,
    noise: float = 1.0,
    correlation: float = 0.0,
    label_error: float = 0.0,
    decimals: int | None = None,
    seed: int,
) -> PlantedPairs:
    """Draw pairs whose rewards follow Eq. (1) with the stated imprints.

    A prompt's intercept is drawn once and raises both the rewards and the frequency of every feature. An estimate
    without prompt effects is therefore biased. A text's noise is normal.

    Args:
        n_pairs (`int`): Pairs.
        imprint (`Mapping[str, float]`): True post-training imprint by feature name.
        pre_imprint (`Mapping[str, float]`, *optional*): True pre-training imprint; 0 for omitted names.
        n_prompts (`int`, *optional*): Prompts with equal numbers of pairs; one prompt per pair when omitted.
        pairs_per_prompt (`tuple[int, int]`, *optional*): Smallest and largest number of pairs of a prompt, drawn
            uniformly; in place of `n_prompts`, for clusters of uneven sizes.
        prompt_effect (`float`, defaults to 1.0): Standard deviation of the prompts' intercepts.
        noise (`float`, defaults to 1.0): Standard deviation of a text's noise.
        correlation (`float`, defaults to 0.0): Latent correlation of a text's features, from 0 to below 1.
        label_error (`float`, defaults to 0.0): Share of wrong labels, independent of everything else.
        decimals (`int`, *optional*): Decimals that rewards are rounded to, which creates ties.
        seed (`int`): Seed of the random numbers.

    Returns:
        `PlantedPairs`: The arrays and the true imprints.

    Raises:
        DataError: The number of pairs or of features is 0, prompts outnumber pairs, a name is only in `pre_imprint`, or
            an option is out of range.

    Example:

    ```python
    >>> from seal_datasets.estimate import feature_imprint
    >>> pairs = planted_pairs(200, imprint={"helpful": 2.0, "eloquent": -1.0}, noise=0.0, seed=0)
    >>> fit = feature_imprint(pairs.rewards, pairs.features, pairs.groups, pairs.feature_names)
    >>> [round(row.coefficient, 6) for row in fit.imprint]
    [2.0, -1.0]

    ```
    """
    before = dict(pre_imprint or {})
    prompts = n_pairs if n_prompts is None else n_prompts
    if not imprint or not 1 <= prompts <= n_pairs:
        raise DataError(
            f"needed are at least one feature and 1 to n_pairs prompts, got {len(imprint)} feature(s), "
            f"n_pairs = {n_pairs} and n_prompts = {prompts}"
        )
    if not (0 <= correlation < 1 and 0 <= label_error < 0.5):
        raise DataError(
            f"correlation must lie from 0 to below 1 and label_error from 0 to below 0.5, got {correlation} and {label_error}"
        )
    if pairs_per_prompt is not None and (n_prompts is not None or not 1 <= pairs_per_prompt[0] <= pairs_per_prompt[1]):
        raise DataError(f"pairs_per_prompt is the fewest and the most, without n_prompts, got {pairs_per_prompt}")
    if unknown := sorted(set(before) - set(imprint)):
        raise DataError(f"pre_imprint names {', '.join(unknown)}, which imprint does not; use the same names in both")
    names = tuple(imprint)
    post_beta = np.array([imprint[name] for name in names], dtype=np.float64)
    pre_beta = np.array([before.get(name, 0.0) for name in names], dtype=np.float64)
    rng = np.random.default_rng(seed)
    # Options use a separate stream, so that they do not change the other draws.
    extra = np.random.default_rng([seed, 1])
    ids = np.arange(n_pairs, dtype=np.int64) % prompts
    if pairs_per_prompt is not None:
        low, high = pairs_per_prompt
        ids = np.repeat(np.arange(n_pairs, dtype=np.int64), extra.integers(low, high + 1, n_pairs))[:n_pairs]
    groups = np.concatenate([ids, ids])
    standard = rng.normal(size=int(ids.max()) + 1)[groups]
    uniform = rng.random((2 * n_pairs, len(names)))
    if correlation:
        common = extra.normal(size=(2 * n_pairs, 1))
        uniform = special.ndtr(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * special.ndtri(uniform))
    features = (uniform < 1 / (1 + np.exp(-standard[:, None]))).astype(np.float64)
    labels = np.where(extra.random(features.shape) < label_error, 1 - features, features) if label_error else features
    level = prompt_effect * standard
    pre = level + features @ pre_beta + noise * rng.normal(size=2 * n_pairs)
    post = level + features @ post_beta + noise * rng.normal(size=2 * n_pairs)
    if decimals is not None:
        pre, post = np.round(pre, decimals), np.round(post, decimals)
    return PlantedPairs(
        feature_names=names,
        imprint=post_beta,
        pre_imprint=pre_beta,
        chosen_features=features[:n_pairs],
        rejected_features=features[n_pairs:],
        chosen_rewards=post[:n_pairs],
        rejected_rewards=post[n_pairs:],
        pre_chosen_rewards=pre[:n_pairs],
        pre_rejected_rewards=pre[n_pairs:],
        prompts=ids,
        rewards=post,
        pre_rewards=pre,
        features=features,
        labels=labels,
        groups=groups,
    )
