import json
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from seal_datasets import schema
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards import train
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.train import (
    TrainingSettings,
    _begun_training,
    _contrasts,
    _trainable,
    heldout_prompts,
    measure_pair,
    train_pair,
)

SETTINGS = TrainingSettings(
    heldout_share=0.2, pre_epochs=1, post_epochs=12, batch_size=8, learning_rate=1e-4, max_length=64
)


@pytest.fixture(scope="module")
def taught_pairs():
    """Forty prompts whose chosen response always says yes and whose rejected one says no: easy to learn."""
    subjects = ["tea", "rain", "music", "bread", "chess", "trains", "cats", "maps"]
    openers = ["What about", "Do you like", "Tell me of", "Is it time for", "Who needs"]
    prompts = [f"{opener} {subject}?" for opener in openers for subject in subjects]
    rows = {
        "prompt": prompts,
        "chosen": [f"Yes, gladly: {prompt.lower()}" for prompt in prompts],
        "rejected": [f"No, never: {prompt.lower()}" for prompt in prompts],
    }
    return load_pairs(Dataset.from_dict(rows))[0]


@pytest.fixture(scope="module")
def trained(taught_pairs, tmp_path_factory):
    return train_pair(taught_pairs, tmp_path_factory.mktemp("models"), SETTINGS)


def test_heldout_prompts_are_whole_prompts_whatever_the_order():
    ids = [f"p{n % 20}" for n in range(60)]
    held = heldout_prompts(ids, 0.25, 7)
    assert len(held) == 5  # a quarter of 20 prompts
    assert heldout_prompts(ids[::-1], 0.25, 7) == held
    assert heldout_prompts(ids, 0.25, 8) != held
    assert len(heldout_prompts(ids, 0.99, 7)) == 18  # two prompts are left to train on


def test_self_supervised_pairs_carry_no_preference_and_no_stranger_of_the_same_prompt():
    import numpy as np

    pairs = [(Exchange(f"p{n % 7}", [], f"c{n}"), Exchange(f"p{n % 7}", [], f"r{n}")) for n in range(200)]
    contrasts = _contrasts(pairs, np.random.default_rng(0))
    assert len(contrasts) == 200
    own = {response: f"p{n % 7}" for n in range(200) for response in (f"c{n}", f"r{n}")}
    assert all(real.prompt == stranger.prompt == own[real.response] for real, stranger in contrasts)
    assert all(own[stranger.response] != real.prompt for real, stranger in contrasts)
    # Each side is drawn with probability 1/2; 200 draws stay within 5 standard deviations (35) of 100.
    assert abs(sum(real.response.startswith("c") for real, _ in contrasts) - 100) < 35


@pytest.mark.slow
def test_the_post_model_learns_the_preference_and_the_pre_model_does_not_know_it(trained, taught_pairs):
    unseen = [row for row in taught_pairs if row[schema.PROMPT_ID] in trained.heldout_prompts]
    assert len(unseen) == 8  # a fifth of 40 prompts
    assert trained.n_train_pairs == 32
    for path, learned in ((trained.post, True), (trained.pre, False)):
        model = RewardModel(path)
        chosen, rejected = (
            [each.reward for each in model.score([Exchange(row["prompt"], [], row[side]) for row in unseen])]
            for side in ("chosen", "rejected")
        )
        margin = sum(c - r for c, r in zip(chosen, rejected, strict=True)) / len(unseen)
        assert (margin > 0.5) is learned


@pytest.mark.slow
def test_accuracy_on_held_out_pairs_is_measured_and_stands_in_the_cards(trained, taught_pairs):
    found = measure_pair(taught_pairs, trained)
    assert (found["train"]["post"].n_pairs, found["heldout"]["post"].n_pairs) == (32, 8)
    assert found["heldout"]["post"].alignment_score == 1.0 > found["heldout"]["pre"].alignment_score
    card = (trained.post / "README.md").read_text()
    assert "| pairs of held-out prompts | 8 | 1.000 |" in card
    assert "| pairs | 64 |" in card  # 32 preferences and as many self-supervised pairs, as before it was measured


