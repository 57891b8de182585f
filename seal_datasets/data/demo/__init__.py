"""The embedded preference set: 320 pairs written for this package, with gold labels and known annotation errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

DEMO_NAME = "the embedded preference set"
DEMO_LICENSE = "mit"

_FOLDER = Path(__file__).parent


def demo_path() -> Path:
    """Return the path of the embedded preference set.

    Returns:
        `Path`: A jsonl file of dialogues with `gold_<feature>_<side>` columns, readable by `load_pairs`.

    Example:

    ```python
    >>> demo_path().name
    'pairs.jsonl'

    ```
    """
    return _FOLDER / "pairs.jsonl"


def draw_demo_gold(pairs: Dataset) -> Dataset:
    """Keep the gold labels of a drawn half of the demo's prompts, as if people had labelled only these.

    An audit of the demo learns and corrects from this half. The labels of the other half tell whether its claims are true.

    Args:
        pairs (`Dataset`): Canonical pairs of the embedded preference set, all or some.

    Returns:
        `Dataset`: The pairs with `gold_probability`, and gold labels of the drawn prompts only. Faulty pairs have neither.

    Example:

    ```python
    >>> from seal_datasets import load_pairs
    >>> drawn = draw_demo_gold(load_pairs(str(demo_path()))[0])
    >>> sorted({value is None for value in drawn["gold_last_response_is_honest_chosen"]})
    [False, True]

    ```
    """
    import numpy as np
    from datasets import Features, Value

    from seal_datasets import schema
    from seal_datasets.data.transform import add_columns

    columns = [name for name in pairs.column_names if name.startswith("gold_")]
    prompts = pairs[schema.PROMPT_ID][:]
    bare = {prompt for prompt, value in zip(prompts, pairs[columns[0]], strict=True) if value is None}
    drawable = sorted(set(prompts) - bare)
    n_drawn = -(-len(drawable) // 2)
    drawn = set(np.random.default_rng(0).choice(np.array(drawable, dtype=object), n_drawn, replace=False))
    kept = {
        name: [value if prompt in drawn else None for prompt, value in zip(prompts, pairs[name], strict=True)]
        for name in columns
    }
    probability = n_drawn / max(len(drawable), 1)
    kept[schema.GOLD_PROBABILITY] = [None if prompt in bare else probability for prompt in prompts]
    types = {name: pairs.features[name] for name in columns} | {schema.GOLD_PROBABILITY: Value("float64")}
    return add_columns(pairs, kept, Features(types))


def demo_truth() -> dict[str, Any]:
    """Return what is true of the embedded preference set by construction.

    Returns:
        `dict[str, Any]`: The annotators' rule, the pairs in which they made errors, counts, and what their choices ask for.

    Example:

    ```python
    >>> len(demo_truth()["annotation_errors"])
    28

    ```
    """
    import yaml

    truth: dict[str, Any] = yaml.safe_load((_FOLDER / "truth.yaml").read_text("utf-8"))
    return truth
