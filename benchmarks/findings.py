"""The paper's figures from its published counts: as published, recomputed, corrected; docs/findings.md holds the tables.

python benchmarks/findings.py            # all tables
python benchmarks/findings.py regimes    # one of them
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from seal_datasets import estimate
from seal_datasets.estimate.clustered_share import clustered_mean
from seal_datasets.estimate.synthetic import planted_pairs

ROOT = Path(__file__).parents[1]
PUBLISHED = Path(__file__).parent / "published"
SEAL: dict[str, Any] = yaml.safe_load((PUBLISHED / "seal.yaml").read_text("utf-8"))
OTHERS: dict[str, Any] = yaml.safe_load((PUBLISHED / "reward_models.yaml").read_text("utf-8"))

N_PAIRS = sum(n for sides in SEAL["cells"].values() for n in sides.values())
BEFORE_AFTER = {
    "stayed_aligned": (1, 1),
    "became_aligned": (0, 1),
    "stayed_misaligned": (0, 0),
    "reversed_alignment": (1, 0),
}
AHEAD = {"indifferent": 0, "chosen": 1, "rejected": -1}
Row = tuple[str, str, str, str, str]
HEAD = ("quantity", "as published", "published method, here", "corrected", "why they differ")
WAITS = "waits for a run"


def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Alignment before, after, and who is ahead by the labels, one entry per pair."""
    rows = [(*BEFORE_AFTER[regime], AHEAD[side]) for regime, sides in SEAL["cells"].items() for side in sides]
    before, after, ahead = np.repeat(
        np.array(rows), [n for each in SEAL["cells"].values() for n in each.values()], axis=0
    ).T
    return before, after, ahead


