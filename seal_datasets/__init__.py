"""SEAL for Hugging Face: what did a reward model learn from a preference dataset, where does it resist, and why?

Names are imported when first used, so that `import seal_datasets` stays light (no torch, no datasets).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from seal_datasets.version import __version__

if TYPE_CHECKING:
    from seal_datasets.audit import run_audit
    from seal_datasets.compare import compare_audits
    from seal_datasets.errors import DataError, LabelerError, MissingExtraError, ModelError, SealError
    from seal_datasets.featurize import add_features, add_surface_features
    from seal_datasets.labeler import Labeler
    from seal_datasets.load import diagnose, load_pairs
    from seal_datasets.local_lm import EmbeddedLM
    from seal_datasets.modules import install_metrics, metric_path
    from seal_datasets.own_rewards import add_own_rewards, audit_own_rewards
    from seal_datasets.report import write_report
    from seal_datasets.rewards import ImplicitReward, RewardModel, ScoreStore, ServedReward, open_scorer
    from seal_datasets.rewrite import add_rewrites, add_round_trips, on_rewrites, rewritten_pairs
    from seal_datasets.rewriter import Rewriter
    from seal_datasets.score import add_rewards, write_rewards
    from seal_datasets.similarity import SimilarityModel
    from seal_datasets.subset import training_subset
    from seal_datasets.taxonomy import Feature, Taxonomy, load_taxonomy
    from seal_datasets.train import train_pair

__all__ = [
    "DataError",
    "EmbeddedLM",
    "Feature",
    "ImplicitReward",
    "Labeler",
    "LabelerError",
    "MissingExtraError",
    "ModelError",
    "RewardModel",
    "Rewriter",
    "ScoreStore",
    "SealError",
    "ServedReward",
    "SimilarityModel",
    "Taxonomy",
    "__version__",
    "add_features",
    "add_own_rewards",
    "add_rewards",
    "add_rewrites",
    "add_round_trips",
    "add_surface_features",
    "audit_own_rewards",
    "compare_audits",
    "diagnose",
    "install_metrics",
    "load_pairs",
    "load_taxonomy",
    "metric_path",
    "on_rewrites",
    "open_scorer",
    "rewritten_pairs",
    "run_audit",
    "train_pair",
    "training_subset",
    "write_report",
    "write_rewards",
]

_HOMES = {
    "audit": ("run_audit",),
    "compare": ("compare_audits",),
    "errors": ("DataError", "LabelerError", "MissingExtraError", "ModelError", "SealError"),
    "featurize": ("add_features", "add_surface_features"),
    "labeler": ("Labeler",),
    "load": ("diagnose", "load_pairs"),
    "local_lm": ("EmbeddedLM",),
    "modules": ("install_metrics", "metric_path"),
    "own_rewards": ("add_own_rewards", "audit_own_rewards"),
    "report": ("write_report",),
    "rewards": ("ImplicitReward", "RewardModel", "ScoreStore", "ServedReward", "open_scorer"),
    "rewrite": ("add_rewrites", "add_round_trips", "on_rewrites", "rewritten_pairs"),
    "rewriter": ("Rewriter",),
    "score": ("add_rewards", "write_rewards"),
    "similarity": ("SimilarityModel",),
    "subset": ("training_subset",),
    "taxonomy": ("Feature", "Taxonomy", "load_taxonomy"),
    "train": ("train_pair",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seal_datasets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"seal_datasets.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
