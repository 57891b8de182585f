"""Whether the data's choices favour a feature: how often it is on the chosen side."""

from __future__ import annotations

from typing import Any

from seal_datasets.estimate.side_shares import side_shares
from seal_datasets.report.analyze_part import MIN_DISCORDANT, Part


def analyze_balance(part: Part) -> list[dict[str, Any]]:
    """How often each feature is on the chosen side, without any reward model.

    Args:
        part (`Part`): The pairs that the report speaks of.

    Returns:
        `list[dict[str, Any]]`: JSON-ready rows, one for each feature.
    """
    design = part.design
    rows = side_shares(design.chosen - design.rejected, design.names, part.prompts, min_discordant=MIN_DISCORDANT)
    return [row.to_dict() for row in rows]
