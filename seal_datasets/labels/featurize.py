"""Add labels and surface features of each response as columns of the pairs table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from datasets import Dataset, Features, List, Value
from datasets.utils import tqdm

from seal_datasets import schema
from seal_datasets.data.texts import Text, known_ids, pair_text
from seal_datasets.data.transform import Batch, Pairs, map_batches
from seal_datasets.endpoints.requests import Plan
from seal_datasets.labels.labeler import PROMPT_VERSION, Labeler, StoreIncomplete
from seal_datasets.labels.parse import Labels, no_labels
from seal_datasets.labels.surface import SURFACE_FEATURES, SURFACE_VERSION, surface_features
from seal_datasets.labels.taxonomy import Feature, Taxonomy

_FAILURE_TYPE = List({"feature": Value("string"), "reason": Value("string"), "detail": Value("string")})
_TEXT_COLUMNS = (schema.PAIR_ID, schema.PROMPT, schema.REJECTED_PROMPT, *schema.SIDES)
_NOT_SAMPLED = ("not_sampled", "the pair was not drawn for labeling")
_COLUMN_TYPES = {
    "bool": Value("bool"),
    "ordinal": Value("int64"),
    "labels": List(Value("string")),
    "number": Value("float64"),
}


def feature_columns(features: Iterable[Feature]) -> Features:
    """Names and types of the columns that hold these features for both sides of a pair."""
    return Features(
        {
            schema.feature_column(feature.name, side): _COLUMN_TYPES[feature.type]
            for feature in features
            for side in schema.SIDES
        }
    )


def add_surface_features(pairs: Pairs, *, batch_size: int = 1000) -> Pairs:
    """Add the surface features of every response: length, layout, stock phrases and tone, without a language model.

    Args:
        pairs (`Dataset` or `IterableDataset`): Canonical pairs from `load_pairs`.
        batch_size (`int`, defaults to 1000): Rows per call.

    Returns:
        `Dataset` or `IterableDataset`: The pairs with one column per surface feature and side; null where the text is null.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from seal_datasets import add_surface_features, load_pairs
    >>> rows = {"prompt": ["Hi"], "chosen": ["Hello! How are you?"], "rejected": ["What?"]}
    >>> pairs, _ = load_pairs(Dataset.from_dict(rows))
    >>> add_surface_features(pairs)["feature_surface_question_marks_chosen"][:]
    [1.0]

    ```
    """
    return map_batches(
        pairs,
        _surface_batch,
        new_columns=feature_columns(SURFACE_FEATURES),
        provenance={"surface_version": SURFACE_VERSION},
        batch_size=batch_size,
        desc="Surface features",
    )


def add_features(
    pairs: Pairs,
    labeler: Labeler,
    taxonomy: Taxonomy,
    *,
    pair_ids: Collection[str] | None = None,
    batch_size: int = 1000,
) -> Pairs:
    """Label every response with a language model that does not see which side it is on.

    If the labeler's store has all answers, one pass reads them. Otherwise the labeler first sends all missing requests,
    several at once; for a stream it sends them batch by batch. The store keeps a response as soon as it arrives, so a resumed
    run asks only for the missing ones.

    Args:
        pairs (`Dataset` or `IterableDataset`): Canonical pairs from `load_pairs`.
        labeler (`Labeler`): The model to ask.
        taxonomy (`Taxonomy`): What to ask; `taxonomy.select([...])` limits it to some features.
        pair_ids (`Collection[str]`, *optional*): Pairs to label; labels of other pairs are missing with the
            reason `not_sampled`. All pairs when omitted.
        batch_size (`int`, defaults to 1000): Rows per call; for a stream, also rows per round of requests.

    Returns:
        `Dataset` or `IterableDataset`: The pairs with one column per feature and side, null where a label is missing,
        and `labeling_failures_<side>`: which are missing and why. A labeler that returns probabilities adds
        `probability_<name>_<side>` for each yes/no feature.

    Raises:
        DataError: A pair id is not in the table; not checked for a stream.
        LabelerError: Too many texts got no label, or the endpoint cannot be reached or rejects requests; answers
            received so far are in the store.
    """
    if pair_ids is not None:
        pair_ids = known_ids(pairs, pair_ids) if isinstance(pairs, Dataset) else frozenset(pair_ids)
    if not isinstance(pairs, Dataset):
        return _add_labels(pairs, labeler, taxonomy, labeler.label, pair_ids, batch_size, "Labels")
    try:
        return _add_labels(pairs, labeler, taxonomy, labeler.recall, pair_ids, batch_size, "Stored labels")
    except StoreIncomplete:
        n_rows = len(pairs) if pair_ids is None else len(pair_ids)
        with tqdm(total=2 * n_rows, desc="Asking", unit="text") as bar:
            labeler.ask(_texts(pairs, pair_ids), taxonomy, progress=bar.update)
    return _add_labels(pairs, labeler, taxonomy, labeler.read, pair_ids, batch_size, "Labels")


def _add_labels(
    pairs: Pairs,
    labeler: Labeler,
    taxonomy: Taxonomy,
    answer: Callable[[Sequence[Text], Taxonomy], list[Labels]],
    pair_ids: Collection[str] | None,
    batch_size: int,
    desc: str,
) -> Pairs:
    soft = [name for name in taxonomy.names if labeler.probabilities and taxonomy[name].type == "bool"]

    def label_batch(batch: Batch) -> Batch:
        batch = {name: batch[name] for name in _TEXT_COLUMNS}
        rows = range(len(batch[schema.PAIR_ID]))
        texts = [_text(batch, row, side, pair_ids) for row in rows for side in schema.SIDES]
        answers = iter(answer([text for text in texts if isinstance(text, Text)], taxonomy))
        labels = [next(answers) if isinstance(text, Text) else no_labels(taxonomy, *text) for text in texts]
        return label_columns(labels, taxonomy, soft)

    return map_batches(
        pairs,
        label_batch,
        new_columns=label_column_types(taxonomy, soft),
        provenance={
            "prompt_version": PROMPT_VERSION,
            "taxonomy": [taxonomy.name, taxonomy.version, taxonomy.digest],
            "labeler": [labeler.model, labeler.url],
            "pair_ids": None if pair_ids is None else sorted(pair_ids),
        },
        batch_size=batch_size,
        desc=desc,
        pure=False,
    )


def plan_features(
    pairs: Dataset, labeler: Labeler, taxonomy: Taxonomy, *, pair_ids: Collection[str] | None = None
) -> Plan:
    """Estimate the requests and cost of `add_features` without sending any.

    Args:
        pairs (`Dataset`): As for `add_features`.
        labeler (`Labeler`): The model to ask; answers in its store cost nothing.
        taxonomy (`Taxonomy`): What to ask.
        pair_ids (`Collection[str]`, *optional*): Pairs to label; all when omitted.

    Returns:
        `Plan`: Texts, requests, tokens and cost.
    """
    return labeler.plan(_texts(pairs, None if pair_ids is None else known_ids(pairs, pair_ids)), taxonomy)


def _surface_batch(batch: Batch) -> Batch:
    columns: Batch = {}
    nothing = dict.fromkeys(feature.name for feature in SURFACE_FEATURES)
    for side in schema.SIDES:
        rows = [nothing if response is None else surface_features(response) for response in batch[side]]
        for name in nothing:
            columns[schema.feature_column(name, side)] = [row[name] for row in rows]
    return columns


def _texts(pairs: Dataset, pair_ids: Collection[str] | None) -> Iterator[Text]:
    """The texts to label, pair by pair."""
    for batch, row, _, text in iterate_texts(pairs):
        if isinstance(text, Text) and (pair_ids is None or batch[schema.PAIR_ID][row] in pair_ids):
            yield text


def iterate_texts(
    pairs: Dataset, columns: Sequence[str] = ()
) -> Iterator[tuple[Batch, int, schema.Side, Text | tuple[str, str]]]:
    """The texts of a table, pair by pair; a thousand rows are in memory at a time.

    Args:
        pairs (`Dataset`): Canonical pairs.
        columns (`Sequence[str]`, *optional*): Columns to read beside the texts.

    Yields:
        `tuple`: The batch, the text's row in it, its side, and the text or the reason and detail of its absence.
    """
    for batch in pairs.select_columns([*_TEXT_COLUMNS, *columns]).iter(1000):
        for row in range(len(batch[schema.PAIR_ID])):
            for side in schema.SIDES:
                yield batch, row, side, pair_text(batch, row, side)


def _text(batch: Batch, row: int, side: schema.Side, pair_ids: Collection[str] | None) -> Text | tuple[str, str]:
    """The text to label, or the reason and detail of its absence."""
    if pair_ids is not None and batch[schema.PAIR_ID][row] not in pair_ids:
        return _NOT_SAMPLED
    return pair_text(batch, row, side)


def label_column_types(taxonomy: Taxonomy, soft: Sequence[str]) -> Features:
    """Names and types of the columns of `label_columns`."""
    return Features(
        {
            **feature_columns(taxonomy.features),
            **{schema.failures_column(side): _FAILURE_TYPE for side in schema.SIDES},
            **{schema.probability_column(name, side): Value("float64") for name in soft for side in schema.SIDES},
        }
    )


def label_columns(labels: Sequence[Labels], taxonomy: Taxonomy, soft: Sequence[str]) -> Batch:
    """Columns of the labels of both sides of some pairs.

    Args:
        labels (`Sequence[Labels]`): Labels of 2 n texts, the chosen and the rejected one of each pair in succession.
        taxonomy (`Taxonomy`): The features.
        soft (`Sequence[str]`): Features with probabilities.

    Returns:
        `dict[str, list]`: Columns of n rows.
    """
    columns: Batch = {}
    for offset, side in enumerate(schema.SIDES):
        side_labels = labels[offset :: len(schema.SIDES)]
        for name in taxonomy.names:
            columns[schema.feature_column(name, side)] = [each.values.get(name) for each in side_labels]
        columns[schema.failures_column(side)] = [
            [{"feature": lost.feature, "reason": lost.reason, "detail": lost.detail} for lost in each.failures]
            for each in side_labels
        ]
        for name in soft:
            columns[schema.probability_column(name, side)] = [each.probabilities.get(name) for each in side_labels]
    return columns
