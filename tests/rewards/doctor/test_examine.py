"""Examinations of real small models: MiniLM, tiny Llamas and a GPT-2 shape, all with seeded random weights where not MiniLM's.

Faults are planted one at a time, in the model's files as a user would have them.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from seal_datasets.cli import main
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards.doctor.checks import check_precision, check_sanity
from seal_datasets.rewards.doctor.examine import Extent, examine
from seal_datasets.rewards.scorer import Scored
from tests.rewards.models import CHAT_TEMPLATE
from tests.rewards.models import save_llama as save_causal
from tests.rewards.score_server import ScoreServer
from tests.rewards.test_classifier import bare_loop

BODY = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
WITH_BOS, ENDED = "{{ bos_token }}" + BODY, "{{ bos_token }}" + BODY + "{{ eos_token }}"


def tokenizer_of(minilm, template, *, pad=None):
    """MiniLM's words under a chat template; [CLS], which it adds itself, is the BOS and [SEP] the EOS."""
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    tokenizer.chat_template = template
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    if pad:
        tokenizer.pad_token = pad
    return tokenizer


def save_llama(path, tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=1,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,
    )
    tokenizer.save_pretrained(path)
    LlamaForSequenceClassification(config).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def llama(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("llama"), tokenizer_of(minilm, WITH_BOS))


def short(path, pairs=None, *, head=None, processes=1):
    return examine(path, pairs, extent=Extent(limit=6, processes=processes, short=True), head=head)


def test_a_real_encoder_passes(reward_models):
    found = examine(reward_models["post"], extent=Extent(limit=6))
    assert found.failed == ()
    # The head is untrained, so what it prefers is chance.
    assert {each.name for each in found.checks if each.status == "warning"} <= {"sanity"}
    assert found["packing"].status == "not_applicable"
    assert 0.0 < found.tie_band < 1e-5
    assert (
        found["padding"].largest_difference > 100 * found.tie_band
    )  # positions are absolute; never padded at the left
    assert found.precisions["bfloat16"].largest_difference > 100 * found.tie_band
    assert found.example == "[CLS] what is the capital of france? [SEP] the capital of france is paris. [SEP]"
    assert found.template_hash is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_causal_model_with_a_chat_template_passes(llama):
    found = short(llama)
    assert found.failed == ()
    assert found["packing"].status == found["padding"].status == found["attention"].status == "ok"
    assert 0.0 < found["packing"].largest_difference <= found.tie_band <= found.tolerance
    assert "the template writes it and the tokenizer would add another" in found["bos"].detail
    assert found["bos"].largest_difference > found.tolerance
    assert found["end_token"].status == "ok"
    assert found.example.startswith("[CLS] [ user ] what is the capital of france?")
    assert len(found.template_hash) == 16


def test_a_template_without_bos_beside_a_tokenizer_that_adds_one_fails(tmp_path, minilm):
    found = short(save_llama(tmp_path, tokenizer_of(minilm, BODY)))
    assert found.failed == ("bos",)
    assert "the chat template writes no BOS, while the tokenizer would add one" in found["bos"].detail


def test_a_template_that_doubles_the_bos_fails(tmp_path, minilm):
    found = short(save_llama(tmp_path, tokenizer_of(minilm, "{{ bos_token }}" + WITH_BOS)))
    assert found.failed == ("bos",)
    assert "texts begin with 2 BOS tokens" in found["bos"].detail
    assert found["bos"].largest_difference > found.tolerance


def test_an_end_token_that_is_passed_over_fails(tmp_path, minilm):
    found = short(save_llama(tmp_path / "same", tokenizer_of(minilm, ENDED, pad="[SEP]")))
    assert found.failed == ("end_token",)
    assert found["end_token"].largest_difference > found.tolerance
    assert short(save_llama(tmp_path / "own", tokenizer_of(minilm, ENDED))).failed == ()


