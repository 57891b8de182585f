"""Coverage of corrected estimates on planted truth: differential errors of labels, unequal probabilities of gold labels.

    python -m benchmarks.corrected --share 0.02 --draws 500     # a part of docs/validation.md

A world has 50,000 pairs (100,000 texts) of two features. About 18 % of the labels are wrong, and more often the higher a
response's reward is. Prompts get gold labels with probabilities between 0.4 and 1.6 times the share. The truth is that of two
million pairs with their true features.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict

import numpy as np

from tests.estimate.gold_world import corrected, make_world, naive


def main() -> None:
    """Print a row for each estimate: coverage of corrected and of naive intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=50_000)
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    population = make_world(rng, 2_000_000, 0.02)
    truth = {name: value for name, (value, _) in naive(population, population.truth).items()}
    covered: dict[str, list[bool]] = defaultdict(list)
    missed: dict[str, list[bool]] = defaultdict(list)
    withheld: dict[str, int] = defaultdict(int)
    wrong = []
    for _ in range(options.draws):
        world = make_world(rng, options.pairs, options.share)
        wrong.append(world.wrong)
        for name, (_, (low, high)) in naive(world, world.labels).items():
            missed[name].append(low <= truth[name] <= high)
        for name, (status, (low, high)) in corrected(world).items():
            if status == "ok":
                covered[name].append(low <= truth[name] <= high)
            else:
                withheld[name] += 1
    sys.stdout.write(f"{options.draws} draws of {options.pairs:,} pairs, {np.mean(wrong):.1%} wrong labels\n")
    for name in truth:
        rate, n = float(np.mean(covered[name])), len(covered[name])
        error = math.sqrt(rate * (1 - rate) / n)
        sys.stdout.write(
            f"| {name} | {options.share:.0%} | {100 * rate:.1f} % ± {100 * error:.1f} | {100 * np.mean(missed[name]):.1f} % | "
            f"{withheld[name]} |\n"
        )


if __name__ == "__main__":
    main()
