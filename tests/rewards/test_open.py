"""Options of reward models, and what may be imported without loading one."""

import subprocess
import sys

import pytest

from seal_datasets.errors import DataError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.open import open_scorer
from seal_datasets.rewards.options import ModelOptions

LIGHT = """
import sys
from seal_datasets.rewards.open import addresses_of, kind_of
from seal_datasets.rewards.precomputed import add_own_rewards
assert addresses_of(["served:http://localhost:8000#my/rm", "my/rm"]) == ["http://localhost:8000"]
assert kind_of("my/rm") == "classifier"
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "transformers", "accelerate"}))
"""


def test_rewards_of_a_table_and_addresses_need_no_model_library():
    finished = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert finished.stdout == "[]\n", finished.stderr


@pytest.mark.parametrize(
    ("text", "options", "name"),
    [
        ("dpo:my/policy@my/sft", {"head": 0}, "head"),
        ("dpo:my/policy@my/sft", {"backend": "openvino"}, "backend"),
        ("served:http://localhost:8000#my/rm", {"options": ModelOptions(max_length=64)}, "max_length"),
        ("tei:http://localhost:8000#my/rm", {"options": ModelOptions(precision="float16")}, "precision"),
        ("tei:http://localhost:8000#my/rm", {"options": ModelOptions(pack=False)}, "pack"),
    ],
)
def test_options_of_another_kind_are_refused_before_anything_is_loaded(text, options, name):
    with pytest.raises(DataError, match=f"^{name} is not an option of "):
        open_scorer(text, **options)


def test_options_that_decide_no_reward_leave_the_key_of_the_score_store(reward_models):
    path = reward_models["post"]
    key = RewardModel(path).identity_key()
    assert RewardModel(path, options=ModelOptions(tokens_per_batch=64, pack=False)).identity_key() == key
    assert open_scorer(path, options=ModelOptions(max_length=64)).identity_key() == key
    assert RewardModel(path, options=ModelOptions(precision="bfloat16")).identity_key() != key
