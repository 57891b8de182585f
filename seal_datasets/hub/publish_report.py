"""Publish an audit's report on the card of its dataset and, optionally, of its reward model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from seal_datasets.cards import render_card
from seal_datasets.errors import DataError, HubError
from seal_datasets.escape import escape_markdown, shareable
from seal_datasets.hub.card_sections import CARD, join_card, listed, put_section, split_card, with_tags
from seal_datasets.hub.commit import Change, Content, Publication, Repository, open_hub, plan_change, publish, read_text
from seal_datasets.hub.measures import measures_of
from seal_datasets.hub.publish_dataset import TAGS, refuse_other_content
from seal_datasets.hub.publish_page import PageSpace, page_files
from seal_datasets.hub.publish_spaces import plan_space, refuse_foreign
from seal_datasets.hub.shareable import Finished, finished_audit, refuse_link, shareable_recipe
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.figures import CAPTIONS
from seal_datasets.report.files import REPORT_FILE, RUN_FILE, dump, read_json
from seal_datasets.report.markdown import render_markdown, report_fields
from seal_datasets.report.tables import FOLDER, table_files

EVAL_RESULTS = ".eval_results/seal.yaml"

_FIGURES = "figures"
_MARKDOWN = "report.md"
_DOCTOR = "doctor.json"
_MODEL_TAGS = ("seal", "reward-model")
_TASK = {"type": "text-classification", "name": "Preference, audited by SEAL"}


def publish_report(
    folder: str | Path,
    repo_id: str,
    *,
    model_repos: Sequence[str] = (),
    space: PageSpace | None = None,
    private: bool = False,
    dry_run: bool = False,
    write_line: Callable[[str], object] = print,
) -> None:
    """Publish an audit's report, with one commit to the dataset and, optionally, one to each model and to a Space.

    Only the section between our two markers on a card changes; other text on the card stays.

    Args:
        folder (`str` or `Path`): A finished audit.
        repo_id (`str`): The dataset, preferably from `publish_dataset`.
        model_repos (`Sequence[str]`): Repositories of audited reward models, which must exist. Each is `NAME=ID`, with the
            model's short name; `ID` alone is that of the audit's last model.
        space (`PageSpace`, *optional*): A static Space that shows the report's page; the cards link to it.
        private (`bool`, defaults to `False`): Whether a new dataset is private.
        dry_run (`bool`, defaults to `False`): Print what would change, and change nothing.
        write_line (`Callable[[str], object]`, defaults to `print`): Receives each line of output.

    Raises:
        DataError: The folder is not a finished audit, or a card cannot be read.
        HubError: The Hub cannot be reached, refuses, or a repository is missing or holds something else.
    """
    audit = finished_audit(folder)
    repos = _model_repos(model_repos, audit)
    shown = page_files(audit, repo_id, with_texts=space.with_texts) if space else {}
    api = open_hub(write=not dry_run)
    page = f"{api.endpoint}/spaces/{space.repo_id}" if space else None

    def plan_dataset(repo: Repository) -> Change:
        refuse_other_content(repo, audit.run)
        return plan_change(repo, *_dataset_files(repo, audit, page), private=private)

    def plan_model(name: str, repo: Repository) -> Change:
        if repo.head is None:
            raise HubError(f"the model {repo.id} does not exist or the token cannot read it; publish the model first")
        files = _model_files(repo, repo_id, f"{api.endpoint}/datasets/{repo_id}", audit, name, page)
        return plan_change(repo, files, private=private)

    def plan_page(repo: Repository) -> Change:
        change = plan_space(api, repo, shown, private)
        refuse_foreign(change, "or give another --space")
        return change

    message = f"SEAL report of {audit.run['source']}"
    publications = [Publication(repo_id, "dataset", message, plan_dataset)]
    publications += [Publication(repo, "model", message, partial(plan_model, name)) for name, repo in repos.items()]
    if space:
        publications.append(Publication(space.repo_id, "space", message, plan_page))
    publish(api, publications, dry_run=dry_run, write_line=write_line)


def _dataset_files(repo: Repository, audit: Finished, page: str | None = None) -> tuple[dict[str, Content], list[str]]:
    """Files of the dataset, and the figures and tables it holds now."""
    figures = _figures(audit)
    files: dict[str, Content] = {f"{_FIGURES}/{name}": audit.folder / _FIGURES / name for name in figures}
    files |= {RUN_FILE: dump(audit.run).encode(), REPORT_FILE: dump(audit.report).encode()}
    files |= shareable_recipe(audit)
    files |= table_files(audit.report)
    files[_MARKDOWN] = render_markdown(audit.report, figures, page=page).encode()
    if (audit.folder / _DOCTOR).is_file():
        refuse_link(audit.folder / _DOCTOR)
        files[_DOCTOR] = dump(shareable(read_json(audit.folder / _DOCTOR))).encode()
    card = read_text(repo, CARD) or ""
    keys, text = split_card(card)
    section = render_card("report_section.md", **_fields(audit, f"{_FIGURES}/", page))
    title = f"SEAL audit of {audit.run['source']}"
    keys = with_tags({"pretty_name": title, **keys}, TAGS)
    text = put_section(text or f"# {escape_markdown(title)}\n", "report", section)
    files[CARD] = join_card(card, keys, text, repo_type="dataset").encode()
    return files, [path for path in repo.files if path.startswith((f"{_FIGURES}/", f"{FOLDER}/"))]


def _model_repos(given: Sequence[str], audit: Finished) -> dict[str, str]:
    """Repositories by the short name of a model."""
    models = models_of(audit.run)
    repos: dict[str, str] = {}
    for text in given:
        before, sign, after = text.partition("=")
        name, repo = (before, after) if sign else (models.last, text)
        if name not in models.names:
            raise DataError(f"--model-repo names {name!r}; the audit's models are {', '.join(models.names)}")
        if name in repos or repo in repos.values():
            raise DataError(
                f"--model-repo gives {name!r} or {repo!r} more than once; give each model its own repository"
            )
        repos[name] = repo
    return repos


def _model_files(
    repo: Repository, dataset_id: str, url: str, audit: Finished, name: str, page: str | None = None
) -> dict[str, Content]:
    card = read_text(repo, CARD) or ""
    keys, text = split_card(card)
    keys = with_tags(keys, _MODEL_TAGS)
    keys["model-index"] = _model_index(keys, repo.id, dataset_id, audit, name)
    fields = _fields(audit, f"{url}/resolve/main/{_FIGURES}/", page)
    section = render_card("model_report_section.md", dataset_id=dataset_id, url=url, name=name, **fields)
    text = put_section(text or f"# {escape_markdown(repo.id.split('/')[-1])}\n", "report", section)
    return {
        CARD: join_card(card, keys, text, repo_type="model").encode(),
        EVAL_RESULTS: _eval_results(dataset_id, url, audit, name).encode(),
    }


def _figures(audit: Finished) -> dict[str, str]:
    """Captions of the figures that are there; a report has no others, so nothing else in the folder is published."""
    refuse_link(audit.folder / _FIGURES)
    figures = {name: caption for name, caption in CAPTIONS.items() if (audit.folder / _FIGURES / name).is_file()}
    for name in figures:
        refuse_link(audit.folder / _FIGURES / name)
    return figures


def _fields(audit: Finished, figures_at: str, page: str | None) -> dict[str, Any]:
    return {
        "page": page,
        **report_fields(audit.report, _figures(audit), figures_at=figures_at),
        "run": audit.run,
        "has_doctor_file": (audit.folder / _DOCTOR).is_file(),
    }


def _model_index(
    keys: Mapping[str, Any], model_id: str, dataset_id: str, audit: Finished, model: str
) -> list[dict[str, Any]]:
    """Keep the results of others, and replace our earlier results on this dataset."""
    ours = {
        "task": _TASK,
        "dataset": {"name": f"SEAL audit of {audit.run['source']}", "type": dataset_id},
        "metrics": [
            {"type": each.metric, "value": each.value, "name": each.name, "args": each.about}
            for each in measures_of(audit.report, model)
        ],
    }
    entries = [dict(entry) for entry in listed(keys, "model-index", dict)] or [
        {"name": model_id.split("/")[-1], "results": []}
    ]
    first = entries[0]
    first["results"] = [
        *(result for result in listed(first, "results", dict) if not _is_ours(result, dataset_id)),
        ours,
    ]
    return entries


def _is_ours(result: Mapping[str, Any], dataset_id: str) -> bool:
    dataset = result.get("dataset")
    return result.get("task") == _TASK and isinstance(dataset, dict) and dataset.get("type") == dataset_id


def _eval_results(dataset_id: str, url: str, audit: Finished, model: str) -> str:
    entries = [
        EvalResultEntry(
            dataset_id=dataset_id,
            task_id=each.task_id,
            value=each.value,
            source_url=url,
            source_name="SEAL audit",
            notes=_note(each.name, each.about, audit.run["seal_datasets"]),
        )
        for each in measures_of(audit.report, model)
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)


def _note(name: str, about: Mapping[str, Any], version: str) -> str:
    interval = about.get("confidence_interval")
    between = f", 95 % interval {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
    return f"{name}: {about['n_pairs']} pairs{between}; seal_datasets {version}"
