"""Publish a report's page as a static Space."""

from __future__ import annotations

from dataclasses import dataclass

from seal_datasets.cards import render_card
from seal_datasets.hub.card_sections import CARD
from seal_datasets.hub.shareable import Finished
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.page.pair_columns import TextsShown, used_pairs
from seal_datasets.report.page.write import render_page


@dataclass(frozen=True, slots=True)
class PageSpace:
    """A static Space for a report's page.

    Attributes:
        repo_id (`str`): Its id.
        with_texts (`bool`): Whether the page holds texts of the data; whoever publishes it confirms the right to.
    """

    repo_id: str
    with_texts: bool = False


def page_files(audit: Finished, dataset_id: str, *, with_texts: bool) -> dict[str, bytes]:
    """Make the files of a Space that shows a report's page.

    Args:
        audit (`Finished`): The audit.
        dataset_id (`str`): The dataset whose card gets the report.
        with_texts (`bool`): Whether the page holds texts of pairs.

    Returns:
        `dict[str, bytes]`: `index.html` and the Space's card.

    Raises:
        DataError: The audit's pairs cannot be read.
    """
    used = used_pairs(audit.table, audit.features, models_of(audit.run))
    shown: TextsShown = "sample" if with_texts else "none"
    page = render_page(audit.report, used, audit.table, audit.features, texts=shown)
    card = render_card("page_card.md", source=audit.run["source"], dataset_id=dataset_id, with_texts=with_texts)
    return {CARD: card.encode(), "index.html": page.encode()}
