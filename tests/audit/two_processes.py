"""A training on two processes, started by a test: the model's folder and the output folder are its arguments."""

import json
import sys
from pathlib import Path

from seal_datasets import SealCallback
from tests.audit.trainers import planted_rows, trainer_of

if __name__ == "__main__":
    model, out = sys.argv[1:]
    trainer = trainer_of(
        "reward", model, out, planted_rows(48), planted_rows(32, 100), eval_steps=3, ddp_backend="gloo"
    )
    trainer.add_callback(SealCallback(trainer, features=["surface_log_tokens"]))
    trainer.train()
    if trainer.accelerator.is_main_process:
        (Path(out) / "log.json").write_text(json.dumps(trainer.state.log_history))