def label_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Labels [harmless, helpful] of the chosen and of the rejected text, one row per pair."""
    labels = np.array([[int(digit) for digit in key.replace(" ", "")] for key in SEAL["label_pairs"]])
    labels = np.repeat(labels, list(SEAL["label_pairs"].values()), axis=0)
    return labels[:, :2], labels[:, 2:]


def regimes() -> list[Row]:
    """Section 2.2 and the prevalence row of Table 1."""
    before, after, _ = cells()
    found = estimate.alignment_resistance(after, 1 - after, pre_chosen_rewards=before, pre_rejected_rewards=1 - before)
    low, high = found.confidence_interval
    assert found.regimes is not None
    assert found.change is not None
    rows: list[Row] = [
        (
            "resistance after training",
            "26 %",
            percent(found.alignment_resistance),
            f"{percent(low)} to {percent(high)}",
            "no interval was given; this one takes pairs as independent, because the counts name no prompts",
        ),
        (
            "alignment score before, after",
            "0.57, 0.74",
            f"{found.pre_alignment_score:.3f}, {found.alignment_score:.3f}",
            "",
            "",
        ),
    ]
    printed = {
        "became_aligned": "0.26",
        "stayed_aligned": "0.48",
        "stayed_misaligned": "0.18",
        "reversed_alignment": "0.08",
    }
    for name, value in printed.items():
        share = found.regimes[name].count / N_PAIRS
        why = "" if f"{share:.2f}" == value else "not what the counts round to"
        rows.append((name.replace("_", " "), value, f"{share:.3f}", f"{share:.2f}", why))
    lost, aligned = found.regimes["reversed_alignment"].count, found.regimes["stayed_aligned"].count
    rows.append(
        (
            'share "of the pairs that were aligned" that reversed',
            "8 %",
            percent(lost / N_PAIRS),
            percent(lost / (lost + aligned)),
            "the published share is of all pairs, and its sentence is about aligned ones",
        )
    )
    change = found.change
    rows.append(
        (
            "rise of the alignment score",
            "17 points",
            f"{-100 * change.change:.1f} points",
            f"{-100 * change.change:.1f} points, {change.n_lost:,} lost and {change.n_gained:,} gained, "
            f"p {p_value(change.p_value)}",
            "no test was given; this is McNemar's",
        )
    )
    return rows


def labeler() -> list[Row]:
    """Labeler preference: agreement rates of Table 1, and the abstract's 26 %."""
    before, after, ahead = cells()
    found = estimate.labeler_agreement(
        np.maximum(ahead, 0)[:, None], np.maximum(-ahead, 0)[:, None], ["target"], aligned=after, pre_aligned=before
    )
    chosen, rejected = label_pairs()
    assigned = dict(zip(*np.unique(estimate.labeler_preference(chosen, rejected), return_counts=True), strict=True))
    other = dict(
        zip(
            *np.unique(estimate.labeler_preference(chosen[:, ::-1], rejected[:, ::-1]), return_counts=True), strict=True
        )
    )
    moved = int(found.preference["chosen"] - assigned["chosen"])
    rows: list[Row] = []
    printed = {
        "became_aligned": "0.74",
        "stayed_aligned": "0.86",
        "stayed_misaligned": "0.34",
        "reversed_alignment": "0.47",
    }
    for name, value in printed.items():
        assert found.regimes is not None
        side = SEAL["cells"][name]
        n = side["chosen"] + side["rejected"]
        least = (side["chosen"] - moved) / n
        rate = found.regimes[name].agreement_rate
        why = f"up to {moved} pairs may move; the counts do not say which regime they are of, so this is a bound"
        rows.append((f"agreement, {name.replace('_', ' ')}", value, f"{rate:.3f}", f"{least:.3f} to {rate:.3f}", why))
    total = assigned["chosen"] / (assigned["chosen"] + assigned["rejected"])
    counted = found.preference["chosen"] / (found.preference["chosen"] + found.preference["rejected"])
    rows.append(
        ("agreement, all pairs", "", f"{counted:.3f}", f"{total:.3f}", f"{moved} pairs counted for the wrong side")
    )
    rows.append(
        (
            "pairs for chosen, rejected",
            f"{found.preference['chosen']:,}, {found.preference['rejected']:,}",
            f"{found.preference['chosen']:,}, {found.preference['rejected']:,}",
            f"{assigned['chosen']:,}, {assigned['rejected']:,}",
            "the rule is harmless first; a comparison in the notebook never holds",
        )
    )
    rows.append(
        (
            "the same, helpful first",
            "named in a footnote",
            "",
            f"{other['chosen']:,}, {other['rejected']:,}",
            "the text names the order both ways round",
        )
    )
    rows.append(
        (
            "indifferent",
            "73 %",
            percent(np.mean(ahead == 0)),
            percent(np.mean(ahead == 0)),
            "the counts give another share",
        )
    )
    against = 1 - after[ahead == -1].mean()
    lowest = (
        SEAL["cells"]["stayed_misaligned"]["rejected"] + SEAL["cells"]["reversed_alignment"]["rejected"]
    ) / assigned["rejected"]
    rows.append(
        (
            "resistance where the labeler disagrees with people",
            "26 % (abstract)",
            percent(against),
            f"{percent(lowest)} to {percent((lowest * assigned['rejected'] + moved) / assigned['rejected'])}",
            "26 % is the resistance on all pairs; the bounds let the moved pairs be all aligned, or all misaligned",
        )
    )
    return rows


def rewriting() -> list[Row]:
    """Section 2.3 and Figure 5: Eq. (4) from the tables of flips, one feature and side at a time."""
    rows: list[Row] = []
    printed = {("sentiment chosen", "+"): "exp(0.12) = 1.13", ("sentiment rejected", "-"): "1.12"}
    for key in SEAL["flips"]:
        linear, odds = robustness(key, "linear_probability"), robustness(key, "logit")
        for direction in ("+", "-"):
            row, difference = odds[direction], linear[direction]
            low, high = (math.exp(bound) for bound in row.confidence_interval)
            rows.append(
                (
                    f"odds of misalignment, {key} {'less' if direction == '+' else 'more'} ({row.n_flips} flips)",
                    printed.get((key, direction), "not significant"),
                    f"{difference.coefficient:+.4f} (a difference of shares)",
                    f"{row.odds_ratio:.2f} ({low:.2f} to {high:.2f}), Bonferroni p {p_value(min(1.0, 8 * row.p_value))}",
                    "a linear probability was read as log-odds" if (key, direction) in printed else "",
                )
            )
    pairs, before, after = (SEAL["rewritten"][name] for name in ("pairs", "aligned_before", "aligned_after"))
    lost = sum(n for _, n in SEAL["flips"]["sentiment chosen"].values())
    gained = [round(share * pairs) - round(before * pairs) + lost for share in (after - 0.0004, after + 0.0004)]
    rows.append(
        (
            "alignment after rewriting",
            "0.71, a drop of 3 points",
            f"{after:.3f} ({before:.3f} before)",
            f"{lost} of {round(before * pairs):,} aligned pairs lost ({percent(lost / round(before * pairs))}), "
            f"{gained[0]} to {gained[1]} won",
            "a net drop hides how many pairs change sides",
        )
    )
    return rows


