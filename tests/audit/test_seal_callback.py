"""The log of real TRL trainings of tiny models, against the trainer's own metrics, the package's scorers and its audit."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset

from seal_datasets import SealCallback, estimate
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.score_store import ScoreStore
from tests.audit.trainers import planted_rows, seal_lines, trainer_of
from tests.rewards.models import CHAT_TEMPLATE, save_llama

ROWS, HELDOUT = planted_rows(48), planted_rows(32, 100)
FEATURES = ["surface_log_tokens", "surface_question_marks"]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("rm"), minilm, 0, classifier=True, template=CHAT_TEMPLATE)


@pytest.fixture(scope="module")
def policy(tmp_path_factory, minilm):
    return save_llama(tmp_path_factory.mktemp("policy"), minilm, 0, template=CHAT_TEMPLATE)


def watched(trainer, **options):
    trainer.add_callback(SealCallback(trainer, **{"features": FEATURES, **options}))
    return trainer


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("kind", ["reward", "dpo"])
def test_resistance_is_one_minus_the_trainers_own_accuracy(kind, reward_model, policy, tmp_path):
    """TRL computes the accuracy by its own batches and forward passes; both are strict about ties."""
    path = {"reward": reward_model, "dpo": policy}[kind]
    trainer = watched(trainer_of(kind, path, tmp_path, ROWS, HELDOUT))
    trainer.train()
    own = {line["step"]: line for line in trainer.state.log_history if "eval_loss" in line}
    accuracy = {"reward": "eval_accuracy", "dpo": "eval_rewards/accuracies"}[kind]
    found = seal_lines(trainer)
    assert list(found) == list(own) == [4, 6]
    for step, line in found.items():
        assert line["eval_seal/resistance"] == pytest.approx(1 - own[step][accuracy])
        assert line["eval_seal/resistance_low"] <= line["eval_seal/resistance"] <= line["eval_seal/resistance_high"]
        assert (line["eval_seal/n_pairs"], line["eval_seal/n_pairs_seen"]) == (32, 48)
    assert {f"eval_seal/{quantity}/{name}" for quantity in ("imprint", "amplification") for name in FEATURES} <= set(
        found[4]
    )
    texts = 2 * (32 + 48)
    assert found[4]["eval_seal/n_scored"] == (texts if kind == "reward" else 2 * texts)  # DPO: and its reference, once


def test_the_implicit_reward_is_that_of_the_saved_policy(policy, tmp_path):
    trainer = watched(trainer_of("dpo", policy, tmp_path / "out", ROWS, HELDOUT))
    trainer.train()
    trainer.save_model(str(tmp_path / "trained"))
    scorer = ImplicitReward(tmp_path / "trained", policy, beta=trainer.beta)
    pairs, _ = load_pairs(Dataset.from_list(HELDOUT))
    chosen, rejected = (
        [each.reward for each in scorer.score([exchange(row, side) for row in pairs])]
        for side in ("chosen", "rejected")
    )
    metrics = trainer.evaluate()
    expected = estimate.alignment_resistance(chosen, rejected, groups=pairs["prompt_id"][:])
    assert metrics["eval_seal/resistance"] == expected.alignment_resistance
    assert metrics["eval_rewards/margins"] == pytest.approx(np.mean(np.subtract(chosen, rejected)), abs=1e-4)
    callback = next(each for each in trainer.callback_handler.callbacks if isinstance(each, SealCallback))
    with ScoreStore(tmp_path / "store") as store:
        drawn = callback._score(store)[0]["heldout"]
    assert sorted(drawn.chosen - drawn.rejected) == pytest.approx(sorted(np.subtract(chosen, rejected)), abs=1e-4)


def test_an_adapters_reference_is_its_base_and_is_scored_once(policy, tmp_path):
    peft = pytest.importorskip("peft")
    adapter = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])
    trainer = watched(trainer_of("dpo", policy, tmp_path, ROWS, HELDOUT, peft_config=adapter, learning_rate=1e-2))
    trainer.train()
    scored = [line["eval_seal/n_scored"] for line in seal_lines(trainer).values()]
    assert scored == [320, 160]  # 160 texts under the policy at each evaluation, and once under the base
    own = [line["eval_rewards/accuracies"] for line in trainer.state.log_history if "eval_rewards/accuracies" in line]
    last = [line["eval_seal/resistance"] for line in trainer.state.log_history if "eval_seal/resistance" in line][-1]
    assert last == pytest.approx(1 - own[-1])


def test_the_training_is_the_same_with_and_without(reward_model, tmp_path):
    """Dropout is on, so that a draw of random numbers or a mode that is not put back would change the weights."""
    trained = []
    for name, watches in (("with", True), ("without", False)):
        trainer = trainer_of(
            "reward", reward_model, tmp_path / name, ROWS, HELDOUT, disable_dropout=False, eval_steps=2
        )
        trainer.model.config.attention_dropout = 0.2
        for layer in trainer.model.model.layers:
            layer.self_attn.attention_dropout = 0.2
        if watches:
            watched(trainer)
        trainer.train()
        trained.append(weights(trainer))
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_modes_and_random_states_are_left_as_found(reward_model, tmp_path):
    trainer = watched(trainer_of("reward", reward_model, tmp_path, ROWS, HELDOUT))
    trainer.model.train()
    trainer.model.score.eval()  # a module that its owner keeps from training
    before = torch.get_rng_state(), random.getstate()
    callback = trainer.callback_handler.callbacks[-1]
    callback.on_evaluate(trainer.args, trainer.state, trainer.control)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (trainer.model.training, trainer.model.score.training) == (True, False)


def test_a_resumed_training_has_the_same_numbers_and_scores_nothing_twice(reward_model, tmp_path):
    options = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 4}
    whole = watched(trainer_of("reward", reward_model, tmp_path / "whole", ROWS, HELDOUT, **options))
    whole.train()
    first = watched(trainer_of("reward", reward_model, tmp_path / "cut", ROWS, HELDOUT, **options))
    first.train()
    again = watched(trainer_of("reward", reward_model, tmp_path / "cut", ROWS, HELDOUT, **options))
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    expected, found = seal_lines(whole), seal_lines(again)
    assert list(found) == list(expected) == [4, 8, 12]
    assert found[4] == expected[4]  # restored with the checkpoint
    for step in (8, 12):
        assert found[step].pop("eval_seal/n_scored") == 0  # the same weights as before the cut
        assert expected[step].pop("eval_seal/n_scored") == 160
        assert found[step] == pytest.approx(expected[step], abs=1e-9)


def test_a_logged_key_can_choose_the_best_checkpoint(reward_model, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 4, "load_best_model_at_end": True, "num_train_epochs": 2}
    best = {"metric_for_best_model": "seal/resistance", "greater_is_better": False}
    trainer = watched(trainer_of("reward", reward_model, tmp_path, ROWS, HELDOUT, **options, **best))
    trainer.train()
    assert trainer.state.best_metric == min(line["eval_seal/resistance"] for line in seal_lines(trainer).values())


def test_costs_are_stated_and_pairs_are_drawn_by_prompt(reward_model, tmp_path, capsys):
    rows = [row | {"pair_id": f"{row['pair_id']}-{n}"} for row in HELDOUT for n in range(2)]
    trainer = trainer_of("reward", reward_model, tmp_path, ROWS, rows)
    callback = SealCallback(trainer, max_pairs=9, seed=3)
    assert [len(part) for part in callback.parts.values()] == [8, 9]  # whole prompts, of two pairs each
    assert "SEAL scores 8 heldout and 9 seen pairs at each evaluation, at most 34 texts" in capsys.readouterr().err
    reverse = trainer_of("reward", reward_model, tmp_path, ROWS, rows[::-1])
    again = SealCallback(reverse, max_pairs=9, seed=3)
    drawn = [sorted(each.parts["heldout"].tokens["chosen_ids"]) for each in (callback, again)]
    assert drawn[0] == drawn[1]


def test_prompts_that_are_trained_on_are_not_held_out(reward_model, tmp_path, capsys):
    callback = SealCallback(trainer_of("reward", reward_model, tmp_path, ROWS, [*HELDOUT, *ROWS[:5]]))
    assert len(callback.parts["heldout"]) == 32
    assert "5 of the 37 pairs of eval_dataset have a prompt that is trained on: left out" in capsys.readouterr().err
    with pytest.raises(DataError, match="none of the 5 pairs of eval_dataset is held out: 5 have a prompt"):
        SealCallback(trainer_of("reward", reward_model, tmp_path, ROWS, ROWS[:5]))


def test_labels_in_columns_are_features(reward_model, tmp_path):
    labels = [
        {"feature_polite_chosen": index % 2 == 0, "feature_polite_rejected": index % 3 == 0} for index in range(32)
    ]
    held = [row | label for row, label in zip(HELDOUT, labels, strict=True)]
    rows = [row | labels[0] for row in ROWS]
    trainer = watched(trainer_of("reward", reward_model, tmp_path, rows, held), features=["polite"])
    assert "eval_seal/imprint/polite" in trainer.evaluate()
    with pytest.raises(DataError, match="there is no feature 'rude': it is no surface feature"):
        SealCallback(trainer, features=["rude"])


def test_a_number_without_a_reason_is_never_missing(reward_model, tmp_path, capsys):
    """No held-out response has a heading, so there is no imprint of headings; the log has no 0 in its place."""
    trainer = watched(trainer_of("reward", reward_model, tmp_path, ROWS, HELDOUT), features=["surface_headings"])
    assert not [key for key in trainer.evaluate() if "headings" in key]
    assert "no imprint of surface_headings on the held-out pairs: not_identified" in capsys.readouterr().err


def test_what_cannot_be_watched_is_refused(reward_model, policy, tmp_path):
    trainer = trainer_of("reward", reward_model, tmp_path, ROWS, HELDOUT)
    with pytest.raises(DataError, match="max_pairs must be at least 1, got 0"):
        SealCallback(trainer, max_pairs=0)
    with pytest.raises(DataError, match="takes a RewardTrainer or a DPOTrainer, got a str"):
        SealCallback("trainer")
    trainer.eval_dataset = None
    with pytest.raises(
        DataError, match="needs one table of held-out pairs as the trainer's eval_dataset, got NoneType"
    ):
        SealCallback(trainer)
    trainer.eval_dataset = trainer.train_dataset.remove_columns(["chosen"])
    with pytest.raises(DataError, match="has no column 'chosen'"):
        SealCallback(trainer)


def test_a_stream_of_training_data_has_no_memorisation_gap(reward_model, tmp_path, capsys):
    trainer = trainer_of("reward", reward_model, tmp_path, ROWS, HELDOUT)
    trainer.train_dataset = IterableDataset.from_generator(lambda: iter(ROWS))
    metrics = watched(trainer).evaluate()
    assert "eval_seal/resistance" in metrics
    assert "eval_seal/memorisation_gap" not in metrics
    assert "there is no memorisation gap" in capsys.readouterr().err


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
def test_it_is_said_where_an_audit_would_see_other_tokens(template, tmp_path, minilm, capsys):
    path = save_llama(tmp_path / "rm", minilm, 0, classifier=True, template=template)
    messages = template is not None
    rows, held = planted_rows(12, messages=messages), planted_rows(12, 100, messages=messages)
    SealCallback(trainer_of("reward", path, tmp_path, rows, held))
    assert ("shows its models other tokens" in capsys.readouterr().err) is (template is None)


@pytest.mark.slow
def test_two_processes_score_a_share_each(reward_model, tmp_path):
    root = Path(__file__).parents[2]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(root / "tests" / "audit" / "two_processes.py"), reward_model, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*launch, *script], env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = json.loads((tmp_path / "log.json").read_text())
    (own,) = (line for line in lines if "eval_loss" in line)
    (found,) = (line for line in lines if "eval_seal/resistance" in line)
    assert found["eval_seal/resistance"] == pytest.approx(1 - own["eval_accuracy"])
    assert found["eval_seal/n_scored"] == 160
    assert sorted(file.name for file in (tmp_path / "_seal").glob("*.sqlite")) == [
        "scores-00000.sqlite",
        "scores-00001.sqlite",
    ]


@pytest.mark.slow
def test_the_log_says_what_the_audit_of_the_checkpoint_says(reward_model, tmp_path):
    from seal_datasets import run_audit

    options = {"save_strategy": "steps", "save_steps": 4, "num_train_epochs": 2}
    trainer = watched(trainer_of("reward", reward_model, tmp_path / "out", ROWS, HELDOUT, **options), features=None)
    trainer.train()
    rows = [row | {"partition": "train"} for row in ROWS] + [row | {"partition": "heldout"} for row in HELDOUT]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    models = {f"step_{step}": tmp_path / "out" / f"checkpoint-{step}" for step in (4, 8, 12)}
    report = run_audit(str(tmp_path / "pairs.jsonl"), tmp_path / "audit", models={"start": reward_model, **models})
    for step, line in seal_lines(trainer).items():
        model = f"step_{step}"
        resistance = report["models"][model]["resistance"]
        assert line["eval_seal/resistance"] == resistance["heldout"]["alignment_resistance"]
        assert line["eval_seal/resistance_seen"] == resistance["train"]["alignment_resistance"]
        gap = next(each for each in report["memory"] if (each["model"], each["quantity"]) == (model, "resistance"))
        assert line["eval_seal/memorisation_gap"] == pytest.approx(gap["gap"])
        rows = report["imprint"]["all_features"]["standardised"]["sd"]["models"][model]
        for row in rows:
            assert line.get(f"eval_seal/imprint/{row['feature']}") == pytest.approx(row["estimate"], abs=1e-4)
        for row in report["models"][model]["amplification"]["features"]:
            found = line.get(f"eval_seal/amplification/{row['feature']}")
            assert found == pytest.approx(row["amplification"], abs=1e-3)
    assert set(report["trajectory"]["changes"]) >= {"step_4 - start", "step_12 - start"}


@pytest.mark.slow
def test_resistance_falls_where_a_real_encoder_learns(tmp_path, minilm):
    """MiniLM learns that yes is chosen in nine of ten pairs: held-out resistance falls to about a tenth."""
    from tests.rewards.models import save_tokenizer

    save_tokenizer(tmp_path / "tokenizer", minilm, template=CHAT_TEMPLATE, positions=64)
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1)
    rows, held = planted_rows(96), planted_rows(64, 200)
    options = {"num_train_epochs": 3, "learning_rate": 1e-4, "eval_steps": 6, "eval_on_start": True}
    trainer = watched(trainer_of("reward", tmp_path / "tokenizer", tmp_path, rows, held, model=model, **options))
    trainer.train()
    found = seal_lines(trainer)
    curve = [line["eval_seal/resistance"] for line in found.values()]
    assert curve[0] > 0.3
    assert curve[-1] < 0.2
    wrong = sum(row["chosen"][0]["content"].startswith("no") for row in held) / len(held)
    assert curve[-1] == pytest.approx(wrong, abs=0.05)
