"""Speed of the estimators: ratios to other libraries in one run, and time and memory by number of rows.

    python benchmarks/estimators.py                       # all but the largest table, about five minutes
    python benchmarks/estimators.py compare               # against pyfixest, linearmodels, statsmodels and a pandas loop
    python benchmarks/estimators.py suite                 # every module of metrics/, with every form of input
    python benchmarks/estimators.py scale --pairs 10000 100000 1000000 10000000

Our figures are the fastest of several calls after a first one. Peers get the same arrays and one untimed call; by default
their second call is timed. BLAS runs on one thread unless OPENBLAS_NUM_THREADS is set.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

PAIRS, FEATURES = 160_800, 19
# Shares of texts with each feature: the fourteen published for hh-rlhf, then five in their range.
PREVALENCE = np.array(
    [
        0.782,
        0.942,
        0.963,
        0.873,
        0.324,
        0.212,
        0.048,
        0.042,
        0.041,
        0.013,
        0.007,
        0.006,
        0.004,
        0.003,
        0.9,
        0.1,
        0.05,
        0.02,
        0.01,
    ]
)
NAMES = [f"feature_{i}" for i in range(FEATURES)]


def draw(n: int, seed: int, first: int = 0) -> dict[str, Any]:
    """Pairs with correlated binary features of published prevalence, two models' rewards, and a prompt each."""
    rng = np.random.default_rng([seed, first])
    quality = rng.normal(size=(n, 1))
    cut = np.quantile(rng.normal(size=20_000) * np.sqrt(1.5), 1 - PREVALENCE)
    sides = {
        side: (np.sqrt(0.5) * quality + rng.normal(size=(n, FEATURES)) > cut).astype(np.int8)
        for side in ("chosen", "rejected")
    }
    beta = np.linspace(-1, 1, FEATURES)
    columns: dict[str, Any] = {"prompt_id": np.arange(first, first + n)}
    for model, weight in (("pre", 0.3), ("post", 1.0)):
        for side, values in sides.items():
            columns[f"{model}_{side}"] = weight * (values @ beta) + quality[:, 0] + rng.normal(size=n)
    for side, values in sides.items():
        for i, name in enumerate(NAMES):
            columns[f"{name}_{side}"] = values[:, i]
    return columns


