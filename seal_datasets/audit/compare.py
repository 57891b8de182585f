"""Comparison of audits: resistance, imprint and robustness of several reward models or datasets, with tests.

Two audits of the same pairs are compared pair by pair, with errors clustered by prompt; audits of different pairs, by
their estimates and errors. This module selects rows and columns; `estimate.comparison` computes.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.atomic import filling, write_json, write_text
from seal_datasets.audit.compare_figures import draw_comparison
from seal_datasets.audit.compare_markdown import render_comparison
from seal_datasets.audit.compare_page import Comparison, render_comparison_page
from seal_datasets.audit.match_models import Audit, Subject, describe_matches, match_models, subjects_of
from seal_datasets.audit.shared_pairs import FEWEST_PROMPTS, describe_shared, shared_pairs, without_ties
from seal_datasets.data.hub_answers import asking_hub, first_line
from seal_datasets.errors import DataError
from seal_datasets.estimate.comparison import (
    Estimate,
    compare_standardised_imprints,
    estimate_from_interval,
    standardised_estimate,
)
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.hub.recompute import find_published, restore_pairs
from seal_datasets.labels.design import Design, feature_design
from seal_datasets.report.analyze_part import MIN_INFORMATION, Sides, rewards_of
from seal_datasets.report.audited_models import AuditedModels, models_of
from seal_datasets.report.files import PAIRS_FILE, REPORT_FILE, check_pairs, features_of, read_valid

Json = dict[str, Any]
COMPARE_PAGE = "compare.html"
_INDEPENDENT = "independent estimates"
_PAIRED = "paired, by prompt"


def compare_audits(sources: Sequence[str | Path], out: str | Path | None = None) -> Comparison:
    """Compare the reward models of several audits, and write a page, a table and a figure.

    Models of two audits are compared where they are the same by revision, or else by short name; of two audits with one model
    each beside the baseline, those two are.

    Args:
        sources (`Sequence[str | Path]`): Two or more audits. Each is a folder of a finished or published audit, a
            `report.json` file, or the id of a Hub dataset with either.
        out (`str` or `Path`, *optional*): Folder for `compare.html`, `compare.md`, `compare.json` and `compare.png`.

    Returns:
        `Comparison`: A mapping, JSON-ready: `models` compared, `estimates` of each quantity by model, `differences` with tests,
        `joint`, `shared` and `notes`. `shared` holds, for the pairs that the audits have in common, ranks of the models and
        where they disagree. `joint` holds, for three or more independent audits of one model each, a test (Cochran's Q) that
        they are equal and their mean as a sample of audits (`random_effects`).

    Raises:
        DataError: Fewer than two audits are given, two have the same name, or one cannot be read.
    """
    if len(sources) < 2:
        raise DataError(f"sources holds {len(sources)} audit(s); give two or more to compare")
    audits = [read_source(source, name) for source, name in zip(sources, _name_audits(sources), strict=True)]
    subjects = subjects_of(audits)
    rows = _collect_estimates(subjects)
    differences, notes = _compare_each_two(audits, subjects, rows)
    shared = shared_pairs(audits, subjects)
    content = {
        "models": [_describe(subject) for subject in subjects],
        "estimates": rows,
        "differences": differences,
        "joint": _test_all_equal(subjects, rows, differences) if len(subjects) == len(audits) else [],
        "shared": None if shared is None else describe_shared(shared),
        "notes": notes,
    }
    result = Comparison(content, shared)
    if out is not None:
        with filling(out) as folder:
            write_json(folder / "compare.json", result)
            draw_comparison(result, folder / "compare.png")
            text = render_comparison(result) + "\n![Estimates with 95 % intervals](compare.png)\n"
            write_text(folder / "compare.md", text)
            write_text(folder / COMPARE_PAGE, render_comparison_page(result, shared))
    return result


def _describe(subject: Subject) -> Json:
    run, population = subject.report["run"], subject.report["population"]
    examination = (run.get("doctor") or {}).get(subject.model) or {}
    return {
        "name": subject.name,
        "audit": subject.audit.name,
        "source": run["source"],
        "model": run["models"][subject.model]["model"],
        "revision": run["models"][subject.model]["revision"],
        "n_pairs": population["n_used"],
        "n_prompts": population["n_prompts"],
        "estimated_on": population["estimated_on"],
        "has_pairs": subject.audit.pairs is not None,
        "failed_checks": list(examination.get("failed", ())),
    }


def read_source(source: str | Path, name: str) -> Audit:
    """Read an audit.

    Args:
        source (`str` or `Path`): As for `compare_audits`.
        name (`str`): Name in the comparison.

    Returns:
        `Audit`: Its report, and its pairs if stored beside it.

    Raises:
        DataError: The source is missing, cannot be read, or is not a report.
    """
    published = find_published(str(source))
    report_path = _find_report(source) if published is None else published / REPORT_FILE
    report = read_valid(report_path, "compared")
    models, table = models_of(report["run"]), report_path.with_name(PAIRS_FILE)
    pairs = None
    if published is not None:
        pairs = _read_published_pairs(published, models)
    elif Path(source).expanduser().is_dir() and table.is_file():
        pairs = _read_pairs(table, models)
    return Audit(name, report, pairs)


def _name_audits(sources: Sequence[str | Path]) -> list[str]:
    """Name audits by the last part of their paths or ids, or by the whole path if that part is not unique."""
    paths = [Path(str(source).removesuffix(f"/{REPORT_FILE}")) for source in sources]
    short = [path.name or path.absolute().name for path in paths]
    names = [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths, strict=True)]
    if len(set(names)) < len(names):
        raise DataError(f"an audit is named twice: {', '.join(names)}; give each audit once")
    return names


def _find_report(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path / REPORT_FILE
    if path.is_file() or str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        return path
    try:
        with asking_hub(str(source)):
            return Path(hf_hub_download(str(source), REPORT_FILE, repo_type="dataset"))
    except (OSError, ValueError, httpx2.HTTPError, HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"there is no folder {path.absolute()} and no dataset {source!r} on the Hub with a readable {REPORT_FILE}; give "
            f"a folder of `seal audit` or a dataset id: {first_line(error)}"
        ) from None


def _read_published_pairs(published: Path, models: AuditedModels) -> pd.DataFrame | None:
    with tempfile.TemporaryDirectory() as folder:
        restore_pairs(published, Path(folder, PAIRS_FILE))
        return _read_pairs(Path(folder, PAIRS_FILE), models)


def _read_pairs(path: Path, models: AuditedModels) -> pd.DataFrame | None:
    """Pairs that the report speaks of, indexed by a digest of their texts, without duplicates.

    Returns:
        `DataFrame`: Held-out pairs where these are known; `None` for a table without texts.
    """
    check_pairs(path, models.names)
    table = pd.read_parquet(path)
    if not {schema.CHOSEN, schema.REJECTED} <= set(table):
        return None
    used = table[table[schema.margin_column(models.last)].notna()]
    if schema.PARTITION in used and (used[schema.PARTITION] == "heldout").any():
        used = used[used[schema.PARTITION] == "heldout"]
    texts = zip(used[schema.PROMPT_ID], used[schema.CHOSEN], used[schema.REJECTED], strict=True)
    keys = [hashlib.blake2b(json.dumps(pair).encode(), digest_size=16).hexdigest() for pair in texts]
    keyed: pd.DataFrame = used.set_index(pd.Index(keys))
    return keyed[~keyed.index.duplicated()]


def _collect_estimates(subjects: Sequence[Subject]) -> list[Json]:
    """One row per quantity, with every model's estimate, error and interval."""
    rows: dict[tuple[str, str], Json] = {}
    for subject in subjects:
        for quantity, of, value in _read_estimates(subject.report, subject.model):
            row = rows.setdefault((quantity, of), {"quantity": quantity, "of": of, "by_model": {}})
            row["by_model"][subject.name] = value.to_dict()
    order = {"resistance": 0, "imprint": 1, "robustness": 2}
    return sorted(rows.values(), key=lambda row: order[row["quantity"]])


def _read_estimates(report: Json, model: str) -> Iterator[tuple[str, str, Estimate]]:
    """Quantity, subject and estimate of everything that a report says of a model and a comparison includes."""
    resistance = report["models"][model]["resistance"][report["population"]["estimated_on"]]
    yield "resistance", "", _share_estimate(resistance["alignment_resistance"], resistance["confidence_interval"])
    seen: set[str] = set()
    for part in report["imprint"].values():
        for row in part.get("models", {}).get(model, {}).get("imprint", ()):
            if row["feature"] in seen or row["standardised"] is None or not row["coefficient"] or not row["std_error"]:
                continue
            seen.add(row["feature"])
            yield (
                "imprint",
                row["feature"],
                standardised_estimate(row["coefficient"], row["std_error"], row["standardised"]),
            )
    for preset_name, preset in report.get("rewrites", {}).get("presets", {}).items():
        alignment = preset["alignment"].get(model, {})
        if alignment.get("status") == "ok":
            yield "robustness", preset_name, _share_estimate(alignment["change"], alignment["confidence_interval"])


def _share_estimate(value: float | None, interval: Sequence[float | None]) -> Estimate:
    low, high = map(_number, interval)
    return estimate_from_interval(_number(value), (low, high))


def _number(value: float | None) -> float:
    """A number of a report; nan for `None`."""
    return math.nan if value is None else value


def _compare_each_two(
    audits: Sequence[Audit], subjects: Sequence[Subject], rows: Sequence[Json]
) -> tuple[list[Json], list[str]]:
    """Differences between the matching models of every two audits, adjusted within a quantity, and a note on each."""
    differences: list[Json] = []
    notes: list[str] = []
    for earlier, later in combinations(audits, 2):
        shared, n_prompts = _shared_pairs(earlier, later)
        matches = match_models(*([each for each in subjects if each.audit is audit] for audit in (earlier, later)))
        for first, second in matches:
            if shared is not None and n_prompts >= FEWEST_PROMPTS:
                differences += _compare_paired(first, second, shared)
            else:
                differences += _compare_independent(first, second, rows)
        note = _note(earlier, later, shared, n_prompts)
        notes.append(f"{note} {describe_matches(matches)}".rstrip())
    for quantity in ("resistance", "imprint", "robustness"):
        family = [row for row in differences if row["quantity"] == quantity]
        p_values = np.array([_number(row["p_value"]) for row in family])
        for row, p in zip(family, adjust_p(p_values, "holm"), strict=True):
            row["p_adjusted"] = None if np.isnan(p) else float(p)
    return differences, notes


def _note(earlier: Audit, later: Audit, shared: pd.Index[Any] | None, n_prompts: int) -> str:
    """How two audits are compared, and why."""
    names = f"{earlier.name} and {later.name}"
    if shared is None:
        return (
            f"{names}: no pairs with texts beside a report, so estimates are taken as independent; if they rest on "
            "the same pairs, the tests are off."
        )
    if n_prompts >= FEWEST_PROMPTS:
        return f"{names}: compared pair by pair on {len(shared):,} pairs of {n_prompts:,} prompts that both have."
    if n_prompts:
        return f"{names}: only {n_prompts} prompts in common; taken as independent."
    return f"{names}: no pairs in common; compared by their estimates and errors."


def _shared_pairs(earlier: Audit, later: Audit) -> tuple[pd.Index[Any] | None, int]:
    """Keys and number of prompts of the pairs that both audits have; `None` if an audit has no texts."""
    if earlier.pairs is None or later.pairs is None:
        return None, 0
    keys = earlier.pairs.index.intersection(later.pairs.index)
    return keys, int(earlier.pairs.loc[keys, schema.PROMPT_ID].nunique())


def _compare_independent(earlier: Subject, later: Subject, rows: Sequence[Json]) -> list[Json]:
    differences = []
    for row in rows:
        if not {earlier.name, later.name} <= row["by_model"].keys():
            continue
        both = [row["by_model"][each.name] for each in (earlier, later)]
        values, errors = ([_number(entry[key]) for entry in both] for key in ("estimate", "std_error"))
        test = estimate.compare_estimates([earlier.name, later.name], values, errors).differences[0].to_dict()
        differences.append({"quantity": row["quantity"], "of": row["of"], **test, "test": _INDEPENDENT})
    return differences


def _test_all_equal(subjects: Sequence[Subject], rows: Sequence[Json], differences: Sequence[Json]) -> list[Json]:
    """Tests that three or more audits are equal, and their mean; none if any two were compared pair by pair."""
    if len(subjects) < 3 or any(row["test"] != _INDEPENDENT for row in differences):
        return []
    tests = []
    for row in rows:
        known = {name: entry for name, entry in row["by_model"].items() if entry["std_error"]}
        if len(known) < 3:
            continue
        values, errors = ([entry[key] for entry in known.values()] for key in ("estimate", "std_error"))
        test = estimate.compare_estimates(list(known), values, errors).to_dict()
        numbers = {key: test[key] for key in ("statistic", "degrees_of_freedom", "p_value", "random_effects")}
        tests.append({"quantity": row["quantity"], "of": row["of"], "n_audits": len(known), **numbers})
    return tests


def _compare_paired(earlier: Subject, later: Subject, keys: pd.Index[Any]) -> list[Json]:
    """Differences of resistance and imprints of two models on the pairs that both audits have."""
    first, second = (each.audit.pairs.loc[keys] for each in (earlier, later) if each.audit.pairs is not None)
    prompts = first[schema.PROMPT_ID].to_numpy()
    margins = {
        each.name: without_ties(table[schema.margin_column(each.model)].to_numpy(float), each)
        for each, table in ((earlier, first), (later, second))
    }
    change = next(iter(estimate.resistance_trajectory(margins, groups=prompts).changes.values())).to_dict()
    names = {"earlier": earlier.name, "later": later.name}
    resistance = {
        "quantity": "resistance",
        "of": "",
        **names,
        "difference": change["change"],
        "confidence_interval": change["confidence_interval"],
        "p_value": change["p_value"],
        "test": _PAIRED,
    }
    design = _shared_features(earlier.audit, later.audit, first, second)
    rewards = [rewards_of(table, each.model) for each, table in ((earlier, first), (later, second))]
    imprints = [
        {
            "quantity": "imprint",
            "of": row["feature"],
            **names,
            **{key: row[key] for key in ("difference", "confidence_interval", "p_value")},
            "test": _PAIRED,
        }
        for row in _paired_imprints(rewards, design, prompts)
    ]
    return [resistance, *imprints]


def _paired_imprints(rewards: Sequence[Sides], design: Design, prompts: NDArray[Any]) -> list[Json]:
    complete = design.complete
    if not design.names or not complete.any():
        return []
    earlier_rewards, later_rewards = (np.concatenate([side[complete] for side in sides]) for sides in rewards)
    differences = compare_standardised_imprints(
        earlier_rewards,
        later_rewards,
        np.concatenate([design.chosen[complete], design.rejected[complete]]),
        np.tile(prompts[complete], 2),
        design.names,
        min_information=MIN_INFORMATION,
    )
    return [difference.to_dict() for difference in differences]


def _shared_features(earlier: Audit, later: Audit, first: pd.DataFrame, second: pd.DataFrame) -> Design:
    """Features with the same values in both audits; labels by different labelers count as different features."""
    known = {feature.name for feature in features_of(later.report["run"])}
    features = [feature for feature in features_of(earlier.report["run"]) if feature.name in known]
    design, other = feature_design(first, features), feature_design(second, features)
    same = np.array(
        [
            np.array_equal(design.chosen[:, i], other.chosen[:, i], equal_nan=True)
            and np.array_equal(design.rejected[:, i], other.rejected[:, i], equal_nan=True)
            for i in range(len(design.names))
        ],
        dtype=bool,
    )
    return design.select(same).without_references()
