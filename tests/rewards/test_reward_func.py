"""Zero-weight reward functions, against the scorers that they wrap and in a real GRPO training of a tiny policy."""

import pytest
import torch
from datasets import Dataset

from seal_datasets import as_reward_func
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.labels.surface import log_tokens, question_marks
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.reward_func import _name_of, as_exchange
from tests.rewards.models import CHAT_TEMPLATE, save_llama
from tests.rewards.score_server import ScoreServer

PROMPTS = ["How do I boil an egg?", "Name a colour."]
COMPLETIONS = ["Ten minutes in boiling water.", "Blue"]


def messages(role, texts):
    return [[{"role": role, "content": text}] for text in texts]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("rm"), minilm, 0, classifier=True, template=CHAT_TEMPLATE)


@pytest.fixture(scope="module")
def policy(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("policy"), minilm, 0, template=CHAT_TEMPLATE)


def test_plain_and_conversational_completions_get_the_rewards_that_an_audit_gives(reward_model):
    rows = {"prompt": PROMPTS, "chosen": COMPLETIONS, "rejected": ["no", "no"]}
    pairs, _ = load_pairs(Dataset.from_dict(rows))
    expected = [each.reward for each in RewardModel(reward_model).score([exchange(row, "chosen") for row in pairs])]
    reward = as_reward_func(reward_model, name="judge")
    assert reward(PROMPTS, COMPLETIONS, completion_ids=[[1], [2]], trainer_state=None) == expected
    assert reward(messages("user", PROMPTS), messages("assistant", COMPLETIONS)) == expected


def test_a_served_model_takes_the_same_call(reward_models):
    with ScoreServer(reward_models["post"]) as server:
        served = as_reward_func(f"served:{server.url}#{reward_models['post']}")
        rewards = served(PROMPTS, COMPLETIONS)
    assert served.name == reward_models["post"].rpartition("/")[2]
    assert rewards == pytest.approx(as_reward_func(reward_models["post"])(PROMPTS, COMPLETIONS), abs=1e-5)


def test_features_of_the_response_are_reward_functions():
    reward = as_reward_func(question_marks)
    assert (reward.name, reward.__name__) == ("question_marks", "question_marks")
    assert reward(PROMPTS, ["Why? How?", "No."]) == [2.0, 0.0]
    assert as_reward_func(log_tokens, name="length").__name__ == "length"


def test_earlier_messages_of_a_completion_belong_to_the_prompt_and_a_missing_text_has_no_reward():
    spoken = [{"role": "assistant", "content": "Let me see."}, {"role": "assistant", "content": "Blue"}]
    text = as_exchange("Name a colour.", spoken)
    assert [turn["content"] for turn in text.conversation] == ["Name a colour.", "Let me see."]
    assert text.response == "Blue"
    silent = [[], [{"role": "assistant", "content": None}], "Blue"]
    assert as_reward_func(question_marks)(["Hi"] * 3, silent) == [None, None, 0.0]


def test_names_come_from_models():
    names = {
        "my/rm": "rm",
        "folder/of/rm/": "rm",
        "runs@2/rm": "rm",
        "dpo:my/policy@my/sft": "policy",
        "served:http://localhost:8000#my/rm@my/tokenizer": "rm",
    }
    assert {model: _name_of(model) for model in names} == names


def test_what_is_no_reward_model_is_refused(reward_model, tmp_path):
    with pytest.raises(DataError, match="needs a name for the log"):
        as_reward_func(RewardModel(reward_model))
    with pytest.raises(DataError, match="declares a kind of reward model, 'gpt'"):
        as_reward_func("gpt:my/rm")
    with pytest.raises(ModelError, match="nothing"):
        as_reward_func(str(tmp_path / "nothing"))


def says_yes(completions, **_):
    return [float(len(completion[0]["content"])) for completion in completions]


@pytest.mark.slow
def test_at_weight_0_means_are_logged_and_training_is_the_same(policy, reward_model, tmp_path):
    """Two trainings by one seed: the second also watches a reward model and the length, and ends with equal weights."""
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ended, histories = [], []
    for watches in (False, True):
        watchers = [as_reward_func(reward_model, name="judge"), as_reward_func(log_tokens)] if watches else []
        trainer = trl.GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(policy),
            reward_funcs=[says_yes, *watchers],
            args=trl.GRPOConfig(
                output_dir=str(tmp_path / str(watches)),
                reward_weights=[1.0] + [0.0] * len(watchers),
                per_device_train_batch_size=4,
                num_generations=4,
                max_completion_length=6,
                max_steps=3,
                learning_rate=1e-3,
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                disable_tqdm=True,
                seed=1,
            ),
            train_dataset=Dataset.from_dict({"prompt": messages("user", PROMPTS * 4)}),
            processing_class=AutoTokenizer.from_pretrained(
                policy, padding_side="left", model_input_names=["input_ids", "attention_mask"]
            ),
        )
        start = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        trainer.train()
        ended.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        histories.append([line for line in trainer.state.log_history if "reward" in line])
    assert any(not torch.equal(start[name], ended[0][name]) for name in start)
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in start)
    assert len(histories[1]) == 3
    for alone, beside in zip(*histories, strict=True):
        assert beside["reward"] == alone["reward"] == pytest.approx(beside["rewards/says_yes/mean"])
        assert beside["rewards/log_tokens/mean"] > 0
        assert "rewards/judge/mean" in beside
        assert "rewards/judge/mean" not in alone