def best(call: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Return the seconds of the fastest of several calls after a first one, and its result."""
    call()
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def show(title: str, rows: list[tuple[str, ...]], header: tuple[str, ...]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def compare() -> None:
    """Compare Eqs. (1) and (3) with common libraries and with a notebook's loop."""
    import pyfixest
    import statsmodels.api as sm
    from linearmodels.panel import PanelOLS

    from seal_datasets.estimate import feature_imprint, misalignment_drivers

    warnings.simplefilter("ignore")
    columns = draw(PAIRS, 0)
    chosen, rejected = (
        np.column_stack([columns[f"{name}_{side}"] for name in NAMES]) for side in ("chosen", "rejected")
    )
    features = np.concatenate([chosen, rejected]).astype(float)
    rewards = np.concatenate([columns["post_chosen"], columns["post_rejected"]])
    groups = np.tile(columns["prompt_id"], 2)
    frame = pd.DataFrame(features, columns=NAMES).assign(reward=rewards, prompt=groups)

    default, _ = best(lambda: feature_imprint(rewards, features, groups, NAMES))
    ours, fit = best(lambda: feature_imprint(rewards, features, groups, NAMES, errors="crv1"))
    formula = f"reward ~ {' + '.join(NAMES)} | prompt"
    rows = [
        ("seal_datasets `feature_imprint`, CR2 (default)", f"{default:.3f}", "1", f"{ours / default:.2f}", ""),
        ("seal_datasets `feature_imprint`, CRV1", f"{ours:.3f}", f"{default / ours:.2f}", "1", ""),
    ]

    def ratios(seconds: float) -> tuple[str, str, str]:
        return f"{seconds:.3f}", f"{seconds / default:.1f}", f"{seconds / ours:.1f}"

    mine = np.array([(row.coefficient, row.std_error) for row in fit.imprint])

    def feols() -> Any:  # noqa: ANN401 - pyfixest's result
        return pyfixest.feols(formula, data=frame, vcov={"CRV1": "prompt"})

    for title, repeats in (("second call", 1), ("fastest of five later ones", 5)):
        seconds, reference = best(feols, repeats)
        difference = np.abs(mine - np.column_stack([reference.coef(), reference.se()])).max()
        rows.append((f"pyfixest `feols`, CRV1, {title}", *ratios(seconds), f"{difference:.0e}"))

    panel = frame.assign(time=np.repeat([0, 1], PAIRS)).set_index(["prompt", "time"])
    seconds, reference = best(
        lambda: PanelOLS(panel["reward"], panel[NAMES], entity_effects=True).fit(
            cov_type="clustered", cluster_entity=True
        ),
        1,
    )
    difference = np.abs(mine[:, 0] - reference.params.to_numpy()).max()
    rows.append(
        (
            "linearmodels `PanelOLS`, clustered",
            *ratios(seconds),
            f"{difference:.0e} (coefficients)",
        )
    )
    seconds = _pandas_loop(frame, 2000) * PAIRS / 2000
    rows.append(("pandas loop over prompts (2,000 prompts, extrapolated)", *ratios(seconds), ""))
    show(
        f"Eq. (1), {PAIRS:,} pairs x {FEATURES} features, clustered errors",
        rows,
        ("", "seconds", "ratio to CR2", "ratio to CRV1", "largest difference"),
    )

    aligned = columns["post_chosen"] > columns["post_rejected"]
    prompts = columns["prompt_id"]
    ours, fit = best(lambda: misalignment_drivers(aligned, chosen, rejected, NAMES, groups=prompts), 3)
    design = sm.add_constant(np.hstack([chosen, rejected]).astype(float))
    options = {"disp": 0, "cov_type": "cluster", "cov_kwds": {"groups": prompts}}
    rows = [("seal_datasets `misalignment_drivers`, with marginal effects", f"{ours:.3f}", "1", "")]
    mine = np.array([(row.coefficient, row.std_error) for row in fit.drivers])
    for name, call in (
        ("statsmodels `Logit`, clustered", lambda: sm.Logit(aligned.astype(float), design).fit(tol=1e-12, **options)),
        (
            "statsmodels `GLM` binomial, clustered",
            lambda: sm.GLM(aligned.astype(float), design, family=sm.families.Binomial()).fit(**options),
        ),
    ):
        seconds, reference = best(call, 1)
        difference = np.abs(mine - np.column_stack([reference.params, reference.bse])[1:]).max()
        rows.append((name, f"{seconds:.3f}", f"{seconds / ours:.1f}", f"{difference:.0e}"))
    show(
        f"Eq. (3), {PAIRS:,} pairs x {2 * FEATURES} features, clustered errors",
        rows,
        ("", "seconds", "ratio", "largest difference"),
    )


def _pandas_loop(frame: pd.DataFrame, n: int) -> float:
    """Time a notebook's loop that subtracts the means of n prompts one by one and sums products."""
    start = time.perf_counter()
    gram = np.zeros((FEATURES + 1, FEATURES + 1))
    for _, group in frame[frame["prompt"] < n].groupby("prompt"):
        values = group[[*NAMES, "reward"]]
        within = (values - values.mean()).to_numpy()
        gram += within.T @ within
    np.linalg.solve(gram[:-1, :-1], gram[:-1, -1])
    return time.perf_counter() - start


def suite() -> None:
    """Time every evaluate module on a table of pairs, with every form of input."""
    import evaluate
    from datasets import Dataset

    from seal_datasets import metric_path
    from seal_datasets.evaluate_modules.paths import METRICS

    columns = _chosen_by_reward(draw(PAIRS, 0))
    columns["aligned"] = columns["post_chosen"] > columns["post_rejected"]
    columns["after"] = columns["aligned"] & (columns["feature_5_chosen"] == 1)
    columns["flips_chosen"], columns["flips_rejected"] = (
        (columns[f"feature_4_{side}"] - columns[f"feature_5_{side}"]) for side in ("chosen", "rejected")
    )
    columns["again"] = columns["feature_1_chosen"] ^ (np.random.default_rng(0).random(PAIRS) < 0.1)
    dataset = Dataset.from_dict(columns)
    sides = {f"{side}_features": [f"{name}_{side}" for name in NAMES] for side in ("chosen", "rejected")}
    pre = {f"pre_{side}_rewards": f"pre_{side}" for side in ("chosen", "rejected")}
    post = {f"{side}_rewards": f"post_{side}" for side in ("chosen", "rejected")}
    inputs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "alignment_resistance": (pre | post, {}),
        "reward_shift": (pre | post, {}),
        "reward_calibration": (post | {"groups": "prompt_id"}, {}),
        "amplification": (post | sides | {"groups": "prompt_id"}, {"feature_names": NAMES}),
        "feature_imprint": (
            {"rewards": "post_{side}", "features": [f"{name}_{{side}}" for name in NAMES], "groups": "prompt_id"},
            {"feature_names": NAMES},
        ),
        "misalignment_drivers": ({"aligned": "aligned", **sides, "groups": "prompt_id"}, {"feature_names": NAMES}),
        "alignment_robustness": (
            {
                "aligned": "aligned",
                "rewritten_aligned": "after",
                "chosen_flips": ["flips_chosen"],
                "rejected_flips": ["flips_rejected"],
                "groups": "prompt_id",
            },
            {"feature_names": ["flip"]},
        ),
        "labeler_agreement": (
            {f"{side}_labels": [f"{name}_{side}" for name in NAMES[:2]] for side in ("chosen", "rejected")}
            | {"aligned": "aligned"},
            {"target_names": NAMES[:2]},
        ),
        "labeler_stability": ({"labels": ["feature_1_chosen", "again"]}, {"labeler_names": ["first", "second"]}),
        "spoiler_balance": ({**sides, "groups": "prompt_id"}, {"feature_names": NAMES, "targets": NAMES[:2]}),
    }
    rows = []
    for name in METRICS:
        mapping, options = inputs[name]
        metric = evaluate.load(metric_path(name))
        seconds, expected = {}, None
        for way, call in _ways_in(metric, dataset, mapping, options).items():
            seconds[way], result = best(call, 2)
            expected = expected or result
            assert result == expected, f"{name} by {way} differs"
        rows.append((name, *(f"{taken:.2f}" for taken in seconds.values())))
    show(f"Every module by every way in, {PAIRS:,} pairs, seconds", rows, ("", *seconds))


