"""`eval.yaml` of a published audit: what the Hub asks of a dataset that collects results of models.

The Hub shows a model's `.eval_results/*.yaml`, and a leaderboard on the dataset, where the dataset has this file and is on the
Hub's allow-list; until then the file does nothing. It names no `evaluation_framework`: the Hub accepts only those of its
own list, which has none for reward models.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

BENCHMARK_FILE = "eval.yaml"


def benchmark_file(source: str, n_pairs: int, task_ids: Iterable[str]) -> str:
    """The file of an audit's dataset.

    Args:
        source (`str`): Name of the audited data.
        n_pairs (`int`): Pairs of the audit.
        task_ids (`Iterable[str]`): Ids of the results that `.eval_results/seal.yaml` of a model holds.

    Returns:
        `str`: YAML.

    Source: "Registering a Benchmark" in docs/hub/eval-results.md of huggingface/hub-docs (064c754); the list of frameworks in
    packages/tasks/src/eval.ts of huggingface/huggingface.js (0589d13).

    Example:

    ```python
    >>> print(benchmark_file("my/pairs", 1500, ["alignment_score"]), end="")
    name: SEAL audit of my/pairs
    description: How often a reward model prefers the response that people chose, over 1,500 preference pairs of my/pairs.
    tasks:
    - id: alignment_score
      config: pairs
      split: train

    ```
    """
    content = {
        "name": f"SEAL audit of {source}",
        "description": f"How often a reward model prefers the response that people chose, over {n_pairs:,} preference pairs of "
        f"{source}.",
        "tasks": [{"id": name, "config": "pairs", "split": "train"} for name in task_ids],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
