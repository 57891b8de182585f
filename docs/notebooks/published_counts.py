# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Published counts, recomputed
#
# The SEAL paper audited 160,800 pairs of hh-rlhf. Its rewards and labels were not published, but many counts were. They are enough for all of
# Table 1, and for the flips of Figure 5 one at a time.

# %%
import altair as alt
import numpy as np
import pandas as pd

from seal_datasets import estimate

_ = alt.renderers.enable("svg")

# %% [markdown]
# ## Table 1: regimes and agreement
#
# Pairs by regime (rows) and by the labeler's preference (columns):

# %%
counts = pd.DataFrame(
    {
        "chosen": [9_065, 16_531, 1_623, 1_410],
        "rejected": [3_226, 2_765, 3_114, 1_549],
        "indifferent": [29_154, 58_350, 22_907, 11_106],
    },
    index=["became_aligned", "stayed_aligned", "stayed_misaligned", "reversed_alignment"],
)
counts

# %% [markdown]
# One entry for each pair again: aligned before and after, and which response has more of the targets.

# %%
aligned_before = {"became_aligned": 0, "stayed_aligned": 1, "stayed_misaligned": 0, "reversed_alignment": 1}
aligned_after = {"became_aligned": 1, "stayed_aligned": 1, "stayed_misaligned": 0, "reversed_alignment": 0}
cells = counts.stack()
regime, preferred = (cells.index.get_level_values(level).repeat(cells) for level in (0, 1))
before, after = regime.map(aligned_before).to_numpy(), regime.map(aligned_after).to_numpy()
resistance = estimate.alignment_resistance(after, 1 - after, pre_chosen_rewards=before, pre_rejected_rewards=1 - before)
agreement = estimate.labeler_agreement(
    (preferred == "chosen")[:, None],
    (preferred == "rejected")[:, None],
    ["targets"],
    aligned=after,
    pre_aligned=before,
)
table = pd.DataFrame(
    {
        "prevalence": {name: each.share for name, each in resistance.regimes.items()},
        "published prevalence": dict(zip(aligned_before, [0.26, 0.48, 0.18, 0.08], strict=True)),
        "agreement": {name: agreement.regimes[name].agreement_rate for name in aligned_before},
        "published agreement": dict(zip(aligned_before, [0.74, 0.86, 0.34, 0.47], strict=True)),
    }
)
assert (table.prevalence - table["published prevalence"]).abs().max() < 0.01
assert (table.agreement - table["published agreement"]).abs().max() < 0.01
table.loc[list(aligned_before)].round(4)

# %% [markdown]
# All eight numbers lie within one hundredth of those printed. Three differ in the second digit: the counts give 0.17 of pairs that stayed misaligned
# (printed 0.18), 0.09 reversed (0.08) and an agreement of 0.48 where alignment reversed (0.47). The paper gives no intervals. Pairs of one prompt
# are not independent, and prompts were not published, so none are given here.

# %%
print(f"alignment score {resistance.pre_alignment_score:.3f} before, {resistance.alignment_score:.3f} after")
print(f"resistance {resistance.alignment_resistance:.3f}")

# %% [markdown]
# ## Figure 5: robustness
#
# 1,608 pairs were rewritten; 170 of them became misaligned. By flip (label before minus after), the pairs and how many became misaligned:

# %%
flips = {
    ("sentiment", "chosen"): {-2: (7, 0), -1: (99, 11), 0: (1423, 142), 1: (79, 17)},
    ("sentiment", "rejected"): {-2: (5, 2), -1: (112, 21), 0: (1402, 137), 1: (86, 10), 2: (3, 0)},
    ("eloquent", "chosen"): {-1: (120, 14), 0: (1454, 151), 1: (34, 5)},
    ("eloquent", "rejected"): {-1: (170, 20), 0: (1401, 146), 1: (37, 4)},
}


def scores(feature: str, side: str, estimator: str) -> list[estimate.RobustnessScore]:
    """Scores of one feature of one side: the counts do not say which pairs had several flips."""
    table = flips[feature, side]
    flip = np.repeat(list(table), [n for n, _ in table.values()])[:, None]
    lost = np.concatenate([np.arange(n) < misaligned for n, misaligned in table.values()])
    sides = (flip, np.zeros_like(flip)) if side == "chosen" else (np.zeros_like(flip), flip)
    found = estimate.alignment_robustness(np.ones(len(flip)), ~lost, *sides, [feature], estimator=estimator)
    return [row for row in found.scores if row.side == side]


rows = []
for feature, side in flips:
    for logit, linear in zip(scores(feature, side, "logit"), scores(feature, side, "linear_probability"), strict=True):
        low, high = np.exp(logit.confidence_interval)
        rows.append(
            {
                "flip": f"{feature} {logit.direction}, {side}",
                "n": logit.n_flips,
                "odds ratio": logit.odds_ratio,
                "low": low,
                "high": high,
                "linear probability": linear.coefficient,
                "its exp": np.exp(linear.coefficient),
            }
        )
robustness = pd.DataFrame(rows)
robustness.round(3)

# %% [markdown]
# The paper's score for chosen texts that became less positive is about 0.12. That is the *linear probability* in this table, 0.1154 for one flip
# at a time. Read as log-odds it would be an odds ratio of 1.13. The logit of Eq. (4) gives 2.47: the effect is larger than it reads.

# %%
row = robustness.set_index("flip").loc["sentiment +, chosen"]
assert round(row["odds ratio"], 2) == 2.47
assert round(row["linear probability"], 4) == 0.1154

# %%
base = alt.Chart(robustness, title="Odds of misalignment after rewriting, with 95 % intervals").encode(
    y=alt.Y("flip:N", sort="-x", title=None, axis=alt.Axis(labelLimit=300))
)
dots = base.mark_point(filled=True, size=70, color="#0072b2", opacity=1).encode(
    x=alt.X("odds ratio:Q", scale=alt.Scale(type="log"), title="odds ratio against no flip, log scale")
)
lines = base.mark_rule(color="#0072b2").encode(x="low:Q", x2="high:Q")
one = alt.Chart(pd.DataFrame({"x": [1]})).mark_rule(strokeDash=[4, 3], color="#5b626c").encode(x="x:Q")
(one + lines + dots).properties(width=420, height=200).configure_view(stroke=None)

# %% [markdown]
# These are single regressions without clusters, because prompts and joint flips were not published. Only two intervals exclude 1: chosen texts
# that became less positive, and rejected texts that became more positive. These two are also the ones that the paper calls significant.
