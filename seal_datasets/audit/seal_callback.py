"""A callback that audits a reward model or a DPO policy at every evaluation of its training, in the trainer's own log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import TrainerCallback

from seal_datasets import schema
from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.trainer_pairs import SURFACE, DrawnPairs, read_pairs, take_pairs
from seal_datasets.audit.training_quantities import Scores, training_quantities
from seal_datasets.errors import DataError, import_extra
from seal_datasets.rewards.encoding import Encoded, Encoder
from seal_datasets.rewards.implicit import ContinuationEncoder
from seal_datasets.rewards.in_training import (
    ClassifierInTraining,
    LikelihoodInTraining,
    ModelInTraining,
    continuation,
    evaluating,
    whole_text,
)
from seal_datasets.rewards.score_store import ScoreStore

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

PREFIX = "eval_seal/"
"""Begins every key in the log; trackers show `eval/seal/...`."""

# Trainers leave folders that begin with an underscore out of what they push to the Hub.
_STORE = "_seal"


class SealCallback(TrainerCallback):  # type: ignore[misc]
    """Measures at every evaluation what a model in training has learned, and adds it to the trainer's log.

    Held-out pairs are the trainer's `eval_dataset`, seen pairs its `train_dataset`, both scored on the trainer's own tokens
    and in its precision, with dropout off. The keys, each with `_low` and `_high` for its 95 % interval:

    - `eval_seal/resistance` on held-out pairs, `eval_seal/resistance_seen`, and `eval_seal/memorisation_gap`, seen less
      held-out: below 0 where the model does better on what it has seen;
    - `eval_seal/imprint/<feature>`: on held-out pairs, in standard deviations of the rewards within prompts;
    - `eval_seal/amplification/<feature>`: log-odds given beyond what people asked for, on held-out pairs;
    - `eval_seal/n_pairs`, `eval_seal/n_pairs_seen`, `eval_seal/n_scored` (texts scored now) and `eval_seal/seconds`.

    A number that is not defined is left out, and the reason is said once. `metric_for_best_model` may name a key.

    Args:
        trainer (`RewardTrainer` or `DPOTrainer`): The trainer; of DPO the implicit reward is scored.
        features (`Sequence[str]`, *optional*): Names of surface features, or of columns `feature_<name>_<side>` of the
            trainer's datasets; all surface features when omitted. Their imprints are estimated together.
        max_pairs (`int`, defaults to 256): Most held-out pairs, and most seen ones, that are drawn by prompt. An evaluation
            scores at most four texts for each.
        seed (`int`, defaults to 0): Seed of the draw.

    Held-out pairs with a prompt that is trained on are left out. Rewards are kept in `_seal` of the trainer's output folder
    by the model's weights: a resumed training draws the same pairs and scores nothing twice. With several processes each
    scores its share, all have the numbers and the main one logs them; each needs the whole model.

    Raises:
        DataError: The trainer is of another kind, has no table to evaluate on, or splits its model over processes; or there is
            no such feature, or no held-out pair.

    Example:

    ```python
    >>> trainer.add_callback(SealCallback(trainer))     # doctest: +SKIP
    >>> trainer.train()                                 # doctest: +SKIP
    ```
    """

    def __init__(
        self, trainer: Trainer, *, features: Sequence[str] | None = None, max_pairs: int = 256, seed: int = 0
    ) -> None:
        if max_pairs < 1:
            raise DataError(f"max_pairs must be at least 1, got {max_pairs}")
        self.trainer, self.kind = trainer, _kind_of(trainer)
        names = list(SURFACE) if features is None else list(features)
        eos_token = getattr(trainer.processing_class, "eos_token", None)
        heldout = read_pairs(trainer.eval_dataset, self.kind, eos_token)
        seen, trained_on = None, frozenset[str]()
        if isinstance(trainer.train_dataset, Dataset):
            seen = read_pairs(trainer.train_dataset, self.kind, eos_token)
            trained_on = frozenset(seen.prompt_ids.tolist()) - {None}
        known = heldout.among(trained_on)
        if not (heldout.usable & ~known).any():
            raise DataError(
                f"none of the {len(known):,} pairs of eval_dataset is held out: {int(known.sum()):,} have a prompt that is in "
                "train_dataset, the others cannot be used; split by prompt"
            )
        drawn = heldout.draw(max_pairs, seed, trained_on)
        self.parts = {"heldout": take_pairs(heldout, drawn, self.kind, names)}
        if seen is not None and seen.usable.any():
            self.parts["seen"] = take_pairs(seen, seen.draw(max_pairs, seed), self.kind, names)
        self._said: set[str] = set()
        self._announce(int(known.sum()), len(known))

    def _announce(self, n_known: int, n_heldout: int) -> None:
        """Say what an evaluation costs, and what is unlike an audit."""
        n_texts = 2 * sum(map(len, self.parts.values()))
        drawn = " and ".join(f"{len(part):,} {name}" for name, part in self.parts.items())
        once = ", and once under the reference" if self.kind == "dpo" else ""
        self._say(f"SEAL scores {drawn} pairs at each evaluation, at most {n_texts:,} texts{once}")
        if n_known:
            self._say(
                f"{n_known:,} of the {n_heldout:,} pairs of eval_dataset have a prompt that is trained on: left out"
            )
        if "seen" not in self.parts:
            self._say(
                "train_dataset is no table of pairs, so there is no memorisation gap, and no check of its prompts"
            )
        if not _tokens_are_those_of_an_audit(self.parts["heldout"], self.kind, self.trainer.processing_class):
            self._say(
                "seal audit shows its models other tokens than this trainer, so that its numbers will differ from these; they "
                "agree where the data are messages and the tokenizer has a chat template"
            )

    def _say(self, text: str) -> None:
        if self.trainer.accelerator.is_main_process and text not in self._said:
            print_progress(text)
        self._said.add(text)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,  # noqa: ARG002 - the trainer passes it by position
        control: TrainerControl,  # noqa: ARG002
        metrics: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Score the drawn pairs, log what they show, and add it to the evaluation's metrics."""
        start = time.perf_counter()
        folder = Path(args.output_dir) / _STORE
        with ScoreStore(folder, writer=self.trainer.accelerator.process_index) as store:
            scores, n_scored = self._score(store)
        values, reasons = training_quantities(scores)
        for reason in reasons:
            self._say(reason)
        values |= {"n_scored": float(n_scored), "seconds": time.perf_counter() - start}
        found = {f"{PREFIX}{name}": value for name, value in values.items()}
        self.trainer.log(dict(found))
        if metrics is not None:
            metrics |= found

    def _score(self, store: ScoreStore) -> tuple[dict[str, Scores], int]:
        """Rewards of the drawn pairs under the present weights, and how many texts were scored for them."""
        trainer = self.trainer
        texts = {
            name: (self._encoded(part, "chosen"), self._encoded(part, "rejected")) for name, part in self.parts.items()
        }
        everything = [text for sides in texts.values() for side in sides for text in side]
        batch = 2 * trainer.args.per_device_eval_batch_size * max(text.n_tokens for text in everything)
        options: dict[str, Any] = {"tokens_per_batch": batch, "precision": str(trainer.accelerator.mixed_precision)}
        with evaluating(*_models(trainer)):
            if self.kind == "reward":
                model = ClassifierInTraining(trainer.model, within=trainer.accelerator.autocast, **options)
                rewards, n_scored = self._rewards(model, everything, store)
                return {name: _scores(self.parts[name], sides, rewards) for name, sides in texts.items()}, n_scored
            policy = LikelihoodInTraining(trainer.model, within=trainer.accelerator.autocast, **options)
            rewards, n_scored = self._rewards(policy, everything, store)
            before: dict[bytes, float] = {}
            if any(part.reference is None for part in self.parts.values()):
                reference = _reference(trainer, options)
                before, n_more = self._rewards(reference, everything, store)
                n_scored += n_more
            beta = float(trainer.beta)
            return {
                name: _scores(self.parts[name], sides, rewards, before, beta) for name, sides in texts.items()
            }, n_scored

    def _rewards(
        self, model: ModelInTraining, texts: list[Encoded], store: ScoreStore
    ) -> tuple[dict[bytes, float], int]:
        """The rewards by key; each process scores its share of the texts."""
        accelerator = self.trainer.accelerator
        distinct = list({text.key: text for text in texts if text.inputs}.values())
        mine = distinct[accelerator.process_index :: accelerator.num_processes]
        n_known = len(store.get(model.identity_key(), [text.key for text in mine]))
        rewards = model.reward_by_key(mine, store=store)
        shares = [(rewards, len(mine) - n_known)]
        if accelerator.num_processes > 1:
            shares = gather_object(shares)
        return {key: reward for share, _ in shares for key, reward in share.items()}, sum(n for _, n in shares)

    def _encoded(self, part: DrawnPairs, side: schema.Side) -> list[Encoded]:
        """The texts of one side, in the trainer's tokens."""
        responses = part.tokens[f"{side}_ids"]
        if self.kind == "reward":
            return [whole_text(ids) for ids in responses]
        args = self.trainer.args
        return [
            continuation(prompt, response, args.max_length, keep_end=args.truncation_mode == "keep_end")
            for prompt, response in zip(part.tokens["prompt_ids"], responses, strict=True)
        ]


