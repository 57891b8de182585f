"""A probe: heads on a text encoder's embeddings, trained on the gold labels of some texts, label all texts.

What is known of a text is the embedding of its response, that of its dialogue, and its surface features. Where each head is
trained and on what is told by `probe_heads`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from seal_datasets import estimate, schema
from seal_datasets.data.texts import Text
from seal_datasets.errors import DataError
from seal_datasets.labels.design import Floats
from seal_datasets.labels.embedding_store import EmbeddingStore, Vector
from seal_datasets.labels.featurize import iterate_texts
from seal_datasets.labels.gold import check_own_gold
from seal_datasets.labels.parse import Failure, Labels
from seal_datasets.labels.probe_answers import MIN_PROMPTS, MIN_TEXTS, ProbedFeature, judge, label_of, targets_of
from seal_datasets.labels.probe_heads import CrossFittedHead, fit_head
from seal_datasets.labels.probe_texts import folds_of, surface_numbers, text_keys, text_parts
from seal_datasets.labels.taxonomy import Feature, Taxonomy

PROBE_VERSION = "1"

_TEXTS_AT_ONCE = 512


class Encoder(Protocol):
    """What makes vectors of texts.

    Attributes:
        name (`str`): Its name or address.
        revision (`str`): Which weights it has.
    """

    name: str

    @property
    def revision(self) -> str: ...  # noqa: D102 - see above

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Vectors of n texts, shape (n, d), each of length 1; nan where there is none."""


