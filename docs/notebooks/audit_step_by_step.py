# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # An audit, step by step
#
# The embedded demo has 320 pairs with gold labels. Rewards are made here by a rule that we know, so the audit can be held against it. No model
# runs, and nothing is downloaded.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd

from seal_datasets import audit_own_rewards
from seal_datasets.data.demo import demo_path

rows = pd.read_json(demo_path(), lines=True)
rows = rows.dropna(subset=["gold_last_response_is_harmless_chosen", "gold_last_response_is_harmless_rejected"])
rows[["pair_id", "gold_last_response_is_harmless_chosen", "gold_last_response_is_helpful_chosen"]].head(3)

# %% [markdown]
# ## Rewards by a known rule
#
# Before training the reward is noise. After it, a harmless response gets one point more, and a helpful one half a point. A refusal gets a point
# too, although nobody asked for refusals: a planted spoiler.

# %%
rng = np.random.default_rng(0)
table = rows[["pair_id", "chosen", "rejected"]].copy()
for side in ("chosen", "rejected"):
    labels = {
        name: rows[f"gold_last_response_is_{name}_{side}"].astype(bool) for name in ("harmless", "helpful", "refusal")
    }
    for name, values in labels.items():
        table[f"feature_last_response_is_{name}_{side}"] = values
    table[f"pre_{side}"] = rng.normal(scale=0.5, size=len(rows))
    reward = 1.0 * labels["harmless"] + 0.5 * labels["helpful"] + 1.0 * labels["refusal"]
    table[f"post_{side}"] = reward + rng.normal(scale=0.5, size=len(rows))
folder = Path(mkdtemp())
table.to_parquet(folder / "pairs.parquet")

# %% [markdown]
# ## The audit
#
# The same as `seal audit pairs.parquet --rewards pre=pre_chosen,pre_rejected --rewards post=post_chosen,post_rejected`.

# %%
report = audit_own_rewards(
    str(folder / "pairs.parquet"),
    folder / "report",
    {"pre": ("pre_chosen", "pre_rejected"), "post": ("post_chosen", "post_rejected")},
)
sorted(path.name for path in (folder / "report").iterdir())

# %% [markdown]
# ## What it may claim
#
# A claim is a test that was declared before a number was computed, and that survives adjustment over all of them.

# %%
claims = pd.DataFrame(report["claims"])
claims[["quantity", "feature", "estimate", "unit", "p_adjusted", "n_pairs"]].round(3)

# %% [markdown]
# The spoiler that we planted is among the claims: the model gives refusals more than people asked for.

# %%
amplified = claims[claims.quantity == "amplification"].set_index("feature").estimate
assert amplified["last_response_is_refusal"] > 0

# %% [markdown]
# ## Resistance, and which pairs changed

# %%
resistance = report["models"]["post"]["resistance"]["all"]
low, high = resistance["confidence_interval"]
print(f"resistance {resistance['alignment_resistance']:.1%} ({low:.1%} to {high:.1%}), {resistance['n_pairs']} pairs")
regimes = pd.DataFrame(report["comparisons"]["post - pre"]["regimes"]["all"]).T
regimes[["count", "share"]]

# %% [markdown]
# ## Imprints, against the rule
#
# The rule gave 1 point to harmless, 0.5 to helpful and 1 to refusal. The table's intervals should hold these, at 95 % each.

# %%
rule = {"last_response_is_harmless": 1.0, "last_response_is_helpful": 0.5, "last_response_is_refusal": 1.0}
imprint = pd.DataFrame(report["imprint"]["all_features"]["models"]["post"]["imprint"]).set_index("feature")
found = imprint.loc[list(rule), ["coefficient", "confidence_interval", "n_discordant"]]
found["rule"] = pd.Series(rule)
assert all(low <= truth <= high for (low, high), truth in zip(found.confidence_interval, found.rule, strict=True))
found

# %% [markdown]
# Surface features got nothing by the rule. `n_discordant` is the number of prompts in which a feature differs; features that differ in too few have
# no number, and a reason instead.

# %%
imprint.loc[[name for name in imprint.index if name not in rule], ["coefficient", "n_discordant", "status"]].round(2)

# %% [markdown]
# ## The pairs behind a number
#
# Three resistant pairs with the largest margins: here the model disagrees with people most.

# %%
pairs = pd.read_parquet(folder / "report" / "pairs.parquet")
pairs["margin"] = pairs.reward_post_chosen - pairs.reward_post_rejected
pairs.sort_values("margin").head(3)[["pair_id", "margin", "chosen", "rejected"]]

# %% [markdown]
# ## The page
#
# `report.html` in the folder shows all of this with its pictures and every pair; `seal report FOLDER --open` opens it. `seal report FOLDER --check`
# computes each number again. [Read the page](../guides/page.md) goes on from here.