def _chosen_by_reward(columns: dict[str, Any]) -> dict[str, Any]:
    """Turn pairs round at random, so that the model's margins predict which response was chosen."""
    margin = columns["post_chosen"] - columns["post_rejected"]
    swap = np.random.default_rng(1).random(len(margin)) > 1 / (1 + np.exp(-0.5 * margin))
    turned = dict(columns)
    for name in columns:
        if name.endswith("_chosen"):
            other = name.removesuffix("chosen") + "rejected"
            turned[name] = np.where(swap, columns[other], columns[name])
            turned[other] = np.where(swap, columns[name], columns[other])
    return turned


def _ways_in(metric: Any, dataset: Any, mapping: Any, options: dict[str, Any]) -> dict[str, Callable[[], Any]]:  # noqa: ANN401
    """Every documented form of the same inputs of a module."""
    from datasets import Dataset

    from seal_datasets.evaluate_modules.table_input import _from_table

    signature = inspect.signature(metric._compute)
    arrays = {
        name: np.asarray(values) for name, values in _from_table(dataset, mapping, signature, set(options)).items()
    }
    lists = {name: values.tolist() for name, values in arrays.items()}
    table = Dataset.from_dict(lists)
    frame = table.to_pandas()
    features = set(metric.features)

    def batches() -> Any:  # noqa: ANN401 - as evaluate
        rest = {name: values for name, values in arrays.items() if name not in features}
        for first in range(0, len(arrays[next(iter(features))]), 10_000):
            metric.add_batch(**{name: arrays[name][first : first + 10_000] for name in features})
        return metric.compute(**rest, **options)

    return {
        "`dataset=` with columns": lambda: metric.compute(dataset=dataset, columns=mapping, **options),
        "`dataset=` a Dataset": lambda: metric.compute(dataset=table, **options),
        "`dataset=` a DataFrame": lambda: metric.compute(dataset=frame, **options),
        "NumPy": lambda: metric.compute(**arrays, **options),
        "lists": lambda: metric.compute(**lists, **options),
        "Series": lambda: metric.compute(**{name: frame[name] for name in arrays}, **options),
        "lazy columns": lambda: metric.compute(**{name: table[name] for name in arrays}, **options),
        "`add_batch`": batches,
    }


