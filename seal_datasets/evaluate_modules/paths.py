"""Find and install the `evaluate` modules of `metrics/`, without a network."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from seal_datasets.atomic import replacing
from seal_datasets.errors import DataError

METRICS = (
    "alignment_resistance",
    "reward_shift",
    "reward_calibration",
    "feature_imprint",
    "amplification",
    "misalignment_drivers",
    "alignment_robustness",
    "labeler_agreement",
    "labeler_stability",
    "spoiler_balance",
)

NAMESPACE = "seal"

CITATION = """\
@inproceedings{revel2025seal,
  title     = {{SEAL}: Systematic Error Analysis for Value ALignment},
  author    = {Revel, Manon and Cargnelutti, Matteo and Eloundou, Tyna and Leppert, Greg},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2025}
}
"""

_PACKAGE = Path(__file__).parents[1]


def metric_path(name: str) -> str:
    """Find a metric's script, in a checkout or in an installed wheel.

    Args:
        name (`str`): One of `METRICS`.

    Returns:
        `str`: Path that `evaluate.load` takes.

    Raises:
        DataError: The metric does not exist.

    Example:

    ```python
    >>> Path(metric_path("reward_shift")).name
    'reward_shift.py'

    ```
    """
    if name not in METRICS:
        raise DataError(f"there is no metric {name!r}; there are {', '.join(METRICS)}")
    # In a wheel the modules lie inside the package, in a checkout beside it.
    folders = [_PACKAGE / "metrics", _PACKAGE.parent / "metrics"]
    scripts = [folder / name / f"{name}.py" for folder in folders if (folder / name / f"{name}.py").is_file()]
    if not scripts:
        raise DataError(f"{name}.py is missing from {', '.join(map(str, folders))}; reinstall seal_datasets")
    return str(scripts[0])


def install_metrics(names: Sequence[str] = METRICS) -> list[str]:
    """Make `evaluate.load("seal/<name>")` work without a network, from any directory, for this cache of `evaluate`.

    Args:
        names (`Sequence[str]`): Some of `METRICS`; all by default.

    Returns:
        `list[str]`: Paths of the installed scripts.

    Raises:
        DataError: The metric does not exist.
    """
    from evaluate import config

    installed = []
    for script in [Path(metric_path(name)) for name in names]:
        digest = hashlib.sha256(script.read_bytes()).hexdigest()
        home = Path(config.HF_MODULES_CACHE) / "evaluate_modules" / "metrics" / f"{NAMESPACE}--{script.stem}" / digest
        copy = home / script.name
        with replacing(copy) as unfinished:
            shutil.copyfile(script, unfinished)
        # evaluate picks the copy with the newest time.
        os.utime(copy)
        os.utime(home)
        installed.append(str(copy))
    return installed