class Probe:
    """Labels texts by regularised logistic heads on embeddings, one for each feature, trained on gold labels.

    Args:
        encoder (`Encoder`): What embeds texts, e.g. `SentenceEncoder()`.
        store (`EmbeddingStore`, *optional*): Where embeddings are kept; in memory when omitted.
        keep_weak (`bool`, defaults to `False`): Keep labels of features on which the probe is not better than the commonest
            answer.

    Attributes:
        store (`EmbeddingStore`): Where embeddings are kept.
        features (`dict[str, ProbedFeature]`): What was learned, by feature; empty before `fit`.
    """

    def __init__(self, encoder: Encoder, *, store: EmbeddingStore | None = None, keep_weak: bool = False) -> None:
        self.encoder = encoder
        self.keep_weak = keep_weak
        self.features: dict[str, ProbedFeature] = {}
        self.store = store or EmbeddingStore()
        about = repr([encoder.name, encoder.revision, PROBE_VERSION]).encode()
        self._key = hashlib.blake2b(about, digest_size=16).digest()
        self._heads: dict[str, list[CrossFittedHead | None]] = {}
        self._scale: tuple[Floats, Floats] = (np.zeros(1), np.ones(1))

    def embed(self, texts: Iterator[Text], *, progress: Callable[[int], object] = int) -> None:
        """Embed texts that the store does not hold yet.

        Args:
            texts (`Iterator[Text]`): The texts; some hundred are in memory at a time.
            progress (`Callable[[int], object]`, *optional*): Called with the number of texts that have just been finished.
        """
        part: list[Text] = []
        for text in texts:
            part.append(text)
            if len(part) == _TEXTS_AT_ONCE:
                self._embed(part)
                progress(len(part))
                part = []
        self._embed(part)
        progress(len(part))

    def count_known(self, texts: Sequence[Text]) -> int:
        """How many of some texts are embedded already."""
        wanted = [key for text in texts for key in text_keys(text)]
        return len(self.store.get(self._key, wanted)) // 2

    def fit(self, pairs: Dataset, taxonomy: Taxonomy) -> None:
        """Train the heads on the pairs' gold labels.

        Args:
            pairs (`Dataset`): Canonical pairs with `gold_<feature>_<side>` columns.
            taxonomy (`Taxonomy`): The features to learn.

        Raises:
            DataError: A feature has no column of gold labels, or a value is not an answer of its feature.
        """
        columns = [schema.gold_column(name, side) for name in taxonomy.names for side in schema.SIDES]
        if lacking := [name for name in columns if name not in pairs.column_names]:
            raise DataError(
                f"a probe learns from gold labels, and there is no column {lacking[0]!r}; give a file with --gold, ask a "
                "teacher with --teacher, or leave the feature out (--features)"
            )
        gold = _gold_texts(check_own_gold(pairs, taxonomy), taxonomy)
        self.embed(text for text, *_ in gold)
        inputs = self._vectors([text for text, *_ in gold]) if gold else np.zeros((0, 1))
        known = np.asarray(~np.isnan(inputs).any(axis=1), dtype=np.bool_)
        if known.any():
            surface = inputs[known, -len(surface_numbers("")) :]
            spread = surface.std(axis=0)
            # Both embeddings have length 1, and so has the surface block on average.
            self._scale = surface.mean(axis=0), np.where(spread > 0, spread, np.inf) * np.sqrt(surface.shape[1])
            inputs = self._scaled(inputs)
        prompts = np.array([prompt for _, prompt, _ in gold], dtype=object)
        for feature in taxonomy.features:
            values = [labels[feature.name] for *_, labels in gold]
            labelled = known & np.array([value is not None for value in values], dtype=bool)
            chosen = [value for value, is_labelled in zip(values, labelled, strict=True) if is_labelled]
            self._learn(feature, inputs[labelled], chosen, prompts[labelled])

    def _learn(self, feature: Feature, inputs: Floats, values: list[Any], prompts: NDArray[Any]) -> None:
        n_texts, n_prompts = len(values), len(set(prompts))
        folds = folds_of(prompts)
        targets = targets_of(feature, values)
        heads: list[CrossFittedHead | None] = []
        accuracy: dict[str, estimate.LabelAccuracy] = {}
        worth: dict[str, estimate.ProbabilityWorth] = {}
        for answer, (codes, n_answers) in targets.items():
            counts = np.sort(np.bincount(codes, minlength=max(n_answers, 2)))[::-1]
            if n_prompts < MIN_PROMPTS or counts[1] < MIN_TEXTS:
                heads.append(None)
                continue
            head = fit_head(inputs, codes, folds, n_answers)
            given = head.predict(inputs, folds)
            accuracy[answer] = estimate.label_accuracy(given.argmax(axis=1), codes, groups=prompts)
            worth[answer] = estimate.probability_worth(given, codes, groups=prompts)
            heads.append(head)
        self._heads[feature.name] = heads
        status, detail = judge(accuracy, n_texts, n_prompts, targets)
        self.features[feature.name] = ProbedFeature(
            status,
            detail,
            n_texts,
            n_prompts,
            {answer or feature.name: found.to_dict() for answer, found in accuracy.items()},
            {answer or feature.name: found.to_dict() for answer, found in worth.items()},
            tuple(answer for answer, head in zip(targets, heads, strict=True) if answer and head is None),
        )

    def read(self, texts: Sequence[Text], prompts: Sequence[str], taxonomy: Taxonomy) -> list[Labels]:
        """Label texts whose embeddings are stored.

        Args:
            texts (`Sequence[Text]`): n texts.
            prompts (`Sequence[str]`): Prompt id of each, by which heads are chosen that were not trained on it.
            taxonomy (`Taxonomy`): Features that were learned.

        Returns:
            `list[Labels]`: One per text, with P(true) of yes/no features.
        """
        if not texts:
            return []
        inputs = self._scaled(self._vectors(texts))
        known = np.asarray(~np.isnan(inputs).any(axis=1), dtype=np.bool_)
        folds, usable = folds_of(prompts), np.where(known[:, None], inputs, 0.0)
        columns: dict[str, list[Floats | None]] = {
            feature.name: [None if head is None else head.predict(usable, folds) for head in heads]
            for feature in taxonomy.features
            if self._gives(feature.name) and (heads := self._heads[feature.name])
        }
        return [self._labels(row, taxonomy, columns, bool(known[row])) for row in range(len(texts))]

    def _gives(self, name: str) -> bool:
        status = self.features[name].status
        return status == "ok" or (status == "weak" and self.keep_weak)

    def _labels(
        self, row: int, taxonomy: Taxonomy, columns: Mapping[str, Sequence[Floats | None]], known: bool
    ) -> Labels:
        values: dict[str, Any] = {}
        failures: list[Failure] = []
        probabilities: dict[str, float] = {}
        for feature in taxonomy.features:
            name = feature.name
            if not self._gives(name):
                learned = self.features[name]
                failures.append(Failure(name, f"probe_{learned.status}", learned.detail))
            elif not known:
                failures.append(Failure(name, "not_embedded", "the encoder gave no embedding of this text"))
            else:
                found = [None if part is None else part[row] for part in columns[name]]
                values[name] = label_of(feature, found)
                if feature.type == "bool" and found[0] is not None:
                    probabilities[name] = float(found[0][1])
        return Labels(values, tuple(failures), probabilities)

    def _embed(self, texts: Sequence[Text]) -> None:
        wanted = {key: part for text in texts for key, part in zip(text_keys(text), text_parts(text), strict=True)}
        held = self.store.get(self._key, list(wanted))
        lacking = [key for key in wanted if key not in held]
        if lacking:
            vectors = self.encoder.embed([wanted[key] for key in lacking]).astype(np.float32)
            self.store.put(self._key, dict(zip(lacking, vectors, strict=True)))

    def _vectors(self, texts: Sequence[Text]) -> Floats:
        """What is known of each text, shape (n, 2 d + s); rows are nan where the encoder gave no embedding."""
        keys = [text_keys(text) for text in texts]
        held = self.store.get(self._key, [key for pair in keys for key in pair])
        width = max(map(len, held.values()), default=1)
        nothing: Vector = np.full(width, np.nan, dtype=np.float32)
        rows = [
            np.concatenate(
                [*(_of_width(held.get(key, nothing), nothing) for key in pair), surface_numbers(text.response)]
            )
            for pair, text in zip(keys, texts, strict=True)
        ]
        return np.array(rows, dtype=np.float64)

    def _scaled(self, inputs: Floats) -> Floats:
        mean, spread = self._scale
        n = len(mean)
        return np.hstack([inputs[:, :-n], (inputs[:, -n:] - mean) / spread])


def _of_width(vector: Vector, nothing: Vector) -> Vector:
    return vector if len(vector) == len(nothing) else nothing


def _gold_texts(pairs: Dataset, taxonomy: Taxonomy) -> list[tuple[Text, str, dict[str, Any]]]:
    """Texts with any gold label: the text, its prompt's id and its labels."""
    columns = [schema.gold_column(name, side) for name in taxonomy.names for side in schema.SIDES]
    found = []
    for batch, row, side, text in iterate_texts(pairs, [*columns, schema.PROMPT_ID]):
        labels = {name: batch[schema.gold_column(name, side)][row] for name in taxonomy.names}
        if isinstance(text, Text) and any(value is not None for value in labels.values()):
            found.append((text, str(batch[schema.PROMPT_ID][row]), labels))
    return found
