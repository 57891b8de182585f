"""What lies on an annotator's desk: drawn texts, the next question about them, and the table of gold labels so far."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seal_datasets import estimate, schema
from seal_datasets.atomic import write_text
from seal_datasets.gold.items import Item
from seal_datasets.gold.journal import Answer, Journal
from seal_datasets.gold.table import gold_table
from seal_datasets.labels.taxonomy import Feature, Taxonomy

GOLD_FILE, DISAGREEMENTS, ANSWERS = "gold.csv", "disagreements.csv", "answers.sqlite"


class Desk:
    """The drawn texts, and the answers so far.

    Args:
        items (`Sequence[Item]`): Texts in the order in which they are asked.
        taxonomy (`Taxonomy`): Features to label.
        folder (`Path`): Where answers and `gold.csv` are kept.
        probability (`dict[str, float]`): Probability of being drawn, by prompt.
        annotator (`str`): Who labels.
        overlap (`float`): Share of the prompts that every annotator labels.
    """

    def __init__(
        self,
        items: Sequence[Item],
        taxonomy: Taxonomy,
        folder: Path,
        probability: dict[str, float],
        *,
        annotator: str = "a",
        overlap: float = 0.0,
    ) -> None:
        self.items, self.taxonomy, self.folder, self.annotator = list(items), taxonomy, folder, annotator
        self.probability, self.overlap = probability, overlap
        self.journal = Journal(folder / ANSWERS)

    def next(self) -> tuple[Item, Feature] | None:
        """The next question; `None` where all are answered.

        Texts of the overlap are asked of everyone, others of whoever comes first.
        """
        answers = self.journal.answers()
        mine = {answer.question for answer in answers if answer.annotator == self.annotator}
        anyones = {answer.question for answer in answers}
        for item in self.items:
            done = mine if _shared(item.prompt_id, self.overlap) else anyones
            for feature in self.taxonomy.features:
                if (item.pair_id, item.side, feature.name) not in done:
                    return item, feature
        return None

    def answer(self, item: Item, feature: Feature, answer: Any, skipped: str = "") -> None:  # noqa: ANN401 - a label
        """Keep an answer, and write `gold.csv` anew where it was the last about a text."""
        self.journal.add(Answer(self.annotator, item.pair_id, item.side, feature.name, answer, skipped))
        if feature == self.taxonomy.features[-1]:
            self.write()

    def undo(self) -> None:
        """Take the last answer back, so that its question comes again."""
        if self.journal.undo(self.annotator) is not None:
            self.write()

    def progress(self) -> tuple[int, int]:
        """Questions that this annotator has answered, and all that may be asked of them."""
        answers = self.journal.answers()
        done = len({answer.question for answer in answers if answer.annotator == self.annotator})
        others = {answer.question for answer in answers if answer.annotator != self.annotator}
        mine = sum(
            _shared(item.prompt_id, self.overlap) or (item.pair_id, item.side, name) not in others
            for item in self.items
            for name in self.taxonomy.names
        )
        return done, mine

    def write(self) -> Path:
        """Write `gold.csv`, and `disagreements.csv` where two annotators differ; of several answers the first counts.

        Raises:
            DataError: The disk is full, or the answers are of another taxonomy.
        """
        first: dict[tuple[str, str, str], Answer] = {}
        differing = []
        for answer in self.journal.answers():
            other = first.setdefault(answer.question, answer)
            if other is not answer and other.answer != answer.answer:
                differing.append([*answer.question, other.annotator, other.answer, answer.annotator, answer.answer])
        write_text(self.folder / GOLD_FILE, gold_table(self.items, self.taxonomy, self.probability, first))
        if differing:
            columns = [schema.PAIR_ID, "side", "feature", "annotator", "answer", "other_annotator", "other_answer"]
            write_text(self.folder / DISAGREEMENTS, pd.DataFrame(differing, columns=columns).to_csv(index=False))
        else:
            (self.folder / DISAGREEMENTS).unlink(missing_ok=True)  # of answers that were taken back
        return self.folder / GOLD_FILE

    def agreement(self) -> dict[str, estimate.LabelAccuracy]:
        """How far the first two annotators agree on the texts that both labelled, by feature with one answer per text."""
        answers = self.journal.answers()
        names = list(dict.fromkeys(answer.annotator for answer in answers))[:2]
        if len(names) < 2:
            return {}
        prompts = {(item.pair_id, str(item.side)): item.prompt_id for item in self.items}
        found = {}
        for feature in self.taxonomy.features:
            given: list[dict[tuple[str, str], float]] = [
                {
                    (answer.pair_id, answer.side): float(answer.answer)
                    for answer in answers
                    if answer.annotator == name and answer.feature == feature.name and answer.answer is not None
                }
                for name in names
                if feature.type != "labels"
            ]
            both = sorted(given[0].keys() & given[1].keys()) if given else []
            if both:
                labels, others = ([each[text] for text in both] for each in given)
                found[feature.name] = estimate.label_accuracy(
                    labels, others, groups=np.array([prompts.get(text, text[0]) for text in both])
                )
        return found


def _shared(prompt: str, overlap: float) -> bool:
    """Whether a prompt is of the share that every annotator labels."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < overlap
