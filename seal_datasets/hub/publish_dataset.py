"""Publish an audit as a dataset: flat tables, the files of its report, and a card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi

from seal_datasets.atomic import apart
from seal_datasets.cards import render_card
from seal_datasets.data.demo import DEMO_LICENSE, DEMO_NAME
from seal_datasets.errors import DataError, HubError
from seal_datasets.escape import escape_markdown
from seal_datasets.hub.benchmark_file import BENCHMARK_FILE, benchmark_file
from seal_datasets.hub.card_sections import CARD, join_card, listed, put_section, split_card, with_tags
from seal_datasets.hub.commit import (
    Change,
    Content,
    Publication,
    Repository,
    ask,
    open_hub,
    plan_change,
    publish,
    read_text,
)
from seal_datasets.hub.measures import task_ids
from seal_datasets.hub.shareable import Finished, finished_audit, shareable_recipe
from seal_datasets.hub.viewer_tables import CONFIGS, Config, write_flat
from seal_datasets.report.files import REPORT_FILE, RUN_FILE, dump
from seal_datasets.report.write import size_category

Texts = Literal["by_license", "always", "never"]
"""Whether a published audit holds the texts of its source."""

TAGS = ("seal", "preference", "reward-model-audit")

REDISTRIBUTABLE = frozenset(
    {
        "afl-3.0",
        "apache-2.0",
        "bigscience-openrail-m",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "c-uda",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "cdla-sharing-1.0",
        "ecl-2.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl",
        "lgpl-3.0",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "odbl",
        "odc-by",
        "openrail",
        "osl-3.0",
        "pddl",
        "postgresql",
        "unlicense",
        "wtfpl",
        "zlib",
    }
)
"""Licenses that permit redistribution of changed copies, by their ids on the Hub. Others need a decision of the user."""

_STAGING = ".publishing"
_BARE = {".gitattributes", CARD}
_MEANINGS: dict[Config, str] = {
    "pairs": "the pairs: texts and columns of the source where they are published, what is wrong with a pair "
    "(`problems_<name>`), `partition`, `labeler_preference`, `margin_<model>`, and against a baseline `regime_<model>` and "
    "`reward_shift_degrees_<model>`",
    "labels": "features of both responses: `feature_<name>_<side>`, a column for each answer where there are several, gold "
    "labels, probabilities, and why a label is missing (`labeling_failures_<side>_<name>`)",
    "rewards": "`reward_<model>_<side>`, raw logits of each reward model, with status and tokens",
    "rewrites": "rewrites by a language model: status, similarity, labels and rewards",
}


def publish_dataset(
    folder: str | Path,
    repo_id: str,
    *,
    source_license: str | None = None,
    texts: Texts = "by_license",
    private: bool = False,
    dry_run: bool = False,
    write_line: Callable[[str], object] = print,
) -> None:
    """Publish the tables of an audit as a dataset, in one commit.

    A second publication uploads only changed files, and keeps the text that somebody wrote on the card.

    Args:
        folder (`str` or `Path`): A finished audit.
        repo_id (`str`): The dataset, which need not exist.
        source_license (`str`, *optional*): License of the source; by default read from its card on the Hub.
        texts (`"by_license"`, `"always"` or `"never"`, defaults to `"by_license"`): Whether to publish texts and columns of
            the source. By license, the license must permit redistribution. Without texts, ids and the audit's own columns
            are published.
        private (`bool`, defaults to `False`): Whether a new dataset is private.
        dry_run (`bool`, defaults to `False`): Print what would change, and change nothing.
        write_line (`Callable[[str], object]`, defaults to `print`): Receives each line of output.

    Raises:
        DataError: The folder is not a finished audit, or the license does not settle whether texts may be published.
        HubError: The Hub cannot be reached, refuses, or the dataset holds something else.
    """
    audit = finished_audit(folder)
    license_ = source_license or _license_of(audit.run)
    ids_only = texts == "never"
    if texts == "by_license" and license_ not in REDISTRIBUTABLE:
        raise DataError(_undecided(audit.run["source"], license_))
    recipe = shareable_recipe(audit)
    api = open_hub(write=not dry_run)
    with apart(audit.folder / _STAGING) as staging:
        tables = cache(lambda: write_flat(audit.table, audit.run, audit.features, staging, ids_only=ids_only))

        def plan(repo: Repository) -> Change:
            refuse_other_content(repo, audit.run)
            files: dict[str, Content] = {
                f"{config}/{path.name}": path for config, paths in tables().items() for path in paths
            }
            files |= {RUN_FILE: dump(audit.run).encode(), REPORT_FILE: dump(audit.report).encode()}
            files |= recipe
            files[BENCHMARK_FILE] = benchmark_file(
                audit.run["source"], audit.report["population"]["n_pairs"], task_ids(audit.report)
            ).encode()
            files[CARD] = _card(repo, audit, list(tables()), None if ids_only else license_, ids_only).encode()
            stale = [path for path in repo.files if path.startswith(tuple(f"{config}/" for config in CONFIGS))]
            return plan_change(repo, files, stale, private=private)

        publication = Publication(repo_id, "dataset", f"SEAL audit of {audit.run['source']}", plan)
        publish(api, [publication], dry_run=dry_run, write_line=write_line)


def refuse_other_content(repo: Repository, run: Mapping[str, Any]) -> None:
    """Raise unless the dataset is empty, or holds a card or an audit of the same source.

    Raises:
        HubError: It holds something else.
    """
    others = sorted(repo.files.keys() - _BARE)
    if not others:
        return
    text = read_text(repo, RUN_FILE)
    try:
        source = json.loads(text)["source"] if text is not None else None
    except (ValueError, KeyError, TypeError):
        source = None
    if source is None:
        content = f"files that are not of an audit ({', '.join(others[:3])}{', ...' if len(others) > 3 else ''})"
    elif source != run["source"]:
        content = f"an audit of {source!r}, and this one is of {run['source']!r}"
    else:
        return
    raise HubError(f"the dataset {repo.id} holds {content}; nothing was changed: give another name, or empty it first")


def _license_of(run: Mapping[str, Any]) -> str | None:
    if run["source"] == DEMO_NAME:
        return DEMO_LICENSE
    if not str(run["diagnosis"].get("fingerprint")).startswith("hub:"):
        return None
    doing = f"read the license of {run['source']}; give it with --source-license"
    data = ask(doing, lambda: HfApi().dataset_info(run["source"])).card_data
    licenses = data.license if data is not None else None
    names = [licenses] if isinstance(licenses, str) else licenses if isinstance(licenses, list) else []
    names = [name for name in names if isinstance(name, str)]
    return next((name for name in names if name not in REDISTRIBUTABLE), names[0] if names else None)


def _undecided(source: str, license_: str | None) -> str:
    if license_ is None:
        known = f"the license of {source!r} is not known"
    elif "-nd-" in license_:
        known = f"the license of {source!r}, {license_!r}, forbids changed copies"
    else:
        known = f"the license of {source!r}, {license_!r}, is not known to permit redistribution"
    return (
        f"{known}. Choose one: --ids-only publishes ids and the audit's own columns, to join with the source; "
        "--source-license NAME states the license of the source; --with-texts publishes the texts because you know "
        "that you may"
    )


def _card(repo: Repository, audit: Finished, configs: Sequence[Config], license_: str | None, ids_only: bool) -> str:
    card = read_text(repo, CARD) or ""
    keys, text = split_card(card)
    ours = [
        {"config_name": config, "data_files": f"{config}/*.parquet", **({"default": True} if config == "pairs" else {})}
        for config in configs
    ]
    theirs = [config for config in listed(keys, "configs", dict) if config.get("config_name") not in CONFIGS]
    title = f"SEAL audit of {audit.run['source']}"
    keys = with_tags({"pretty_name": title, **keys}, TAGS)
    keys |= {
        "annotations_creators": ["machine-generated"],
        "size_categories": [size_category(audit.report["population"]["n_pairs"])],
        "configs": [*ours, *theirs],
    }
    if license_ is not None:
        keys |= {"license": license_}
    section = render_card(
        "published_dataset.md",
        repo_id=repo.id,
        run=audit.run,
        n_pairs=audit.report["population"]["n_pairs"],
        configs={config: _MEANINGS[config] for config in configs},
        license=license_,
        ids_only=ids_only,
        gold_left_out=ids_only
        and audit.run["settings"].get("gold") is None
        and any(entry["gold"] for entry in audit.report["labels"].values()),
        source_left_out=ids_only and bool({"groups", "responses"} & audit.report.keys()),
        split=audit.run["settings"].get("split"),
    )
    return join_card(
        card, keys, put_section(text or f"# {escape_markdown(title)}\n", "dataset", section), repo_type="dataset"
    )