@pytest.mark.slow
def test_finished_models_are_kept_and_others_are_not_overwritten(trained, taught_pairs):
    before = (trained.post / "model.safetensors").stat().st_mtime_ns
    again = train_pair(taught_pairs, trained.post.parent, SETTINGS)
    assert again == trained
    assert (trained.post / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds a model of other data or settings"):
        train_pair(taught_pairs.select(range(30)), trained.post.parent, SETTINGS)


@pytest.mark.slow
def test_checkpoints_that_a_kill_left_beside_a_finished_model_are_removed(trained, taught_pairs):
    (trained.post / "checkpoint-4").mkdir()
    (trained.post / "training_args.bin").write_text("pickled")
    assert train_pair(taught_pairs, trained.post.parent, SETTINGS) == trained
    assert not list(trained.post.glob("checkpoint-*"))
    assert not (trained.post / "training_args.bin").exists()


@pytest.mark.slow
def test_training_again_gives_the_same_pre_model_however_long_the_post_model_trains(trained, taught_pairs, tmp_path):
    from transformers import AutoModelForSequenceClassification

    again = train_pair(taught_pairs, tmp_path, replace(SETTINGS, post_epochs=1))
    first, second = (
        AutoModelForSequenceClassification.from_pretrained(path).state_dict() for path in (trained.pre, again.pre)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_model_cards_and_records_are_written(trained):
    card = (trained.post / "README.md").read_text()
    assert "post\\_epochs | 12" in card or "post_epochs | 12" in card
    record = json.loads((trained.post / "training.json").read_text())
    assert record["settings"]["seed"] == SETTINGS.seed


def test_too_little_data_and_wrong_settings_are_named(taught_pairs, tmp_path):
    with pytest.raises(DataError, match="at least 10 distinct prompts with usable pairs, got 9"):
        train_pair(taught_pairs.select(range(9)), tmp_path, SETTINGS)
    with pytest.raises(DataError, match=r"heldout_share must lie between 0 and 1, got 1.5"):
        TrainingSettings(heldout_share=1.5)
    with pytest.raises(DataError, match="post_epochs must be at least 1, got 0"):
        TrainingSettings(post_epochs=0)


def test_an_interrupted_training_is_resumed_with_its_own_data_and_settings_only(tmp_path):
    """The newest checkpoint is that of the highest number, not the last in the alphabet."""
    record = {"settings": {"seed": 0}, "data": "abc"}
    out = tmp_path / "pre"
    assert _begun_training(out, record) is None
    for step in (8, 16, 128):
        (out / f"checkpoint-{step}").mkdir()
        (out / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert _begun_training(out, record) == str(out / "checkpoint-128")
    for other in ({**record, "data": "abd"}, {**record, "settings": {"seed": 1}}):
        with pytest.raises(DataError, match=r"interrupted training of other data or settings \(checkpoint-128\)"):
            _begun_training(out, other)
    assert _begun_training(out, record) == str(out / "checkpoint-128")
    (out / "training-begun.json").unlink()
    with pytest.raises(DataError, match="interrupted training"):
        _begun_training(out, record)


@pytest.mark.parametrize("state", [None, "", '{"epoch": 1.'])
def test_a_checkpoint_that_was_not_written_to_its_end_is_not_resumed(tmp_path, state):
    """The trainer writes its own state last, so that is what a kill or a full disk leaves out."""
    record, out = {"settings": {"seed": 0}, "data": "abc"}, tmp_path / "pre"
    _begun_training(out, record)
    for step in (8, 16):
        (out / f"checkpoint-{step}").mkdir()
        (out / f"checkpoint-{step}" / "model.safetensors").write_text("")
    (out / "checkpoint-8" / "trainer_state.json").write_text("{}")
    if state is not None:
        (out / "checkpoint-16" / "trainer_state.json").write_text(state)
    assert _begun_training(out, record) == str(out / "checkpoint-8")
    assert not (out / "checkpoint-16").exists()
    (out / "checkpoint-8" / "trainer_state.json").unlink()
    assert _begun_training(out, record) is None


def test_a_checkpoint_of_other_data_is_not_resumed(taught_pairs, tmp_path):
    (tmp_path / "pre" / "checkpoint-4").mkdir(parents=True)
    with pytest.raises(DataError, match="holds an interrupted training of other data or settings"):
        train_pair(taught_pairs, tmp_path, SETTINGS)
    assert (tmp_path / "pre" / "checkpoint-4").is_dir()


def test_comparisons_that_cannot_be_trained_on_are_counted_and_refused_if_they_are_all(taught_pairs, minilm, capsys):
    texts = [(Exchange("Hi", [], "yes"), Exchange("Hi", [], "no " * n)) for n in (1, 20, 2)]
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    assert len(_trainable(texts, tokenizer, 12)) == 2
    assert (
        "1 of 3 comparisons are left out of training: a response alone fills the 12 tokens" in capsys.readouterr().err
    )
    with pytest.raises(DataError, match=r"none of 3 comparisons can be trained on.*give a higher max_length"):
        _trainable(texts, tokenizer, 3)
    with pytest.raises(DataError, match="learning_rate must lie between 0 and 1, got -1"):
        TrainingSettings(learning_rate=-1)


def test_a_card_names_a_backbone_and_not_its_folder(tmp_path):
    record = {"settings": {"backbone": "/home/somebody/models/encoder", "seed": 0}, "data": "d", "n_pairs": 3}
    train._write_card(tmp_path, record, {})
    card = (tmp_path / "README.md").read_text()
    assert "| backbone | encoder |" in card
    assert "somebody" not in card
