"""Reward models of every kind behind one interface, from a text to its reward."""

from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import Encoded, Encoder, OverLength, Status
from seal_datasets.rewards.exchange import Exchange, exchange
from seal_datasets.rewards.loading import find_model
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scored, Scorer, outcomes

__all__ = [
    "Encoded",
    "Encoder",
    "Exchange",
    "OverLength",
    "RewardModel",
    "ScoreStore",
    "Scored",
    "Scorer",
    "Status",
    "exchange",
    "find_model",
    "outcomes",
]
