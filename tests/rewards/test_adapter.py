"""Adapters are made with PEFT and held against PEFT's own unmerged outputs; their bases are tiny Llamas."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaForCausalLM

from seal_datasets.cli import main
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.open import find_scorer
from seal_datasets.rewards.options import ModelOptions
from tests.rewards.models import CHAT_TEMPLATE, EXCHANGES, save_llama, turn

peft = pytest.importorskip("peft", reason="adapters are made and merged with peft (extra peft)")


@pytest.fixture(scope="module")
def base(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("base"), minilm, 0, template=CHAT_TEMPLATE)


def save_adapter(base, path, task, *, seed=1, head=True):
    """A LoRA adapter with random weights, saved as a trainer saves it."""
    torch.manual_seed(seed)
    if task == "SEQ_CLS":
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    else:
        model = LlamaForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"])
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.copy_(torch.randn_like(weight) * 0.2)
    adapted.save_pretrained(path)
    if not head:
        edit(path, lambda config: config.update(modules_to_save=None, task_type=None))
        from safetensors.torch import load_file, save_file

        file = path / "adapter_model.safetensors"
        save_file({name: part for name, part in load_file(file).items() if "score" not in name}, file)
    return adapted.eval()


def edit(path, change):
    file = path / "adapter_config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def test_an_adapter_gives_the_rewards_of_peft_itself(base, tmp_path):
    adapted = save_adapter(base, tmp_path, "SEQ_CLS")
    model, tokenizer = RewardModel(tmp_path), AutoTokenizer.from_pretrained(base)
    expected = []
    for each in EXCHANGES[:3]:
        turns = [*each.conversation, {"role": "assistant", "content": each.response}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            expected.append(adapted(input_ids=ids).logits.item())
    assert [each.reward for each in model.score(EXCHANGES[:3])] == pytest.approx(expected, abs=1e-4)
    assert model.packs
    about = model.provenance()
    assert about["revision"].startswith("sha256:")
    assert about["base"]["model"] == base
    assert about["base"]["revision"].startswith("sha256:")
    assert about["base"]["revision"] != about["revision"]


def test_two_adapters_of_one_base_have_different_keys(base, tmp_path):
    models = []
    for seed in (1, 2):
        save_adapter(base, tmp_path / str(seed), "SEQ_CLS", seed=seed)
        models.append(RewardModel(tmp_path / str(seed)))
    assert models[0].identity_key() != models[1].identity_key()


def test_an_adapter_is_a_policy_whose_reference_is_its_base(base, tmp_path):
    adapted = save_adapter(base, tmp_path, "CAUSAL_LM")
    merged = tmp_path / "merged"
    adapted.merge_and_unload().save_pretrained(merged)
    AutoTokenizer.from_pretrained(base).save_pretrained(merged)
    for each in tmp_path.glob("merged/adapter*"):
        each.unlink()
    rewards = [ImplicitReward(policy, base).score(EXCHANGES[:3]) for policy in (tmp_path, merged)]
    assert [each.reward for each in rewards[0]] == pytest.approx([each.reward for each in rewards[1]], abs=1e-4)
    assert max(abs(each.reward) for each in rewards[0]) > 0.01


def test_adapters_that_cannot_be_used_say_why(base, tmp_path, minilm):
    save_adapter(base, tmp_path / "bare", "SEQ_CLS", head=False)
    with pytest.raises(ModelError, match=r"weights lack score\.weight"):
        RewardModel(tmp_path / "bare")
    save_adapter(base, tmp_path / "classifier", "SEQ_CLS")
    with pytest.raises(ModelError, match="adapter of a sequence classifier; give it as a reward model"):
        ImplicitReward(tmp_path / "classifier", base)
    edit(tmp_path / "classifier", lambda config: config.update(base_model_name_or_path="nobody/base"))
    for use in (RewardModel, lambda path: find_scorer(str(path))):
        with pytest.raises(ModelError, match="adapter of 'nobody/base', which was not found"):
            use(tmp_path / "classifier")
    edit(tmp_path / "classifier", lambda config: config.update(base_model_name_or_path=str(tmp_path / "bare")))
    with pytest.raises(ModelError, match="which is an adapter too"):
        RewardModel(tmp_path / "classifier")
    edit(tmp_path / "classifier", lambda config: config.update(peft_type="PROMPT_TUNING"))
    with pytest.raises(ModelError, match="'PROMPT_TUNING', which cannot be merged"):
        RewardModel(tmp_path / "classifier")


def test_an_adapter_of_another_base_does_not_fit(base, tmp_path, minilm):
    save_adapter(base, tmp_path / "adapter", "SEQ_CLS")
    edit(tmp_path / "adapter", lambda config: config.update(r=2))
    with pytest.raises(ModelError, match="does not fit its base"):
        RewardModel(tmp_path / "adapter")


def test_a_folder_with_a_whole_model_and_an_adapter_is_refused(base, tmp_path):
    save_adapter(base, tmp_path, "SEQ_CLS")
    LlamaForCausalLM.from_pretrained(base).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"holds a whole model .* and an adapter"):
        RewardModel(tmp_path)


def test_pickled_adapters_need_permission(base, tmp_path):
    from safetensors.torch import load_file

    save_adapter(base, tmp_path, "SEQ_CLS")
    torch.save(load_file(tmp_path / "adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="--allow-pickle"):
        RewardModel(tmp_path)
    assert RewardModel(tmp_path, options=ModelOptions(allow_pickle=True)).score(EXCHANGES[:1])[0].status == "ok"


def test_an_adapter_with_added_tokens_brings_its_embeddings_and_tokenizer(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<extra>", "<other>"])
    tokenizer.save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    torch.manual_seed(3)
    model.resize_token_embeddings(len(tokenizer))
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj"])
    peft.get_peft_model(model, config).save_pretrained(tmp_path, save_embedding_layers=True)
    scorer = RewardModel(tmp_path)
    assert scorer.model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    extra, plain = scorer.score([Exchange("", turn(text), "<extra>") for text in ("<extra>", "other")])
    assert extra.status == "ok"
    assert extra.reward != plain.reward


def test_seal_score_takes_an_adapter(base, tmp_path, capsys):
    save_adapter(base, tmp_path / "adapter", "SEQ_CLS")
    rows = [{"prompt": "Name a colour.", "chosen": "Blue", "rejected": "Seven"}]
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    command = ["score", str(tmp_path / "pairs.jsonl"), "--model", f"post={tmp_path / 'adapter'}"]
    assert main([*command, "--out", str(tmp_path / "scored.parquet")]) == 0


def test_an_adapter_of_the_hub_is_merged_at_its_revision(base, tmp_path, monkeypatch):
    """In the cache of the Hub's client, as a download leaves it, at a commit that is not the newest."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--me--adapter"
    for seed, commit in ((1, "1" * 40), (2, "2" * 40)):
        save_adapter(base, folder / "snapshots" / commit, "SEQ_CLS", seed=seed)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("2" * 40)
    newest, older = (RewardModel("me/adapter", options=ModelOptions(revision=each)) for each in (None, "1" * 40))
    local = RewardModel(folder / "snapshots" / ("1" * 40))
    assert (newest.revision, older.revision) == ("2" * 40, "1" * 40)
    rewards = [model.score(EXCHANGES[:1])[0].reward for model in (newest, older, local)]
    assert rewards[1] == pytest.approx(rewards[2], abs=1e-6)
    assert rewards[0] != pytest.approx(rewards[1], abs=1e-3)
