"""Publish a taxonomy on the Hub, where audits load it by its id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seal_datasets.cards import render_card
from seal_datasets.errors import DataError, HubError
from seal_datasets.escape import escape_markdown
from seal_datasets.hub.card_sections import CARD, join_card, put_section, split_card, with_tags
from seal_datasets.hub.commit import Change, Content, Publication, Repository, open_hub, plan_change, publish, read_text
from seal_datasets.labels.taxonomy import TAXONOMY_FILE, Taxonomy, load_taxonomy

TAGS = ("seal", "seal-taxonomy")

_BARE = {".gitattributes", CARD, TAXONOMY_FILE}


def publish_taxonomy(
    file: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    write_line: Callable[[str], object] = print,
) -> None:
    """Publish a taxonomy with a card, in one commit; `load_taxonomy(repo_id)` reads it.

    Args:
        file (`str` or `Path`): The YAML file, published unchanged.
        repo_id (`str`): A dataset repository, which need not exist.
        private (`bool`, defaults to `False`): Whether a new repository is private.
        dry_run (`bool`, defaults to `False`): Print what would change, and change nothing.
        write_line (`Callable[[str], object]`, defaults to `print`): Receives each line of output.

    Raises:
        DataError: The file is not a taxonomy.
        HubError: The Hub cannot be reached, refuses, or the repository holds something else.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"there is no file {file.absolute()}; give the YAML file of a taxonomy")
    taxonomy = load_taxonomy(file)

    def plan(repo: Repository) -> Change:
        if others := sorted(repo.files.keys() - _BARE):
            content = f"files that are not of a taxonomy ({', '.join(others[:3])}{', ...' if len(others) > 3 else ''})"
            raise HubError(
                f"the dataset {repo_id} holds {content}; nothing was changed: give another name, or empty it first"
            )
        files: dict[str, Content] = {TAXONOMY_FILE: file.read_bytes(), CARD: _card(repo, taxonomy).encode()}
        return plan_change(repo, files, private=private)

    message = f"Taxonomy {taxonomy.name} {taxonomy.version}"
    publish(
        open_hub(write=not dry_run),
        [Publication(repo_id, "dataset", message, plan)],
        dry_run=dry_run,
        write_line=write_line,
    )


def _card(repo: Repository, taxonomy: Taxonomy) -> str:
    card = read_text(repo, CARD) or ""
    keys, text = split_card(card)
    title = f"Taxonomy {taxonomy.name}"
    section = render_card("taxonomy_card.md", repo_id=repo.id, taxonomy=taxonomy)
    return join_card(
        card,
        with_tags({"pretty_name": title, **keys}, TAGS),
        put_section(text or f"# {escape_markdown(title)}\n", "taxonomy", section),
        repo_type="dataset",
    )