def _kind_of(trainer: Trainer) -> str:
    """Which trainer it is, and whether its pairs and its model can be scored."""
    trl = import_extra("trl", purpose="watch a TRL training")
    kind = (
        "reward" if isinstance(trainer, trl.RewardTrainer) else "dpo" if isinstance(trainer, trl.DPOTrainer) else None
    )
    if kind is None:
        raise DataError(f"SealCallback takes a RewardTrainer or a DPOTrainer, got a {type(trainer).__name__}")
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    if trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3):
        raise DataError(
            "FSDP and DeepSpeed ZeRO-3 split the model over processes, and SealCallback needs all of it in each; run "
            "seal audit on the checkpoints"
        )
    if not isinstance(trainer.eval_dataset, Dataset):
        kind_of_data = type(trainer.eval_dataset).__name__
        raise DataError(
            f"SealCallback needs one table of held-out pairs as the trainer's eval_dataset, got {kind_of_data}"
        )
    return kind


def _models(trainer: Trainer) -> list[Any]:
    reference = getattr(trainer, "ref_model", None)
    return [trainer.model] if reference is None else [trainer.model, reference]


def _reference(trainer: Trainer, options: dict[str, Any]) -> LikelihoodInTraining:
    """The reference of a DPO training; where an adapter is trained, the base without it."""
    if trainer.ref_model is not None:
        return LikelihoodInTraining(trainer.ref_model, within=trainer.accelerator.autocast, **options)
    from trl.trainer.utils import use_adapter

    model = trainer.accelerator.unwrap_model(trainer.model)
    adapter = "ref" if "ref" in model.peft_config else None

    @contextmanager
    def without_adapter() -> Iterator[None]:
        with trainer.accelerator.autocast(), use_adapter(model, adapter_name=adapter):
            yield

    return LikelihoodInTraining(model, within=without_adapter, frozen_only=True, **options)