def scale(sizes: list[int]) -> None:
    """Time and peak memory of Eq. (1) for two models and their change, resistance and shift, from parquet."""
    rows, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            path = Path(folder) / "pairs.parquet"
            _write(path, n)
            command = [sys.executable, __file__, "stream", "--path", str(path), "--errors"]
            crv1, cr2 = (
                json.loads(subprocess.run([*command, errors], check=True, capture_output=True, text=True).stdout)
                for errors in ("crv1", "cr2")
            )
            seconds.append(cr2["seconds"])
            ratio = cr2["imprint_seconds"] / crv1["imprint_seconds"]
            rows.append(
                (f"{n:,}", f"{cr2['seconds']:.2f}", f"{ratio:.2f}", f"{cr2['start_mb']:.0f}", f"{cr2['peak_mb']:.0f}")
            )
    show(
        "Streamed from parquet: imprints of two models and of their change, resistance, reward shift",
        rows,
        ("pairs", "seconds", "CPU time of imprints, CR2 over CRV1", "MB after import", "MB at peak"),
    )
    if len(sizes) > 2:
        slope = np.polyfit(np.log(sizes[1:]), np.log(seconds[1:]), 1)[0]
        print(f"\nSlope of log time on log rows from {sizes[1]:,} pairs on: {slope:.2f}")


def _write(path: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for first in range(0, n, 250_000):
        table = pa.table(draw(min(250_000, n - first), 1, first))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def stream(path: Path, errors: str) -> None:
    """Measure one size in a separate process, which has its own peak of memory."""
    import pyarrow.parquet as pq

    from seal_datasets.estimate import alignment_resistance, reward_shift, streamed_imprint
    from seal_datasets.report.prompt_parts import PromptParts

    before, busy = _peak(), time.process_time()
    start = time.perf_counter()
    names = [f"{name}_{{side}}" for name in NAMES]
    with PromptParts(path, ["pre_{side}", "post_{side}"], names, progress=False) as parts:
        streamed_imprint(parts, ["pre", "post"], NAMES, errors=errors)
    imprint_seconds = time.process_time() - busy
    columns = [f"{model}_{side}" for model in ("pre", "post") for side in ("chosen", "rejected")]
    rewards = {name: pq.read_table(path, columns=[name]).column(0).to_numpy() for name in columns}
    alignment_resistance(rewards["post_chosen"], rewards["post_rejected"])
    reward_shift(*rewards.values())
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "imprint_seconds": imprint_seconds, "start_mb": before, "peak_mb": _peak()}))


def _peak() -> float:
    """Peak memory in MB, from Linux; the value of getrusage starts at the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmHWM in /proc/self/status")


def main() -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["all", "compare", "suite", "scale", "stream"], default="all")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--errors", default="cr2", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what == "stream":
        stream(given.path, given.errors)
        return
    names = ("numpy", "scipy", "pandas", "pyfixest", "linearmodels", "statsmodels", "evaluate", "datasets")
    print(", ".join(f"{name} {version(name)}" for name in names), f"Python {sys.version.split()[0]}", sep="; ")
    print(f"{os.cpu_count()} CPU cores, OPENBLAS_NUM_THREADS={os.environ['OPENBLAS_NUM_THREADS']}")
    for name, call in (("compare", compare), ("suite", suite), ("scale", lambda: scale(given.pairs))):
        if given.what in ("all", name):
            call()


if __name__ == "__main__":
    main()
