"""Reward models of every kind behind one interface, from a text to its reward."""

from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import Encoded, Encoder, OverLength, Status
from seal_datasets.rewards.exchange import Exchange, exchange
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.loading import find_model
from seal_datasets.rewards.open import addresses_of, find_scorer, open_scorer
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scored, Scorer, outcomes
from seal_datasets.rewards.served import ServedReward

__all__ = [
    "Encoded",
    "Encoder",
    "Exchange",
    "ImplicitReward",
    "OverLength",
    "RewardModel",
    "ScoreStore",
    "Scored",
    "Scorer",
    "ServedReward",
    "Status",
    "addresses_of",
    "exchange",
    "find_model",
    "find_scorer",
    "open_scorer",
    "outcomes",
]
