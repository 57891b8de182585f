"""What the tests of endurance share: data, an endpoint, models, and `seal` in forks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.endurance.forks import Server
from tests.rewards.models import save_tokenizer

N_PAIRS = 60
FEATURES = ("last_response_is_harmless", "last_response_is_helpful")
LABELS = json.dumps(dict.fromkeys(FEATURES, True))
ENDURANCE = pytest.mark.endurance


def pytest_collection_modifyitems(items):
    """These tests go to one worker: each worker would start its own server of forks."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("endurance"))


@pytest.fixture(scope="session")
def seal(tmp_path_factory):
    """`seal`, in forks."""
    server = Server(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def pairs(tmp_path_factory) -> Path:
    """Pairs whose texts are all different, of many lengths."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {
            "prompt": f"Question {n}: how do I boil {n} eggs?",
            "chosen": f"Put {n} eggs into boiling water and wait for {n % 9 + 2} minutes." + " Then serve." * (n % 7),
            "rejected": f"I do not know how {n} eggs are boiled." + " Sorry." * (n % 5),
        }
        for n in range(N_PAIRS)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="session")
def gold(tmp_path_factory) -> Path:
    """Labels of people for some of the pairs."""
    path = tmp_path_factory.mktemp("gold") / "gold.csv"
    lines = [f"{n},{str(n % 3 > 0).lower()},{str(n % 2 > 0).lower()}" for n in range(1, N_PAIRS, 2)]
    path.write_text("\n".join([f"pair_id,gold_{FEATURES[0]}_chosen,gold_{FEATURES[0]}_rejected", *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def small_models(tmp_path_factory, minilm) -> dict[str, str]:
    """Two reward models and an encoder to train from: BERT shapes with seeded random weights, behind a real tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder, paths = tmp_path_factory.mktemp("models"), {}
    for seed, name in enumerate(("pre", "post", "backbone")):
        tokenizer = save_tokenizer(folder / name, minilm, positions=128)
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_labels=1,
            max_position_embeddings=128,
        )
        (BertModel if name == "backbone" else BertForSequenceClassification)(config).save_pretrained(folder / name)
        paths[name] = str(folder / name)
    return paths
