# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The five quantities by hand
#
# Ten pairs, small enough to check with a pencil. A model before training (`pre`) and one after it (`post`) gave each response a reward.
# One feature, *kind*, says whether a response is kind. Each section computes a quantity by hand, then with the package.

# %%
import numpy as np
import pandas as pd

from seal_datasets import estimate

pairs = pd.DataFrame(
    {
        "prompt": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        "pre_chosen": [0.5, 0.2, 1.0, 0.1, 0.8, 0.3, 0.6, 0.9, 0.4, 0.7],
        "pre_rejected": [0.1, 0.6, 0.5, 0.7, 0.2, 0.4, 0.1, 0.3, 0.9, 0.2],
        "post_chosen": [2.0, 1.5, 1.2, 0.9, 2.2, 1.8, 0.3, 1.6, 0.2, 1.4],
        "post_rejected": [0.5, 0.4, 0.6, 1.3, 0.1, 0.7, 0.8, 0.2, 0.9, 0.3],
        "kind_chosen": [1, 1, 1, 0, 1, 1, 0, 1, 0, 1],
        "kind_rejected": [0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
    }
)
pairs

# %% [markdown]
# ## 1. Resistance
#
# The model resists where it does not give the chosen response the higher reward. That happens in pairs 4, 7 and 9: three of ten.

# %%
aligned = pairs.post_chosen > pairs.post_rejected
pre_aligned = pairs.pre_chosen > pairs.pre_rejected
resistance = estimate.alignment_resistance(
    pairs.post_chosen,
    pairs.post_rejected,
    pre_chosen_rewards=pairs.pre_chosen,
    pre_rejected_rewards=pairs.pre_rejected,
)
assert np.isclose(resistance.alignment_resistance, 1 - aligned.mean())
low, high = resistance.confidence_interval
print(f"resistance {resistance.alignment_resistance:.0%}, 95 % interval {low:.0%} to {high:.0%}")

# %% [markdown]
# Ten pairs say little, and the interval shows it. The regimes set before and after side by side:

# %%
counts = {name: regime.count for name, regime in resistance.regimes.items()}
assert counts["became_aligned"] == (~pre_aligned & aligned).sum()
counts

# %% [markdown]
# ## 2. Reward shift
#
# Training turned the vector (chosen, rejected) by an angle. Pair 1 went from (0.5, 0.1) to (2.0, 0.5). Their directions are atan2(0.1, 0.5)
# and atan2(0.5, 2.0); the sign is chosen so that a turn towards the chosen response counts as the paper counts it.

# %%
shift = estimate.reward_shift_angles(pairs.pre_chosen, pairs.pre_rejected, pairs.post_chosen, pairs.post_rejected)
by_hand = np.degrees(np.arctan2(0.5, 2.0) - np.arctan2(0.1, 0.5))
assert np.isclose(abs(shift[0]), abs(by_hand))
pd.Series(shift, index=pairs.prompt).round(1)

# %% [markdown]
# ## 3. Feature imprint
#
# With one feature and two texts a prompt, the imprint is a mean of differences. Pairs whose texts do not differ in *kind* say nothing about it.
# Where only the chosen response is kind, the difference is chosen minus rejected; where only the rejected one is, the reverse.

# %%
sign = pairs.kind_chosen - pairs.kind_rejected
difference = (pairs.post_chosen - pairs.post_rejected) * sign
by_hand = difference[sign != 0].mean()
rewards = np.concatenate([pairs.post_chosen, pairs.post_rejected])
kind = np.concatenate([pairs.kind_chosen, pairs.kind_rejected]).reshape(-1, 1)
prompts = np.concatenate([pairs.prompt, pairs.prompt])
imprint = estimate.feature_imprint(rewards, kind, prompts, ["kind"]).imprint[0]
assert np.isclose(imprint.coefficient, by_hand)
print(f"a kind response gets {imprint.coefficient:.2f} points more, from {(sign != 0).sum()} pairs that differ")

# %% [markdown]
# ## 4. Drivers of misalignment
#
# Is the model aligned more often where the chosen response is kind? By hand, from a table of two by two:

# %%
table = pd.crosstab(pairs.kind_chosen, aligned)
table

# %% [markdown]
# Every pair with a kind chosen response is aligned, and no other pair is. The odds ratio by hand is infinite: the feature separates the outcome.
# Firth's fit, which the package takes then, gives a finite number and says that it did. With one half added to each cell, the odds ratio by
# hand is the same as Firth's in a table of two by two.

# %%
drivers = estimate.misalignment_drivers(aligned, pairs[["kind_chosen"]], np.zeros((10, 1)), ["kind"], estimator="firth")
row = next(row for row in drivers.drivers if row.side == "chosen")
cells = table.to_numpy() + 0.5
by_hand = cells[1, 1] * cells[0, 0] / (cells[0, 1] * cells[1, 0])
print(f"odds ratio {row.odds_ratio:.1f}, by hand {by_hand:.1f}")

# %% [markdown]
# ## 5. Robustness
#
# A language model rewrote all pairs. In four of them the chosen response lost its kindness (flip +1); two of these became misaligned, and one of
# the three aligned pairs without a flip.

# %%
before = np.ones(7)
after = np.array([0, 0, 1, 1, 0, 1, 1])
flip = np.array([1, 1, 1, 1, 0, 0, 0]).reshape(-1, 1)
robustness = estimate.alignment_robustness(before, after, flip, np.zeros((7, 1)), ["kind"])
score = next(row for row in robustness.scores if (row.side, row.direction) == ("chosen", "+"))
by_hand = (2 / 2) / (1 / 2)
assert np.isclose(score.odds_ratio, by_hand)
print(f"odds ratio {score.odds_ratio:.1f}, p = {score.p_value:.2f}: seven pairs show nothing")

# %% [markdown]
# The same five numbers, for all features at once and with intervals by prompt, are what an audit reports. [Concepts](../concepts.md) has the
# equations.
