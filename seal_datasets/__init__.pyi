# The public names and where each is defined; `__init__.py` imports a name when it is first used.
from .audit.compare import compare_audits
from .audit.precomputed import OwnRewardsSettings, audit_own_rewards
from .audit.run import run_audit
from .audit.seal_callback import SealCallback
from .audit.settings import AuditSettings, RewriteSettings
from .audit.training_subset import training_subset
from .data.load import HubDataset, diagnose, load_pairs
from .endpoints.client import Limits
from .endpoints.embedded import EmbeddedLM
from .endpoints.embeddings import EmbeddingEndpoint
from .endpoints.options import RequestOptions, Sampling
from .errors import DataError, HubError, LabelerError, MissingExtraError, ModelError, SealError
from .estimate.synthetic import planted_pairs
from .evaluate_modules.paths import install_metrics, metric_path
from .labels.embedding_store import EmbeddingStore
from .labels.featurize import add_features, add_surface_features
from .labels.gold import add_gold
from .labels.labeler import Labeler
from .labels.probe import Probe
from .labels.probe_columns import add_probe_labels
from .labels.taxonomy import Feature, Taxonomy, load_taxonomy
from .report.page.notebook import show
from .report.prompt_parts import PromptParts
from .report.write import write_report
from .rewards.classifier import RewardModel
from .rewards.implicit import ImplicitReward
from .rewards.open import open_scorer
from .rewards.options import ModelOptions
from .rewards.precomputed import add_own_rewards
from .rewards.reward_func import as_reward_func
from .rewards.score import add_rewards, write_rewards
from .rewards.score_store import ScoreStore
from .rewards.sentence_encoder import SentenceEncoder
from .rewards.served import EncodingOptions, ServedReward
from .rewards.train import train_pair
from .rewards.training_settings import TrainingSettings
from .rewrites.on_rewrites import on_rewrites, rewritten_pairs
from .rewrites.rewrite import add_rewrites, add_round_trips
from .rewrites.rewriter import RewriteOptions, Rewriter
from .rewrites.sample import sample_pairs
from .rewrites.similarity import SimilarityModel
from .version import __version__

__all__ = [
    "AuditSettings",
    "DataError",
    "EmbeddedLM",
    "EmbeddingEndpoint",
    "EmbeddingStore",
    "EncodingOptions",
    "Feature",
    "HubDataset",
    "HubError",
    "ImplicitReward",
    "Labeler",
    "LabelerError",
    "Limits",
    "MissingExtraError",
    "ModelError",
    "ModelOptions",
    "OwnRewardsSettings",
    "Probe",
    "PromptParts",
    "RequestOptions",
    "RewardModel",
    "RewriteOptions",
    "RewriteSettings",
    "Rewriter",
    "Sampling",
    "ScoreStore",
    "SealCallback",
    "SealError",
    "SentenceEncoder",
    "ServedReward",
    "SimilarityModel",
    "Taxonomy",
    "TrainingSettings",
    "__version__",
    "add_features",
    "add_gold",
    "add_own_rewards",
    "add_probe_labels",
    "add_rewards",
    "add_rewrites",
    "add_round_trips",
    "add_surface_features",
    "as_reward_func",
    "audit_own_rewards",
    "compare_audits",
    "diagnose",
    "install_metrics",
    "load_pairs",
    "load_taxonomy",
    "metric_path",
    "on_rewrites",
    "open_scorer",
    "planted_pairs",
    "rewritten_pairs",
    "run_audit",
    "sample_pairs",
    "show",
    "train_pair",
    "training_subset",
    "write_report",
    "write_rewards",
]
