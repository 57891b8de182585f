"""A comparison as one page of the same kind as a report's, and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from seal_datasets import schema
from seal_datasets.audit.compare_figures import (
    differences_figure,
    imprints_figure,
    ranking_figure,
    resistance_figure,
    robustness_figure,
    splits_figure,
)
from seal_datasets.audit.compare_markdown import comparison_fields
from seal_datasets.audit.compare_verdict import compare_steps, compare_verdict
from seal_datasets.audit.shared_pairs import SharedPairs, tie_band
from seal_datasets.cards import render_card
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.page.document import Document, render_document
from seal_datasets.report.page.figure import Figure, feature_title
from seal_datasets.report.page.notebook import Displayed, StaticPair
from seal_datasets.report.page.pair_columns import (
    CRUDE,
    MOST_PAIRS,
    has_crude_words,
    packed_texts,
    pair_columns,
    sampled_rows,
)
from seal_datasets.report.page.sections import Section, to_html
from seal_datasets.report.page.verdict import Sentence

_FIRST = 3
_ONE_MODEL = "`seal audit DATA --model MODEL --out FOLDER`"


class Comparison(Displayed):
    """What `compare_audits` found: a mapping, JSON-ready, that displays itself in a notebook.

    Attributes:
        shared_pairs (`SharedPairs`, *optional*): The pairs that the audits have in common.
    """

    main = ("ranking", "alignment", "rewarded")

    def __init__(self, content: Mapping[str, Any], shared: SharedPairs | None) -> None:
        super().__init__(content)
        self.shared_pairs = shared

    def sentences(self) -> list[Sentence]:
        """The verdict."""
        return compare_verdict(self)

    def sections(self) -> list[Section]:
        """All sections, in order."""
        return comparison_sections(self)

    def first_pairs(self) -> list[StaticPair]:
        """Pairs to read first: of most disagreement in favour of one model, most against the other's choice."""
        return [] if self.shared_pairs is None else _first(self, self.shared_pairs)


def comparison_sections(result: Mapping[str, Any]) -> list[Section]:
    """Make the sections of a comparison's page.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.

    Returns:
        `list[Section]`: All of them, in order; the reader of pairs is in the one with the id `pairs`.
    """
    fields = comparison_fields(result)
    splits = splits_figure(result)
    return [
        Section("compared", "Compared", "What was compared", body=_html("page_compared.md", **fields), open=True),
        _section("ranking", "Ranking", "Ranking", [ranking_figure(result)], _no_ranking(result)),
        _section(
            "alignment",
            "Alignment",
            "Alignment",
            [None if _all_ranked(result) else resistance_figure(result), differences_figure(result, "resistance")],
            "No audit has an estimate of resistance, and none of two models can be compared.",
        ),
        _section(
            "rewarded",
            "Imprints",
            "What is rewarded",
            [imprints_figure(result), differences_figure(result, "imprint")],
            f"No feature was tested in these audits. {_ONE_MODEL} with a `--labeler`, or with `--gold`, labels features.",
        ),
        Section("pairs", "Pairs", splits.title, [splits])
        if splits
        else Section("pairs", "Pairs", "Pairs on which the models disagree", empty=_no_pairs(result)),
        _section(
            "robustness",
            "Robustness",
            "Robustness to rewriting",
            [robustness_figure(result), differences_figure(result, "robustness")],
            "No rewrites in these audits. The same commands with `--rewrite-share 0.01` and a `--rewriter` add them.",
        ),
        Section("numbers", "Numbers", "All numbers", body=_html("comparison_table.md", **fields)),
        Section("how", "How", "How this was made", body=_html("page_compare_methods.md"), open=True),
    ]


def render_comparison_page(result: Mapping[str, Any], shared: SharedPairs | None) -> str:
    """Render a comparison as one HTML page.

    Args:
        result (`Mapping[str, Any]`): From `compare_audits`.
        shared (`SharedPairs`, *optional*): The pairs that the audits have in common, which the page holds.

    Returns:
        `str`: The page, without a reference to anything outside of it but links.
    """
    n_models, n_audits = len(result["models"]), len({model["audit"] for model in result["models"]})
    data: dict[str, Any] = {"n": 0} if shared is None else _data(shared, result["shared"])
    note = "" if shared is None else _note(len(data["texts"]["rows"]), data["n"], result["shared"])
    byline = f"SEAL comparison · {n_models} models of {n_audits} audits"
    if result["shared"]:
        byline += f" · {result['shared']['n_pairs']:,} shared pairs of {result['shared']['n_prompts']:,} prompts"
    first = [] if shared is None else _first(result, shared)
    return render_document(
        Document(
            title=_title(result),
            byline=byline,
            verdict=compare_verdict(result),
            steps=compare_steps(result),
            sections=comparison_sections(result),
            first=[{"id": pair.pair_id, "why": pair.why} for pair in first],
            note=note,
            data=data,
            again="Every number can be computed again from the audits: `seal compare FOLDER FOLDER --out FOLDER`.",
        )
    )


def _title(result: Mapping[str, Any]) -> str:
    names, sources = [model["name"] for model in result["models"]], {model["source"] for model in result["models"]}
    whose = " and ".join(names) if len(names) == 2 else f"{len(names)} models"
    where = f" on {next(iter(sources))}" if len(sources) == 1 else ""
    return f"{whose} compared{where}"


