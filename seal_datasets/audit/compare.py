"""Audits side by side: resistance, imprint and robustness of several reward models or datasets, with tests of what differs.

Two audits of the same pairs are compared pair by pair, with errors clustered by prompt; two of different pairs by their
estimates and errors. No statistics live here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from seal_datasets.audit.compare_markdown import render_comparison
from seal_datasets.errors import DataError
from seal_datasets.estimate.intervals import critical_value
from seal_datasets.estimate.multiplicity import adjust_p
from seal_datasets.hub.recompute import find_published, restore_pairs
from seal_datasets.labels.design import Design, feature_design
from seal_datasets.report.analyze import MIN_DISCORDANT
from seal_datasets.report.figures import draw_comparison
from seal_datasets.report.files import PAIRS_FILE, REPORT_FILE, features_of

Json = dict[str, Any]
_FEWEST_PROMPTS = 10
"""Prompts that two audits must share to be compared pair by pair."""

_INDEPENDENT = "independent estimates"
_Z = critical_value(0.95, float("inf"))


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished audit.

    Attributes:
        name (`str`): What it is called beside others.
        report (`dict[str, Any]`): Content of `report.json`.
        pairs (`DataFrame`, *optional*): Its usable pairs by a key of their texts, where they are at hand.
    """

    name: str
    report: Json
    pairs: pd.DataFrame | None


def compare_audits(sources: Sequence[str | Path], out: str | Path | None = None) -> Json:
    """Compare several audits, and write a table and a figure.

    Args:
        sources (`Sequence[str | Path]`): Two or more folders of finished or published audits, `report.json` files, or ids of
            datasets on the Hub that hold a published audit or a `report.json`.
        out (`str` or `Path`, *optional*): Folder for `compare.md`, `compare.json` and `compare.png`.

    Returns:
        `dict[str, Any]`: JSON-ready: `audits`, `estimates` of each quantity by audit, `differences` with tests, for three or
        more independent audits `joint` tests (Cochran's Q) that all are equal, `notes`.

    Raises:
        DataError: There are fewer than two audits, or one cannot be read.
    """
    if len(sources) < 2:
        raise DataError(f"there is nothing to compare {len(sources)} audit(s) with; give two or more")
    audits = [read_source(source, name) for source, name in zip(sources, _names(sources), strict=True)]
    rows = _estimates(audits)
    differences, notes = _differences(audits, rows)
    result = {
        "audits": [
            {
                "name": audit.name,
                "source": audit.report["run"]["source"],
                "post": audit.report["run"]["models"]["post"]["model"],
                "n_pairs": audit.report["population"]["n_used"],
                "n_prompts": audit.report["population"]["n_prompts"],
            }
            for audit in audits
        ],
        "estimates": rows,
        "differences": differences,
        "joint": _joint(audits, rows, differences),
        "notes": notes,
    }
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "compare.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", "utf-8")
        draw_comparison(result, folder / "compare.png")
        text = render_comparison(result) + "\n![Estimates with 95 % intervals](compare.png)\n"
        (folder / "compare.md").write_text(text, "utf-8")
    return result


def read_source(source: str | Path, name: str) -> Audit:
    """Read an audit.

    Args:
        source (`str` or `Path`): As for `compare_audits`.
        name (`str`): What to call it.

    Returns:
        `Audit`: Its report, and its pairs where they are beside it.

    Raises:
        DataError: It is not there, or is no report.
    """
    published = find_published(str(source))
    if published is not None:
        report_path, pairs = published / REPORT_FILE, _published_pairs(published)
    else:
        report_path = _report_file(source)
        table = report_path.with_name(PAIRS_FILE)
        pairs = _pairs(table) if Path(source).expanduser().is_dir() and table.is_file() else None
    try:
        report = json.loads(report_path.read_text("utf-8"))
        missing = [key for key in ("run", "population", "resistance", "imprint") if key not in report]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {report_path.absolute()}: {error}; give a finished `seal audit`") from error
    if missing:
        raise DataError(f"{report_path.absolute()} is no report of `seal audit`: it lacks {', '.join(missing)}")
    return Audit(name, report, pairs)


def _names(sources: Sequence[str | Path]) -> list[str]:
    """The last part of each path or id; the whole where that is not unlike the others."""
    paths = [Path(str(each).removesuffix(f"/{REPORT_FILE}")) for each in sources]
    short = [path.name for path in paths]
    names = [name if short.count(name) == 1 else str(path) for name, path in zip(short, paths, strict=True)]
    if len(set(names)) < len(names):
        raise DataError(f"an audit is named twice: {', '.join(names)}")
    return names