def test_an_end_token_that_would_be_passed_over_is_a_warning(tmp_path, minilm):
    found = short(save_llama(tmp_path, tokenizer_of(minilm, WITH_BOS, pad="[SEP]")))
    assert (found["end_token"].status, found.failed) == ("warning", ())


@pytest.mark.parametrize(("side", "failed"), [("left", ("padding",)), ("right", ())])
def test_absolute_positions_padded_at_the_left_fail(tmp_path, minilm, side, failed):
    tokenizer = tokenizer_of(minilm, WITH_BOS)
    tokenizer.padding_side = side
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=512,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.5,
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = short(tmp_path)
    assert found.failed == failed
    assert found["padding"].largest_difference > found.tolerance
    assert found.tie_band <= found.tolerance


def test_weights_that_are_not_numbers_are_refused_and_named(tmp_path, reward_models):
    model = AutoModelForSequenceClassification.from_pretrained(reward_models["post"])
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(reward_models["post"]).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"infinite or no numbers: classifier\.weight\..*take an earlier checkpoint"):
        short(tmp_path)


def test_scores_that_are_not_numbers_fail(tmp_path, reward_models, capsys):
    """Weights at the end of float32's range, whose sums are beyond it."""
    model = AutoModelForSequenceClassification.from_pretrained(reward_models["post"])
    with torch.no_grad():
        model.classifier.weight[:] = 3e38
        model.bert.pooler.dense.weight[:] = 0.0
        model.bert.pooler.dense.bias[:] = 20.0
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(reward_models["post"]).save_pretrained(tmp_path)
    found = short(tmp_path)
    assert found.failed == ("finite", "sanity")
    assert found["batch"].status == "not_applicable"
    assert found.tie_band == 0.0
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.fixture(scope="module")
def two_outputs(tmp_path_factory, minilm):
    """Real MiniLM whose first output is its likeness to good answers over bad ones, and whose second is minus that."""
    from seal_datasets.rewards.doctor.sanity import sanity_pairs

    path = tmp_path_factory.mktemp("two")
    model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    with torch.no_grad():
        better, worse = (
            torch.cat(
                [
                    model.base_model(**tokenizer([each.prompt], [each.response], return_tensors="pt")).pooler_output
                    for each in side
                ]
            )
            for side in zip(*sanity_pairs(), strict=True)
        )
        difference = (better - worse).double()
        fitted = torch.linalg.lstsq(difference, torch.ones(len(difference), 1).double()).solution[:, 0].float()
        model.classifier.weight[0], model.classifier.weight[1] = fitted, -fitted
        model.classifier.bias.zero_()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def test_a_wrong_head_fails_and_the_right_one_passes(two_outputs):
    assert short(two_outputs, head=0)["sanity"].status == "ok"
    found = short(two_outputs, head=1)
    assert found.failed == ("sanity",)
    assert "check --head" in found["sanity"].advice
    with pytest.raises(ModelError, match="head 2 is not one of the 2 outputs"):
        short(two_outputs, head=2)
    with pytest.raises(ModelError, match="has 2 outputs"):
        short(two_outputs)


def test_scores_are_those_of_a_bare_loop(reward_models):
    from seal_datasets.rewards.classifier import RewardModel
    from seal_datasets.rewards.doctor.probe import score_one_by_one
    from seal_datasets.rewards.doctor.sanity import sanity_pairs

    texts = [better for better, _ in sanity_pairs()]
    model = RewardModel(reward_models["pre"])
    found = score_one_by_one(model, [each.inputs for each in model.encode(texts)])
    assert found == pytest.approx(bare_loop(reward_models["pre"], texts), abs=1e-6)


@pytest.mark.slow
def test_two_processes_find_what_one_finds(llama):
    found = short(llama, processes=2)
    assert found["processes"].status == "ok", found["processes"]
    assert found["processes"].largest_difference <= found.tolerance


