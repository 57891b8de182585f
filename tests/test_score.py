import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, IterableDataset

from seal_datasets import schema
from seal_datasets.errors import DataError
from seal_datasets.load import load_pairs
from seal_datasets.rewards import Exchange, RewardModel
from seal_datasets.score import add_rewards, reward_columns

ROOT = Path(__file__).parents[1]
# Another batch composition pads differently and sums float32 in another order.
PADDING_JITTER = 1e-5


def test_every_row_ends_with_a_reward_or_a_reason(tiny_pairs, reward_models):
    scored = add_rewards(tiny_pairs, {"post": RewardModel(reward_models["post"])})
    assert scored.column_names[: len(tiny_pairs.column_names)] == tiny_pairs.column_names
    assert scored[schema.PAIR_ID][:] == tiny_pairs[schema.PAIR_ID][:]
    assert scored["reward_status_post_rejected"][:] == ["ok", "ok", "ok", "no_text"]
    assert scored["reward_post_rejected"][3] is None
    assert scored["reward_tokens_post_rejected"][3] is None
    assert scored.features["reward_post_chosen"].dtype == "float32"
    expected = RewardModel(reward_models["post"]).score([Exchange("Say hello.", [], "Hello! How are you?")])[0].reward
    assert scored["reward_post_chosen"][2] == pytest.approx(expected, abs=PADDING_JITTER)


def test_a_pair_whose_prompts_differ_is_scored_each_under_its_own(reward_models):
    rows = {"chosen": ["\n\nHuman: a\n\nAssistant: one"], "rejected": ["\n\nHuman: b\n\nAssistant: two"]}
    pairs, diagnosis = load_pairs(Dataset.from_dict(rows))
    assert list(diagnosis.problems) == ["prompts_differ"]
    model = RewardModel(reward_models["post"])
    scored = add_rewards(pairs, {"post": model})
    expected = model.score([Exchange("\n\nHuman: b", [], " two")])[0].reward
    assert scored["reward_post_rejected"][0] == pytest.approx(expected, abs=PADDING_JITTER)


def test_scoring_again_replaces_the_columns(tiny_pairs, reward_models):
    first = add_rewards(tiny_pairs, {"rm": RewardModel(reward_models["pre"])})
    again = add_rewards(first, {"rm": RewardModel(reward_models["post"])})
    assert again.column_names == first.column_names
    assert again["reward_rm_chosen"][:] != first["reward_rm_chosen"][:]


def test_a_cached_table_is_not_mistaken_for_another_models(tiny_pairs, reward_models, tmp_path):
    tiny_pairs.save_to_disk(tmp_path / "pairs")
    pairs = Dataset.load_from_disk(tmp_path / "pairs")
    rewards = {
        name: add_rewards(pairs, {"rm": RewardModel(reward_models[name])})["reward_rm_chosen"][:]
        for name in ("pre", "post", "pre")
    }
    assert rewards["pre"] != rewards["post"]


def test_a_stream_is_scored_as_it_flows(tiny_pairs, reward_models):
    model = RewardModel(reward_models["post"])
    stream = add_rewards(tiny_pairs.to_iterable_dataset(), {"post": model}, window=2)
    assert isinstance(stream, IterableDataset)
    flowed = [row["reward_post_chosen"] for row in stream]
    assert flowed == pytest.approx(
        add_rewards(tiny_pairs, {"post": model})["reward_post_chosen"][:], abs=PADDING_JITTER
    )


def test_a_name_that_cannot_be_a_column_is_refused(tiny_pairs, reward_models):
    with pytest.raises(DataError, match="letters, digits"):
        add_rewards(tiny_pairs, {"my model": RewardModel(reward_models["pre"])})


@pytest.mark.slow
def test_two_processes_give_the_same_table_as_one(tmp_path, reward_models):
    data = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": "yes " * (n + 1), "rejected": f"no {n}"} for n in range(7)]
    data.write_text("\n".join(map(json.dumps, rows)))
    tables = []
    for processes in (1, 2):
        out = tmp_path / f"scored{processes}.parquet"
        command = [
            sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes),
            "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
            str(ROOT / "scripts" / "score.py"), str(data), "--model", f"rm={reward_models['post']}", "--out", str(out),
        ]  # fmt: skip
        environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
        assert finished.returncode == 0, finished.stderr[-2000:]
        tables.append(Dataset.from_parquet(str(out), cache_dir=str(tmp_path / f"cache{processes}")))
    one, two = tables
    assert one.column_names == two.column_names
    assert one[schema.PAIR_ID][:] == two[schema.PAIR_ID][:]
    for column in reward_columns("rm"):
        assert two[column][:] == (
            pytest.approx(one[column][:], abs=PADDING_JITTER) if "status" not in column else one[column][:]
        )
