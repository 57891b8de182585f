"""The draw of gold labels of `seal gold`: made once, kept beside the answers, and continued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.atomic import write_json
from seal_datasets.errors import DataError
from seal_datasets.gold.draw import draw_gold, draw_more
from seal_datasets.gold.items import Item, items_of
from seal_datasets.labels.taxonomy import Taxonomy

DRAW_FILE = "draw.json"


@dataclass(frozen=True, slots=True)
class KeptDraw:
    """A draw as it is kept on disk.

    Attributes:
        source (`str`): Name of the data.
        features (`tuple[str, ...]`): Features to label.
        seed (`int`): Seed.
        rounds (`tuple[tuple[str, ...], ...]`): Ids of the prompts of each round.
        probability (`dict[str, float]`): Probability of being drawn in any round, by prompt.
        first (`dict[str, float]`): That of the first round.
    """

    source: str
    features: tuple[str, ...]
    seed: int
    rounds: tuple[tuple[str, ...], ...]
    probability: dict[str, float]
    first: dict[str, float]

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompts of all rounds."""
        return tuple(prompt for drawn in self.rounds for prompt in drawn)

    def items(self, pairs: Dataset) -> list[Item]:
        """The drawn texts, round by round."""
        return [item for number, drawn in enumerate(self.rounds) for item in items_of(pairs, drawn, self.seed + number)]


def read_draw(folder: Path) -> KeptDraw | None:
    """Read the draw of a folder; `None` where there is none yet.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / DRAW_FILE
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        rounds = tuple(tuple(map(str, drawn)) for drawn in content["rounds"])
        probability, first = ({str(k): float(v) for k, v in content[name].items()} for name in ("probability", "first"))
        return KeptDraw(
            str(content["source"]), tuple(content["features"]), int(content["seed"]), rounds, probability, first
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); restore it, or draw into another folder (--out)") from error


def keep_draw(
    pairs: Dataset, folder: Path, n: int, taxonomy: Taxonomy, *, source: str, seed: int, stratify_by: str | None = None
) -> KeptDraw:
    """Draw the first round, or return the one that the folder holds.

    Args:
        pairs (`Dataset`): Canonical pairs.
        folder (`Path`): Where the draw and the answers are kept.
        n (`int`): Prompts to draw.
        taxonomy (`Taxonomy`): Features to label.
        source (`str`): Name of the data.
        seed (`int`): Seed.
        stratify_by (`str`, *optional*): As for `draw_gold`.

    Returns:
        `KeptDraw`: The draw.

    Raises:
        DataError: The folder holds the draw of other data, or of other features.
    """
    kept = read_draw(folder)
    if kept is not None:
        _check_same(kept, pairs, taxonomy, source, folder)
        return kept
    found = draw_gold(pairs, n, seed=seed, stratify_by=stratify_by)
    made = KeptDraw(source, taxonomy.names, seed, (found.drawn,), found.probability, found.probability)
    write_json(folder / DRAW_FILE, asdict(made))
    return made


def keep_second_draw(pairs: Dataset, folder: Path, n: int, taxonomy: Taxonomy) -> KeptDraw:
    """Draw a second round by a probe's uncertainty, or return the one that the folder holds.

    Args:
        pairs (`Dataset`): Pairs of an audit with a probe.
        folder (`Path`): Where the first round is kept.
        n (`int`): Prompts to draw.
        taxonomy (`Taxonomy`): Features to label.

    Returns:
        `KeptDraw`: Both rounds.

    Raises:
        DataError: There is no first round, it is of other features or other data, or the audit has no probabilities.
    """
    kept = read_draw(folder)
    if kept is None:
        raise DataError(
            f"{folder} holds no first round; draw one with `seal gold DATA --n N --out {folder}` and label it"
        )
    _check_features(kept, taxonomy, folder)
    if len(kept.rounds) > 1:
        return kept
    found = draw_more(pairs, n, kept.first, kept.rounds[0], taxonomy, seed=kept.seed)
    made = KeptDraw(kept.source, kept.features, kept.seed, (*kept.rounds, found.drawn), found.probability, kept.first)
    write_json(folder / DRAW_FILE, asdict(made))
    return made


def _check_same(kept: KeptDraw, pairs: Dataset, taxonomy: Taxonomy, source: str, folder: Path) -> None:
    known: set[str] = {str(prompt) for prompt in pairs[schema.PROMPT_ID]}
    missing: Sequence[str] = [prompt for prompt in kept.prompts if prompt not in known]
    if missing:
        raise DataError(
            f"{folder} holds a draw from {kept.source}, and {len(missing):,} of its {len(kept.prompts):,} prompts are not in "
            f"{source}; give the same data, or another --out"
        )
    _check_features(kept, taxonomy, folder)


def _check_features(kept: KeptDraw, taxonomy: Taxonomy, folder: Path) -> None:
    if tuple(taxonomy.names) != kept.features:
        raise DataError(
            f"{folder} holds a draw for the features {', '.join(kept.features)}; give the same --features, or another --out"
        )