def test_a_precision_is_unsafe_where_preferences_flip_or_scores_overflow():
    exact = np.array([2.0, 1.0, 1.0, 0.0])
    rewards = {"float32": exact, "bfloat16": exact + 0.01, "float16": np.array([2.0, 1.0, np.inf, 0.0])}
    check, found = check_precision("float16", rewards, {})
    assert (check.status, check.advice) == ("failed", "score with --precision float32")
    assert (found["bfloat16"].safe, found["float16"].safe) == (True, False)
    assert (
        check_precision("float32", {**rewards, "bfloat16": exact[[1, 0, 2, 3]]}, {})[1]["bfloat16"].share_flipped == 0.5
    )


def test_without_scores_in_float32_no_precision_is_compared():
    check, found = check_precision("bfloat16", {"bfloat16": np.array([1.0, 0.0])}, {"float32": "no memory (on cuda)"})
    assert (check.status, found) == ("not_applicable", {})
    assert "float32 cannot be used here: no memory (on cuda)" in check.detail


def test_a_precision_that_weights_overflow_is_named_and_ends_no_examination(llama, tmp_path):
    path = tmp_path / "large"
    shutil.copytree(llama, path)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    model.score.weight.data *= 1e7
    model.save_pretrained(path)
    found = examine(str(path), extent=Extent(limit=2))
    assert "float16 cannot be used here" in found["precision"].detail
    assert "weights that are infinite" in found["precision"].detail
    assert set(found.precisions) == {"float32", "bfloat16"}


@pytest.mark.parametrize(("preferred", "status"), [(12, "ok"), (9, "ok"), (8, "warning"), (1, "failed")])
def test_known_better_pairs_have_a_stated_bound(preferred, status):
    scored = [(Scored(float(index < preferred), "ok", 1), Scored(0.5, "ok", 1)) for index in range(12)]
    assert check_sanity(scored).status == status


def test_truncation_is_measured_on_the_pairs_given(reward_models):
    from datasets import Dataset

    from seal_datasets.data.load import load_pairs

    rows = {"prompt": ["Hi", "word " * 700], "chosen": ["Hello", "yes"], "rejected": ["Go", "no"]}
    found = short(reward_models["pre"], pairs=load_pairs(Dataset.from_dict(rows))[0])
    assert found["truncation"].status == "warning"
    assert (found.truncation["512"], found.truncation["1024"]) == (0.5, 0.0)
    with pytest.raises(DataError, match="at least 1"):
        examine(reward_models["pre"], extent=Extent(limit=0))