def robustness(key: str, estimator: str) -> dict[str, Any]:
    """Scores by direction, from one table of flips."""
    feature, side = key.split()
    table = SEAL["flips"][key]
    flips = np.repeat(list(table), [n for n, _ in table.values()])
    lost = np.concatenate([np.arange(n) < misaligned for n, misaligned in table.values()])
    changed, same = flips[:, None], np.zeros((len(flips), 1))
    sides = (changed, same) if side == "chosen" else (same, changed)
    fit = estimate.alignment_robustness(np.ones(len(flips)), ~lost, *sides, [feature], estimator=estimator)
    return {row.direction: row for row in fit.scores if row.side == side}


def shift() -> list[Row]:
    """Definition 1: what the angle's origin does, on planted pairs, since the published angles give no counts."""
    weights = {name: sum(sides.values()) for name, sides in SEAL["cells"].items()}
    mean = sum(SEAL["shift"][name] * n for name, n in weights.items()) / N_PAIRS
    rows: list[Row] = [
        (
            "mean shift of all pairs, degrees",
            f"{SEAL['shift']['all']:.2f}",
            f"{mean:.2f}",
            WAITS,
            "the means of the regimes, weighted by their pairs, give another mean than the one published",
        )
    ]
    planted = planted_pairs(4000, imprint={"harmless": 2.0}, pre_imprint={"harmless": -0.8}, seed=0)
    n = len(planted.rewards) // 2
    for constant in (0.0, -2.0):
        rewards = [
            values[part] + constant
            for values in (planted.pre_rewards, planted.rewards)
            for part in (slice(n), slice(n, None))
        ]
        found = estimate.reward_shift(*rewards)
        rows.append(
            (
                f"planted pairs, {constant:g} added to all rewards",
                "",
                f"{found.mean_degrees:.2f} degrees",
                f"centred {found.centred.mean_degrees:.2f} degrees; margins {found.margin.mean:+.3f} points",
                "" if not constant else "no preference changed: an angle at 0 depends on where a model puts its zero",
            )
        )
    return rows


def label_errors() -> list[Row]:
    """What wrong labels leave of an imprint within prompts."""
    rows: list[Row] = []
    for rate in (0.05, 0.10, 0.20):
        rng = np.random.default_rng(0)
        n = 100_000
        shared = rng.random(n) < 0.5
        truth = np.concatenate([np.where(rng.random(n) < 0.79, shared, rng.random(n) < 0.5) for _ in range(2)]).astype(
            float
        )
        wrong = np.where(rng.random(2 * n) < rate, 1 - truth, truth)
        rewards, groups = truth + rng.normal(size=2 * n), np.tile(np.arange(n), 2)
        naive = estimate.feature_imprint(rewards, wrong[:, None], groups, ["a"]).imprint[0].coefficient
        known = estimate.known_rates_imprint(
            rewards, wrong[:, None], groups, ["a"], sensitivity={"a": 1 - rate}, specificity={"a": 1 - rate}
        )
        rows.append(
            (
                f"share of an imprint left, {100 * rate:.0f} % wrong labels, planted",
                "not discussed",
                f"{naive:.2f}",
                f"{known.imprint[0].coefficient:.2f}",
                f"labels differ in {percent(np.mean(truth[:n] != truth[n:]))} of the pairs; the rates are known",
            )
        )
    chosen, rejected = label_pairs()
    texts, groups = np.concatenate([chosen, rejected]).astype(float), np.tile(np.arange(N_PAIRS), 2)
    for column, name in enumerate(("harmless", "helpful")):
        values = texts[:, column]
        differ = float(np.mean(values[:N_PAIRS] != values[N_PAIRS:]))
        most = (1 - math.sqrt(1 - 2 * differ)) / 2
        (curve,) = estimate.label_error_curve(values, values[:, None], groups, [name], rates=[0.02, 0.03])
        left = ", ".join(
            f"{1 / value:.2f} at {100 * rate:.0f} %"
            for rate, value in zip((0.02, 0.03), curve.coefficients, strict=True)
        )
        rows.append(
            (
                f"share of the imprint of {name} left, by error rate",
                "not discussed",
                "",
                left,
                f"labels differ in {percent(differ)} of the pairs, so at most {percent(most)} can be wrong at random",
            )
        )
    return rows