def _section(id_: str, short: str, title: str, figures: list[Figure | None], empty: str) -> Section:
    made = [figure for figure in figures if figure is not None]
    return Section(id_, short, made[0].title, made) if made else Section(id_, short, title, empty=empty)


def _all_ranked(result: Mapping[str, Any]) -> bool:
    """Whether the ranking shows every model's resistance."""
    return bool(result["shared"] and "ranking" in result["shared"]) and len(result["shared"]["models"]) == len(
        result["models"]
    )


def _no_ranking(result: Mapping[str, Any]) -> str:
    if not result["shared"]:
        return f"Models are ranked on pairs that they share, and these audits share none. {_ONE_MODEL} on the same data does."
    return "Two models need no ranking: the next section holds their difference."


def _no_pairs(result: Mapping[str, Any]) -> str:
    if all(model["has_pairs"] for model in result["models"]):
        why = "These audits have no pairs in common."
    else:
        why = "The texts of these audits' pairs are not beside their reports."
    return f"{why} `seal compare` of folders of audits of the same data shows the pairs here."


def _html(template: str, **fields: object) -> Markup:
    return to_html(render_card(template, **fields))


def _data(shared: SharedPairs, found: Mapping[str, Any]) -> dict[str, Any]:
    """The shared pairs as the page holds them."""
    table, whole = _table(shared), len(shared.first) <= MOST_PAIRS
    if not whole:
        table = table.sample(MOST_PAIRS, random_state=0).sort_index()
    held = sampled_rows(table["_disagree"].to_numpy())
    texts = _texts(table.iloc[held])
    features = [feature.name for feature in shared.features]
    expected = {
        "where": "all",
        "resistance": {name: row["alignment_resistance"] for name, row in found["resistance"].items()},
        "tie_bands": {subject.name: tie_band(subject) for subject in shared.subjects},
        "regimes": {},
        "has_regimes": False,
        "imprint": {"model": shared.names[-1], "design": [], "coefficients": {}},
    }
    return {
        **pair_columns(table, shared.features, AuditedModels(tuple(shared.names))),
        "texts": packed_texts(held, texts),
        "models": shared.names,
        "features": features,
        "titles": {name: feature_title(name) for name in features},
        "crude": CRUDE,
        "tie_band": 0.0,
        "tie_bands": expected["tie_bands"],
        "compares": True,
        "start": {"split": "any"},
        "expected": expected if whole else None,
    }


def _table(shared: SharedPairs) -> pd.DataFrame:
    """One row per shared pair: ids and texts of the first audit, rewards of every model by its name in the comparison."""
    names = [name for name in (schema.PAIR_ID, schema.PROMPT_ID, schema.PROMPT, *schema.SIDES) if name in shared.first]
    features = [schema.feature_column(each.name, side) for each in shared.features for side in schema.SIDES]
    columns = {name: shared.first[name].to_numpy() for name in (*names, *features)}
    for subject in shared.subjects:
        of = shared.tables[subject.audit.name]
        for side in schema.SIDES:
            columns[schema.reward_column(subject.name, side)] = of[schema.reward_column(subject.model, side)].to_numpy()
    aligned = np.stack([margin > 0 for margin in shared.margins.values()])
    columns["_disagree"] = np.where(aligned.any(axis=0) & ~aligned.all(axis=0), "disagree", "agree")
    return pd.DataFrame(columns)


def _first(result: Mapping[str, Any], shared: SharedPairs) -> list[StaticPair]:
    """Of the two models that most often disagree in one direction, the pairs most against people's choice."""
    split = max(result["shared"]["splits"], key=lambda row: row["count"])
    margins, table = shared.margins, shared.first
    crude = has_crude_words(table)
    against = np.where(margins[split["prefers"]] > 0, margins[split["not"]], np.inf)
    rows = [int(row) for row in np.argsort(against, kind="stable")[:_FIRST] if against[row] <= 0]
    texts = _texts(table.iloc[rows])
    return [
        StaticPair(
            str(table[schema.PAIR_ID].iloc[row]),
            f"{split['prefers']} prefers the chosen response by {margins[split['prefers']][row]:.2f}, {split['not']} the "
            f"rejected one by {-against[row]:.2f}",
            prompt=texts[schema.PROMPT][place],
            chosen=texts[schema.CHOSEN][place],
            rejected=texts[schema.REJECTED][place],
            crude=bool(crude[row]),
        )
        for place, row in enumerate(rows)
    ]


def _texts(table: pd.DataFrame) -> dict[str, list[str]]:
    """Prompts and responses of some pairs; empty where there is none."""
    names = (schema.PROMPT, *schema.SIDES)
    return {
        name: [text if isinstance(text, str) else "" for text in (table[name] if name in table else [""] * len(table))]
        for name in names
    }


def _note(n_texts: int, n: int, found: Mapping[str, Any]) -> str:
    """What the page holds, and whose ids these are."""
    ids = f"Ids are those of {found['audits'][0]}."
    if n_texts == n == found["n_pairs"]:
        return ids
    numbers = (
        f"all {n:,} shared pairs"
        if n == found["n_pairs"]
        else f"{n:,} of {found['n_pairs']:,} shared pairs, drawn at random"
    )
    texts = f"the texts of {n_texts:,}, half of them pairs on which the models disagree where there are as many"
    return f"This page holds the numbers of {numbers}, and {texts}; `pairs.parquet` of each audit holds all. {ids}"
