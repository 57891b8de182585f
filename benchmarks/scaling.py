"""Cost of scoring a preference dataset: tokens, FLOPs, hours and dollars for 160,800, ten million and a billion pairs.

    python -m benchmarks.scaling --tokens-per-second 3000       # the table of docs/benchmarks.md, with your CPU's throughput

An estimate. Tokens of a pair are those of 1,500 real pairs of hh-rlhf. A forward pass takes 2 FLOPs for each token and each
weight outside the embeddings, and 4 L d T for attention (L layers of width d, texts of T tokens). Throughput is the FLOPs
divided by what the device computes per second. You give the CPU's throughput. The GPU's is an assumed share of its data
sheet's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

PAIRS = (160_800, 10**7, 10**9)
TOKENS_PER_PAIR = 312.4
PACKED_TOKENS_PER_PAIR = 202.2  # the shared prompt once: causal models
H100_BF16_FLOPS = 989e12
ASSUMED_SHARE = 0.45
GPU_DOLLARS_PER_HOUR = 3.0
CPU_DOLLARS_PER_HOUR = 0.10


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size: weights outside the embeddings, layers, width, and whether prompts are computed once."""

    name: str
    weights: float
    layers: int
    width: int
    packed: bool

    def flops_of_pair(self) -> float:
        """FLOPs of both texts of a pair."""
        tokens = PACKED_TOKENS_PER_PAIR if self.packed else TOKENS_PER_PAIR
        return tokens * (2.0 * self.weights + 4.0 * self.layers * self.width * TOKENS_PER_PAIR / 2.0)


SHAPES = (
    Shape("MiniLM-L6 (10.6 M)", 10.6e6, 6, 384, packed=False),
    Shape("DeBERTa-v3-large shape (303 M)", 303e6, 24, 1024, packed=False),
    Shape("Llama shape, 1 B", 0.97e9, 16, 2048, packed=True),
    Shape("Llama shape, 8 B", 6.98e9, 32, 4096, packed=True),
)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100.0 else f"{number:.2g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tokens-per-second", type=float, required=True, help="of MiniLM on your CPU, see benchmarks/scoring.py"
    )
    parser.add_argument("--gpus", type=int, default=8)
    options = parser.parse_args()
    sys.stdout.write("| model | pairs | tokens | FLOPs | device | hours | dollars |\n|---|---|---|---|---|---|---|\n")
    for shape in SHAPES:
        for n_pairs in PAIRS:
            flops = n_pairs * shape.flops_of_pair()
            tokens = n_pairs * (PACKED_TOKENS_PER_PAIR if shape.packed else TOKENS_PER_PAIR)
            if shape is SHAPES[0]:
                hours, device = tokens / options.tokens_per_second / 3600.0, "2 CPU cores"
                dollars = hours * CPU_DOLLARS_PER_HOUR
            else:
                gpu_hours = flops / (H100_BF16_FLOPS * ASSUMED_SHARE) / 3600.0
                hours, device = gpu_hours / options.gpus, f"{options.gpus} H100, assumed"
                dollars = gpu_hours * GPU_DOLLARS_PER_HOUR
            row = (shape.name, f"{n_pairs:,}", f"{tokens:.1e}", f"{flops:.1e}", device, _short(hours), _short(dollars))
            sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