def rare() -> list[Row]:
    """Rare features: in how many pairs they can differ at all, and what errors clustered by prompt are worth there."""
    rows: list[Row] = []
    for name, (chosen, rejected) in SEAL["means"].items():
        least, most = abs(chosen - rejected) * N_PAIRS, (chosen + rejected) * N_PAIRS
        rows.append(
            (
                f"pairs in which {name} differs",
                f"{chosen:.3f} and {rejected:.3f} of texts",
                f"{least:,.0f} to {most:,.0f}",
                f"{least / 100:,.0f} to {most / 100:,.0f} of a 1 % sample",
                "only these pairs identify it within prompts",
            )
        )
    text = (ROOT / "docs" / "validation.md").read_text("utf-8")
    for n in (2, 5, 20):
        rates = [
            re.search(
                rf"^\| Eq\. \(1\), {kind} \| feature differs in {n} of 1,000 prompts \|.*\| ([\d.]+) % ± [\d.]+ \|$",
                text,
                re.M,
            )
            for kind in (r"clustered \(CRV1\)", "CR2 and Satterthwaite")
        ]
        assert all(rates)
        crv1, cr2 = (found[1] for found in rates if found)
        rows.append(
            (
                f"true nulls rejected at 5 %, feature differs in {n} of 1,000 prompts",
                "errors not clustered",
                "",
                f"{cr2} % with CR2, {crv1} % with the common CRV1",
                "measured on planted pairs, see validation.md",
            )
        )
    return rows


def waiting() -> list[Row]:
    """What no published count allows."""
    return [
        (
            "imprint of harmless before, after (Eq. 1)",
            "-0.85, 2.09",
            "",
            WAITS,
            "pooled OLS with the row number as a covariate",
        ),
        (
            "imprint of eloquent before, after (Eq. 1)",
            "1.40, 0.81",
            "",
            WAITS,
            "the same; Eq. (1) has an intercept for each prompt",
        ),
        (
            "imprints on the shift (Eq. 2)",
            "Figure 3",
            "",
            WAITS,
            "an intercept that the equation lacks, and the angle's origin",
        ),
        ("drivers of misalignment (Eq. 3)", "Figure 3", "", WAITS, "a linear probability model, read as log-odds"),
        (
            "coefficient with all flips held fixed (Eq. 4)",
            "0.1169",
            "",
            WAITS,
            "the joint table of flips is not published",
        ),
        ("correlation of rewards with those of rewrites", "0.958", "", WAITS, "no count gives it"),
    ]


def others() -> list[Row]:
    """Figures of others about reward models, the paper's among them."""
    before, after, _ = cells()
    n_test = OTHERS["hh_test_pairs"]
    rows: list[Row] = []
    for name, aligned in (("post", after), ("pre", before)):
        held = np.arange(n_test) < round(OTHERS["card"][name]["hh"] / 100 * n_test)
        seen, new = (estimate.alignment_resistance(each, 1 - each) for each in (aligned, held.astype(int)))
        gap = estimate.memorisation_gap(
            seen.alignment_resistance, seen.confidence_interval, new.alignment_resistance, new.confidence_interval
        )
        low, high = (100 * bound for bound in gap.confidence_interval)
        rows.append(
            (
                f"resistance of the {name} model: paper, on training pairs; its card, on others",
                f"{percent(seen.alignment_resistance)}; {percent(new.alignment_resistance)}",
                "",
                f"{100 * gap.gap:+.1f} points ({low:+.1f} to {high:+.1f})",
                "the post model was trained on the paper's pairs; if the card's split is the test split of 8,552 pairs",
            )
        )
    rows.append(
        (
            "resistance on webgpt, summarize: paper; cards, post model",
            f"49 %, 66 %; {100 - OTHERS['card']['post']['webgpt']:.1f} %, {100 - OTHERS['card']['post']['summarize']:.1f} %",
            "",
            WAITS,
            "a resistance of 66 % is below chance, on data that the model was trained on",
        )
    )
    return [*rows, *benchmarks()]


