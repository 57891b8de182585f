"""What is no sequence reward model is refused, and the tensors are named; the models are small and real."""

import json
import shutil
import textwrap

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForTokenClassification

from seal_datasets.cli import main
from seal_datasets.errors import ModelError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.options import ModelOptions
from tests.rewards.models import EXCHANGES, TEMPLATE, save_llama, save_tokenizer


@pytest.fixture(scope="module")
def good(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("good"), minilm, 0, classifier=True, template=TEMPLATE)


@pytest.fixture
def model(good, tmp_path):
    shutil.copytree(good, tmp_path / "m")
    return tmp_path / "m"


def edit_config(path, **changes):
    file = path / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def edit_weights(path, change):
    file = path / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})


def refused(path, **options):
    with pytest.raises(ModelError) as raised:
        RewardModel(path, options=ModelOptions(**options))
    return str(raised.value)


def test_token_classification_is_refused(tmp_path, minilm):
    """The class that TRL's process-reward models have; its head has the name of a sequence classifier's."""
    tokenizer = save_tokenizer(tmp_path, minilm, template=TEMPLATE)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
    )
    LlamaForTokenClassification(config).save_pretrained(tmp_path)
    assert "is a LlamaForTokenClassification: it gives outputs per token" in refused(tmp_path)
    edit_config(tmp_path, architectures=["LlamaForSequenceClassification"])
    assert "it holds score.bias, which that architecture does not know" in refused(tmp_path)


def test_a_process_reward_head_is_refused(model):
    def change(weights):
        weights["score.0.weight"] = weights.pop("score.weight")
        weights["score.2.weight"] = torch.zeros(2, 32)

    edit_weights(model, change)
    message = refused(model)
    assert "lack score.weight" in message
    assert "it holds score.0.weight, score.2.weight" in message
    edit_config(model, architectures=["Qwen2ForProcessRewardModel"])
    assert "a process reward" in refused(model)


def test_a_value_head_on_a_generative_model_is_named(tmp_path, minilm):
    path = save_llama(tmp_path, minilm, 0)
    edit_weights(tmp_path, lambda weights: weights.update({"v_head.summary.weight": torch.zeros(1, 32)}))
    assert "it holds v_head.summary.weight, which is not used" in refused(path)


def test_weights_that_the_architecture_does_not_know_are_refused(model):
    edit_weights(model, lambda weights: weights.update({"gating.layers.0.weight": torch.zeros(2, 2)}))
    assert "it holds gating.layers.0.weight, which that architecture does not know" in refused(model)


def test_what_is_left_of_language_modeling_is_no_obstacle(model):
    edit_weights(model, lambda weights: weights.update({"lm_head.weight": torch.zeros(2, 32)}))
    assert RewardModel(model).score(EXCHANGES[:1])[0].status == "ok"


def test_shapes_and_types_that_do_not_fit_are_named(model):
    edit_config(model, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
    assert "its score.weight has the shape [1, 32] and its configuration needs [2, 32]" in refused(model)
    edit_config(model, id2label=None, label2id=None, num_labels=1, hidden_size="wide")
    assert "cannot load" in refused(model)
    edit_config(model, hidden_size=32, quantization_config={"quant_method": "nobody-knows", "bits": 3})
    assert "quantis" in refused(model)


def test_a_class_of_nobody_over_known_weights_is_refused(model):
    """All weights fit, and yet the model was saved from a class whose head is its own."""
    edit_config(model, architectures=["LlamaForRewardModel"])
    assert "was saved from LlamaForRewardModel, whose head is its own" in refused(model)
    edit_config(model, auto_map={"AutoModelForSequenceClassification": "modeling_reward.LlamaForRewardModel"})
    message = refused(model)
    assert "--allow-remote-code" in message
    assert "modeling_reward.LlamaForRewardModel" in message
    assert "train-pair" not in message


OWN_CODE = """
    import torch
    from dataclasses import dataclass
    from transformers import LlamaModel, LlamaPreTrainedModel
    from transformers.utils import ModelOutput

    @dataclass
    class Scores(ModelOutput):
        rewards: torch.Tensor = None
        {field}: torch.Tensor = None

    class LlamaForRewardModel(LlamaPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.model = LlamaModel(config)
            self.own = torch.nn.Linear(config.hidden_size, 1, bias=False)
            self.post_init()

        def forward(self, input_ids, attention_mask=None, **_):
            states = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
            scores = self.own(states)
            last = {last}
            picked = scores[torch.arange(len(last)), last]
            return Scores(rewards=torch.zeros(len(last), 5), {field}={value})
"""
LAST_OF_MASK = "attention_mask.sum(dim=1) - 1"
LAST_OF_ROW = "torch.full((len(input_ids),), input_ids.shape[1] - 1)"


def with_own_code(
    model, *, field="score", last=LAST_OF_MASK, value="picked[:, 0]", auto="AutoModelForSequenceClassification"
):
    (model / "modeling_reward.py").write_text(textwrap.dedent(OWN_CODE.format(field=field, last=last, value=value)))
    edit_config(model, architectures=["LlamaForRewardModel"], auto_map={auto: "modeling_reward.LlamaForRewardModel"})
    edit_weights(model, lambda weights: weights.update({"own.weight": weights.pop("score.weight")}))
    return model


def rewards_of(path, exchanges=EXCHANGES[:3], **options):
    model = RewardModel(path, over_length="truncate", options=ModelOptions(**options))
    return model, [each.reward for each in model.score(exchanges)]


@pytest.mark.parametrize(
    ("field", "value", "auto"),
    [
        ("score", "picked[:, 0]", "AutoModelForSequenceClassification"),
        ("logits", "picked[:, 0]", "AutoModel"),
        ("logits", "picked", "AutoModel"),
        ("end_scores", "picked", "AutoModelForSequenceClassification"),
    ],
)
def test_heads_of_own_code_run_where_it_is_allowed(good, model, field, value, auto):
    with_own_code(model, field=field, value=value, auto=auto)
    message = refused(model)
    assert "--allow-remote-code" in message
    assert "train-pair" not in message
    _, expected = rewards_of(good, pack=False)
    own, rewards = rewards_of(model, allow_remote_code=True)
    assert rewards == pytest.approx(expected, abs=1e-4)
    assert own.notes == ()
    assert own.pads


def test_a_head_that_reads_padding_is_scored_text_by_text(good, model):
    with_own_code(model, last=LAST_OF_ROW)
    _, expected = rewards_of(good, pack=False)
    own, rewards = rewards_of(model, allow_remote_code=True)
    assert "scores a text otherwise in a batch" in own.notes[0]
    assert rewards == pytest.approx(expected, abs=1e-4)


def test_a_head_that_gives_scores_per_token_is_refused(model):
    with_own_code(model, field="logits", value="scores")
    assert "outputs of the shape (2," in refused(model, allow_remote_code=True)


def test_the_doctor_examines_a_head_of_own_code(model, tmp_path, capsys):
    with_own_code(model)
    code = main(["doctor", str(model), "--allow-remote-code", "--limit", "4", "--max-length", "64"])
    out = capsys.readouterr().out
    assert code in (0, 1)
    assert "batch" in out
    assert "LlamaForRewardModel" in out