def test_the_command_prints_a_table_and_ends_with_1_on_failure(llama, tmp_path, minilm, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(llama, broken)
    tokenizer_of(minilm, "{{ bos_token }}\x1b[31m" + WITH_BOS).save_pretrained(broken)
    assert main(["doctor", str(broken), "--limit", "4", "--out", str(tmp_path / "doctor.json")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    tokenizer_of(minilm, BODY).save_pretrained(broken)
    assert main(["doctor", str(broken), "--limit", "4", "--out", str(tmp_path / "doctor.json")]) == 1
    out = capsys.readouterr().out
    assert "failed: bos" in out
    assert "to do: find out how the model was trained" in out
    written = json.loads((tmp_path / "doctor.json").read_text())["broken"]
    assert written["failed"] == ["bos"]
    assert written["example"] in out


@pytest.fixture(scope="module")
def dpo(tmp_path_factory, minilm):
    names = [
        save_causal(tmp_path_factory.mktemp(name), minilm, seed, template=CHAT_TEMPLATE, positions=512)
        for seed, name in enumerate(("policy", "reference"))
    ]
    return f"dpo:{names[0]}@{names[1]}"


def test_implicit_rewards_are_asked_for_scores(dpo, tmp_path, capsys):
    found = examine(dpo, extent=Extent(limit=4))
    statuses = {each.name: each.status for each in found.checks}
    assert list(statuses) == ["finite", "determinism", "batch", "template", "truncation", "sanity"]
    assert {statuses[name] for name in ("finite", "determinism", "batch")} == {"ok"}
    assert 0.0 <= found.tie_band < 1e-3 < found.tolerance
    assert found.example.startswith("[CLS]")
    with pytest.raises(DataError, match="compared for classifiers only"):
        examine(dpo, extent=Extent(processes=2))
    main(["doctor", dpo, "--limit", "2", "--out", str(tmp_path / "doctor.json")])
    assert "LlamaForCausalLM" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "doctor.json").read_text()).values()
    assert found["n_pairs"] == 2


def test_several_models_are_examined_in_one_call_and_one_failure_is_enough(dpo, llama, tmp_path, minilm, capsys):
    broken, out = tmp_path / "broken", tmp_path / "doctor.json"
    shutil.copytree(llama, broken)
    tokenizer_of(minilm, BODY).save_pretrained(broken)
    few = ["--limit", "2", "--out", str(out)]
    assert main(["doctor", str(broken), f"implicit={dpo}", *few]) == 1
    said = capsys.readouterr().out
    assert said.index("== broken ==") < said.index("failed: bos") < said.index("== implicit ==")
    written = json.loads(out.read_text())
    assert [(name, found["failed"]) for name, found in written.items()] == [("broken", ["bos"]), ("implicit", [])]
    assert main(["doctor", str(llama), str(tmp_path / "absent"), *few]) == 2  # found before anything is examined
    said = capsys.readouterr()
    assert (said.out, "there is no folder" in said.err) == ("", True)
    assert main(["doctor", str(llama), f"again={llama}", *few]) == 2
    assert "are the same model" in capsys.readouterr().err
    assert main(["doctor", str(llama), str(broken), "--revision", "main", *few]) == 2
    assert "--revision takes NAME=REVISION" in capsys.readouterr().err


def test_a_served_model_that_answers_at_random_fails(reward_models):
    with ScoreServer(reward_models["post"], "m") as server:
        named = f"served:{server.url}#m@{reward_models['post']}"
        assert not {"finite", "determinism", "batch"} & set(examine(named, extent=Extent(limit=4)).failed)
        real, noise = server.model.forward, np.random.default_rng(0)

        def noisy(*arguments, **options):
            answer = real(*arguments, **options)
            answer.logits += noise.normal()
            return answer

        server.model.forward = noisy
        assert {"determinism", "batch"} <= set(examine(named, extent=Extent(limit=4)).failed)


@pytest.mark.parametrize("kind", ["classifier", "dpo"])
def test_a_causal_model_without_a_chat_template_fails(tmp_path, minilm, kind):
    paths = [save_causal(tmp_path / str(seed), minilm, seed, classifier=kind == "classifier") for seed in (0, 1)]
    found = examine(
        paths[0] if kind == "classifier" else f"dpo:{paths[0]}@{paths[1]}", extent=Extent(limit=4, short=True)
    )
    assert "template" in found.failed
    assert "chat_template.jinja" in found["template"].advice
    assert "causal model without a chat template" in found.model["notes"][0]


def test_a_model_without_a_padding_token_is_examined(tmp_path, minilm):
    from tests.rewards.test_classifier import remove_padding

    save_causal(tmp_path, minilm, 0, classifier=True, template=CHAT_TEMPLATE, positions=512)
    remove_padding(tmp_path, minilm)
    found = short(tmp_path)
    assert (found["batch"].status, found["padding"].status) == ("not_applicable", "not_applicable")
    assert found["packing"].status == "ok"


def test_texts_that_the_template_refuses_are_counted(tmp_path, minilm):
    refuses = "{% if messages | length > 2 %}{{ raise_exception('One turn only') }}{% endif %}" + CHAT_TEMPLATE
    found = short(save_causal(tmp_path, minilm, 0, classifier=True, template=refuses, positions=512))
    assert found["truncation"].status == "warning"
    assert "template_refused)" in found["truncation"].detail