def _scores(
    part: DrawnPairs,
    texts: tuple[list[Encoded], list[Encoded]],
    rewards: dict[bytes, float],
    before: dict[bytes, float] | None = None,
    beta: float = 1.0,
) -> Scores:
    """Rewards of both sides, nan where a text has none; of DPO the scaled ratio to the reference."""
    found = np.column_stack([[rewards.get(text.key, math.nan) for text in side] for side in texts])
    if before is not None:
        known = [[before.get(text.key, math.nan) for text in side] for side in texts]
        found = beta * (found - (np.column_stack(known) if part.reference is None else part.reference))
    return Scores(found[:, 0], found[:, 1], part.prompts, part.features)


def _tokens_are_those_of_an_audit(part: DrawnPairs, kind: str, tokenizer: Any) -> bool:  # noqa: ANN401 - untyped
    """Whether the package encodes a few of the texts as the trainer has."""
    encoder = (Encoder if kind == "reward" else ContinuationEncoder)(tokenizer, 10**9, "skip")
    for row, sides in enumerate(part.exchanges):
        for side, text in zip(schema.SIDES, encoder.encode(sides), strict=True):
            prompt = part.tokens["prompt_ids"][row] if kind == "dpo" else []
            if list(text.inputs.get("input_ids", ())) != [*prompt, *part.tokens[f"{side}_ids"][row]]:
                return False
    return True
