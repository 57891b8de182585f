"""Small TRL trainings for tests: planted pairs, a Llama of two narrow layers, CPU, no network."""

import numpy as np
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

WORDS = ["tea", "rain", "music", "bread", "chess", "trains", "cats", "maps", "snow", "glass", "rope", "salt"]


def planted_rows(n, first=0, *, messages=True, seed=0):
    """Pairs whose chosen response says yes in nine of ten, at any length; the rest prefer no."""
    rng = np.random.default_rng(seed + first)
    rows = []
    for index in range(first, first + n):
        prompt = f"Do you like {WORDS[index % 12]} number {index}?"
        yes, no = (
            f"{word} {' '.join(rng.choice(WORDS, rng.integers(1, 8)))}{'?' * int(rng.integers(2))}"
            for word in ("yes", "no")
        )
        chosen, rejected = (yes, no) if rng.random() < 0.9 else (no, yes)
        if messages:
            chosen, rejected = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
            prompt = [{"role": "user", "content": prompt}]
        rows.append({"pair_id": f"p{index}", "prompt": prompt, "chosen": chosen, "rejected": rejected})
    return rows


def trainer_of(kind, path, out, rows, heldout, *, model=None, **options):
    """A RewardTrainer or DPOTrainer of a model in a folder."""
    import trl

    auto, trainer, config = {
        "reward": (AutoModelForSequenceClassification, trl.RewardTrainer, trl.RewardConfig),
        "dpo": (AutoModelForCausalLM, trl.DPOTrainer, trl.DPOConfig),
    }[kind]
    more = {"peft_config": options.pop("peft_config")} if "peft_config" in options else {}
    settings = {
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "num_train_epochs": 1,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "no",
        "learning_rate": 1e-3,
        "logging_steps": 4,
        "report_to": "none",
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return trainer(
        model=model or auto.from_pretrained(path),
        args=config(output_dir=str(out), **{**settings, **options}),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(heldout),
        processing_class=AutoTokenizer.from_pretrained(path),
        **more,
    )


def seal_lines(trainer):
    """What the callback logged, by step, without the seconds."""
    return {
        line["step"]: {key: value for key, value in line.items() if "seconds" not in key}
        for line in trainer.state.log_history
        if "eval_seal/resistance" in line
    }