def _report_file(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path / REPORT_FILE
    if path.is_file() or str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        return path
    try:
        return Path(hf_hub_download(str(source), REPORT_FILE, repo_type="dataset"))
    except (OSError, ValueError, httpx2.HTTPError, HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"there is no folder {path.absolute()}, and no dataset {source!r} on the Hub with a {REPORT_FILE} that can be had: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _published_pairs(published: Path) -> pd.DataFrame | None:
    with tempfile.TemporaryDirectory() as folder:
        restore_pairs(published, Path(folder, PAIRS_FILE))
        return _pairs(Path(folder, PAIRS_FILE))


def _pairs(path: Path) -> pd.DataFrame | None:
    """Usable pairs under a key of their texts, of pairs that occur twice the first; `None` where texts were not published."""
    table = pd.read_parquet(path)
    if not {schema.CHOSEN, schema.REJECTED} <= set(table):
        return None
    used = table[table[schema.REGIME].notna()]
    texts = zip(used[schema.PROMPT_ID], used[schema.CHOSEN], used[schema.REJECTED], strict=True)
    keys = [hashlib.blake2b(json.dumps(each).encode(), digest_size=16).hexdigest() for each in texts]
    keyed: pd.DataFrame = used.set_index(pd.Index(keys))
    return keyed[~keyed.index.duplicated()]


def _estimates(audits: Sequence[Audit]) -> list[Json]:
    """One row for each quantity, with each audit's estimate, error and interval."""
    rows: dict[tuple[str, str], Json] = {}
    for audit in audits:
        for quantity, of, found in _of_report(audit.report):
            row = rows.setdefault((quantity, of), {"quantity": quantity, "of": of, "by_audit": {}})
            row["by_audit"][audit.name] = found
    order = {"resistance": 0, "imprint": 1, "robustness": 2}
    return sorted(rows.values(), key=lambda row: order[row["quantity"]])


def _of_report(report: Json) -> list[tuple[str, str, Json]]:
    whole = report["resistance"]["all"]
    interval = whole.get("cluster_interval") or whole["confidence_interval"]
    if None in interval:
        interval = whole["confidence_interval"]
    found = [("resistance", "", _with_error(whole["alignment_resistance"], interval))]
    seen: set[str] = set()
    for part in report["imprint"].values():
        for row in part.get("post", {}).get("imprint", ()):
            if row["feature"] in seen or row["standardised"] is None or not row["coefficient"] or not row["std_error"]:
                continue
            seen.add(row["feature"])
            error = row["std_error"] * row["standardised"] / row["coefficient"]
            value = row["standardised"]
            found.append(("imprint", row["feature"], _known(value, error, [value - _Z * error, value + _Z * error])))
    for name, preset in report.get("rewrites", {}).get("presets", {}).items():
        entry = preset["alignment"].get("post", {})
        if entry.get("status") == "ok":
            found.append(("robustness", name, _with_error(entry["change"], entry["confidence_interval"])))
    return found


def _with_error(value: float | None, interval: Sequence[float | None]) -> Json:
    low, high = interval
    error = (high - low) / (2 * _Z) if low is not None and high is not None else None
    return _known(value, error, list(interval))


def _known(value: float | None, error: float | None, interval: list[Any]) -> Json:
    return {"estimate": value, "std_error": error, "confidence_interval": interval}


def _differences(audits: Sequence[Audit], rows: Sequence[Json]) -> tuple[list[Json], list[str]]:
    differences: list[Json] = []
    notes: list[str] = []
    for earlier, later in combinations(audits, 2):
        shared, n_prompts = _shared(earlier, later)
        two = f"{earlier.name} and {later.name}"
        if shared is not None and n_prompts >= _FEWEST_PROMPTS:
            differences += _paired(earlier, later, shared)
            notes.append(
                f"{two}: compared pair by pair on {len(shared):,} pairs of {n_prompts:,} prompts that both have."
            )
            continue
        if earlier.pairs is None or later.pairs is None:
            notes.append(
                f"{two}: no pairs with texts beside a report, so estimates are taken as independent; if they rest on "
                "the same pairs, the tests are off."
            )
        elif n_prompts:
            notes.append(f"{two}: only {n_prompts} prompts in common; taken as independent.")
        else:
            notes.append(f"{two}: no pairs in common; compared by their estimates and errors.")
        differences += _independent(earlier, later, rows)
    for quantity in ("resistance", "imprint", "robustness"):
        family = [each for each in differences if each["quantity"] == quantity]
        p_values = np.array([np.nan if each["p_value"] is None else each["p_value"] for each in family])
        for each, p in zip(family, adjust_p(p_values, "holm"), strict=True):
            each["p_adjusted"] = None if np.isnan(p) else float(p)
    return differences, notes


def _shared(earlier: Audit, later: Audit) -> tuple[pd.Index[Any] | None, int]:
    if earlier.pairs is None or later.pairs is None:
        return None, 0
    keys = earlier.pairs.index.intersection(later.pairs.index)
    return keys, int(earlier.pairs.loc[keys, schema.PROMPT_ID].nunique())


def _independent(earlier: Audit, later: Audit, rows: Sequence[Json]) -> list[Json]:
    found = []
    for row in rows:
        if not {earlier.name, later.name} <= row["by_audit"].keys():
            continue
        both = [row["by_audit"][each.name] for each in (earlier, later)]
        values, errors = (
            [np.nan if each[key] is None else each[key] for each in both] for key in ("estimate", "std_error")
        )
        test = estimate.compare_estimates([earlier.name, later.name], values, errors).differences[0].to_dict()
        found.append({"quantity": row["quantity"], "of": row["of"], **test, "test": _INDEPENDENT})
    return found


def _joint(audits: Sequence[Audit], rows: Sequence[Json], differences: Sequence[Json]) -> list[Json]:
    """Tests that all of three or more audits are equal, where none of them were compared pair by pair."""
    if len(audits) < 3 or any(each["test"] != _INDEPENDENT for each in differences):
        return []
    found = []
    for row in rows:
        known = {name: each for name, each in row["by_audit"].items() if each["std_error"]}
        if len(known) < 3:
            continue
        values, errors = ([each[key] for each in known.values()] for key in ("estimate", "std_error"))
        test = estimate.compare_estimates(list(known), values, errors).to_dict()
        about = {key: test[key] for key in ("statistic", "degrees_of_freedom", "p_value")}
        found.append({"quantity": row["quantity"], "of": row["of"], "n_audits": len(known), **about})
    return found


def _paired(earlier: Audit, later: Audit, keys: pd.Index[Any]) -> list[Json]:
    first, second = (audit.pairs.loc[keys] for audit in (earlier, later) if audit.pairs is not None)
    prompts = first[schema.PROMPT_ID].to_numpy()
    names = (earlier.name, later.name)
    tables = dict(zip(names, (first, second), strict=True))
    margins = {name: table[schema.margin_column("post")].to_numpy(float) for name, table in tables.items()}
    change = next(iter(estimate.resistance_trajectory(margins, groups=prompts).changes.values())).to_dict()
    about = {"earlier": earlier.name, "later": later.name}
    rows: list[Json] = [
        {
            "quantity": "resistance",
            "of": "",
            **about,
            "difference": change["change"],
            "confidence_interval": change["confidence_interval"],
            "p_value": change["p_value"],
            "test": "paired, by prompt",
        }
    ]
    return rows + _paired_imprint(tables, _same_features(earlier, later, first, second), prompts, about)


def _paired_imprint(
    tables: Mapping[str, pd.DataFrame], design: Design, prompts: NDArray[Any], about: Json
) -> list[Json]:
    """Differences of standardised imprints, every model's rewards and every feature in its own unit within prompts."""
    complete = design.complete
    groups = np.tile(prompts[complete], 2)
    features = np.concatenate([design.chosen[complete], design.rejected[complete]])
    rewards = {
        name: np.concatenate([table.loc[complete, schema.reward_column("post", side)] for side in schema.SIDES])
        for name, table in tables.items()
    }
    spread = _within(features, groups)
    moves, units = spread > 0, {name: _within(values[:, None], groups)[0] for name, values in rewards.items()}
    if not moves.any() or min(units.values()) == 0:
        return []
    names = [name for name, moved in zip(design.names, moves, strict=True) if moved]
    fits = estimate.imprint_trajectory(
        {name: values / units[name] for name, values in rewards.items()},
        features[:, moves] / spread[moves],
        groups,
        names,
        min_discordant=MIN_DISCORDANT,
    )
    found = (row.to_dict() for row in next(iter(fits.changes.values())).imprint if row.status == "ok")
    return [
        {
            "quantity": "imprint",
            "of": row["feature"],
            **about,
            "difference": row["coefficient"],
            "confidence_interval": row["confidence_interval"],
            "p_value": row["p_value"],
            "test": "paired, by prompt",
        }
        for row in found
    ]


def _same_features(earlier: Audit, later: Audit, first: pd.DataFrame, second: pd.DataFrame) -> Design:
    """Features that both audits have with the same values on these pairs; another labeler's are other features."""
    known = {each.name for each in features_of(later.report["run"])}
    features = [each for each in features_of(earlier.report["run"]) if each.name in known]
    one, other = feature_design(first, features), feature_design(second, features)
    same = np.array(
        [
            np.array_equal(one.chosen[:, i], other.chosen[:, i], equal_nan=True)
            and np.array_equal(one.rejected[:, i], other.rejected[:, i], equal_nan=True)
            for i in range(len(one.names))
        ],
        dtype=bool,
    )
    names = tuple(name for name, kept in zip(one.names, same, strict=True) if kept)
    return Design(names, one.chosen[:, same], one.rejected[:, same])


def _within(values: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Size of each column's variation within prompts."""
    frame = pd.DataFrame(values)
    moved = (frame - frame.groupby(groups).transform("mean")).to_numpy(float)
    sizes = np.sqrt((moved**2).sum(axis=0))
    return np.where(sizes > 1e-9 * np.sqrt((values**2).sum(axis=0)), sizes, 0.0)
