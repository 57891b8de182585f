"""Add a probe's labels of every response as columns of the pairs table."""

from __future__ import annotations

from datasets import Dataset
from datasets.utils import tqdm

from seal_datasets import schema
from seal_datasets.data.texts import Text, pair_text
from seal_datasets.data.transform import Batch, map_batches
from seal_datasets.errors import DataError
from seal_datasets.labels.featurize import iterate_texts, label_column_types, label_columns
from seal_datasets.labels.parse import no_labels
from seal_datasets.labels.probe import PROBE_VERSION, Probe
from seal_datasets.labels.taxonomy import Taxonomy


def add_probe_labels(pairs: Dataset, probe: Probe, taxonomy: Taxonomy, *, batch_size: int = 1000) -> Dataset:
    """Label every response with a probe that was trained on the gold labels of some.

    Labels of gold texts come from heads that were not trained on their prompts, like those of all others. Embeddings are kept
    in the probe's store, so a re-run computes none again.

    Args:
        pairs (`Dataset`): Canonical pairs.
        probe (`Probe`): Trained by `probe.fit`; `probe.features` tells what it learned.
        taxonomy (`Taxonomy`): Features that it learned.
        batch_size (`int`, defaults to 1000): Rows per call.

    Returns:
        `Dataset`: The pairs with the columns of `add_features`, `probability_<name>_<side>` of yes/no features included. Labels
        are missing with a reason where too few gold labels exist, or where the probe is not better than the commonest answer.

    Raises:
        DataError: The probe did not learn a feature.

    Example:

    ```python
    >>> from seal_datasets import Probe, SentenceEncoder, load_pairs, load_taxonomy
    >>> rows = [{"prompt": f"Is {i} even?", "chosen": "Yes, sure.", "rejected": "I cannot say."} for i in range(40)]
    >>> gold = {"gold_last_response_is_refusal_chosen": False, "gold_last_response_is_refusal_rejected": True}
    >>> pairs, _ = load_pairs(Dataset.from_list([row | gold for row in rows]))
    >>> probe = Probe(SentenceEncoder())
    >>> refusals = load_taxonomy().select(["last_response_is_refusal"])
    >>> probe.fit(pairs, refusals)
    >>> labelled = add_probe_labels(pairs, probe, refusals)
    >>> labelled["feature_last_response_is_refusal_rejected"][0], probe.features["last_response_is_refusal"].status
    (True, 'ok')

    ```
    """
    if unknown := [name for name in taxonomy.names if name not in probe.features]:
        raise DataError(f"the probe did not learn {unknown[0]!r}; call probe.fit with this taxonomy first")
    with tqdm(total=2 * len(pairs), desc="Embedding", unit="text") as bar:
        probe.embed((text for *_, text in iterate_texts(pairs) if isinstance(text, Text)), progress=bar.update)
    soft = [name for name in taxonomy.names if taxonomy[name].type == "bool"]

    def label_batch(batch: Batch) -> Batch:
        places = [(row, side) for row in range(len(batch[schema.PAIR_ID])) for side in schema.SIDES]
        texts = [pair_text(batch, row, side) for row, side in places]
        prompts = [
            str(batch[schema.PROMPT_ID][row])
            for (row, _), text in zip(places, texts, strict=True)
            if isinstance(text, Text)
        ]
        found = iter(probe.read([text for text in texts if isinstance(text, Text)], prompts, taxonomy))
        labels = [next(found) if isinstance(text, Text) else no_labels(taxonomy, *text) for text in texts]
        return label_columns(labels, taxonomy, soft)

    return map_batches(
        pairs,
        label_batch,
        new_columns=label_column_types(taxonomy, soft),
        provenance={"probe_version": PROBE_VERSION, "encoder": [probe.encoder.name, probe.encoder.revision]},
        batch_size=batch_size,
        desc="Labels",
        pure=False,
    )