def benchmarks() -> list[Row]:
    """RewardBench, RewardBench 2, RM-Bench and AlpacaEval."""
    sections, subsets = rewardbench()
    found = estimate.group_differences(*subsets)
    rows: list[Row] = [
        (f"RewardBench, {name}, beaver-7b-v1.0-cost", f"{published:.3f}", f"{ours:.3f}", "", "")
        for name, (published, ours) in sections.items()
    ]
    rows.append(
        (
            f"RewardBench, whether its {len(found.groups)} subsets differ",
            "",
            "",
            f"F {found.statistic:.1f}, p {p_value(found.p_value)}",
            "no test was published; pairs are taken as independent",
        )
    )
    table = pd.read_csv(PUBLISHED / "alpaca_eval.csv")
    errors = np.array([abs(100 * mean.std_error - row.standard_error) for row, mean in alpaca(table)])
    undefined = np.isnan(errors)
    unlike = errors[~undefined] > 1e-6
    rows.append(
        (
            f"AlpacaEval, standard errors of {len(errors)} win rates",
            "102 numbers",
            f"{np.sum(~unlike)} equal, {np.sum(unlike)} not (by up to {np.nanmax(errors):.3f} points), "
            f"{np.sum(undefined)} undefined",
            "",
            "three printed errors do not follow from their own counts; where all are draws an error of 0 was printed",
        )
    )
    best = OTHERS["best_of_16"]
    mean = clustered_mean(outcomes(best["wins"], best["draws"], best["losses"]), None, 0.95)
    low, high = mean.interval
    rows.append(
        (
            "win rate of the best of 16 by the post model against GPT-3.5 Turbo",
            f"{best['win_rate']:.2f} %",
            f"{100 * mean.value:.2f} %",
            f"{percent(low)} to {percent(high)}",
            "its published interval is of win rates weighted by the judge's probabilities",
        )
    )
    return rows


def rewardbench() -> tuple[dict[str, tuple[float, float]], tuple[np.ndarray, np.ndarray]]:
    """Scores of sections, by accuracies and from pairs; and for each pair whether it is right, and its subset."""
    sections, right, names = {}, [], []
    for section, subsets in OTHERS["rewardbench"].items():
        weights = [OTHERS["math_prm_weight"] if name == "math-prm" else n for name, (n, _) in subsets.items()]
        published = np.average([accuracy for _, accuracy in subsets.values()], weights=weights)
        ours = []
        for name, (n, accuracy) in subsets.items():
            wins = np.arange(n) < round(accuracy * n)
            ours.append(estimate.alignment_resistance(wins, ~wins).alignment_score)
            right.append(wins)
            names += [name] * n
        sections[section] = (float(published), float(np.average(ours, weights=weights)))
    return sections, (np.concatenate(right).astype(float), np.array(names))


def alpaca(table: pd.DataFrame) -> list[tuple[Any, Any]]:
    """Each published row, and its win rate from counts."""
    return [
        (row, clustered_mean(outcomes(row.n_wins, row.n_draws, row.n_wins_base), None, 0.95))
        for row in table.itertuples()
    ]


def outcomes(wins: int, draws: int, losses: int) -> np.ndarray:
    """One number per comparison: 1, 1/2 or 0."""
    return np.repeat([1.0, 0.5, 0.0], [wins, draws, losses])


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f} %"


def p_value(p: float) -> str:
    """A p-value, or a bound on one that is small."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    each.__name__: each for each in (regimes, labeler, rewriting, shift, label_errors, rare, others, waiting)
}


def render(section: str) -> str:
    """A section as a Markdown table."""
    lines = [HEAD, ("---",) * len(HEAD), *SECTIONS[section]()]
    return "\n".join(f"| {' | '.join(cell or '–' for cell in line)} |" for line in lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", nargs="*", help=", ".join(SECTIONS))
    for name in parser.parse_args().section or SECTIONS:
        print(render(name))


if __name__ == "__main__":
    main()
