"""Size and speed of a report's page: making it, and using it in Chromium.

python -m benchmarks.page --pairs 160800     # docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset

from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import features_of
from seal_datasets.report.page.pair_columns import used_pairs
from seal_datasets.report.page.write import render_page

STATES = (
    "aligned=no",
    "regime=became_aligned",
    "aligned=no&more_rejected=surface_log_tokens",
    "order=close",
    "q=word7",
)
WATCH = """
const start = performance.now(), done = arguments[1];
const drawn = () => setTimeout(() => done(performance.now() - start), 0);
addEventListener('hashchange', () => requestAnimationFrame(drawn), {once: true});
location.hash = arguments[0];
"""


def invented_pairs(n: int) -> Dataset:
    """Pairs of invented words, with rewards of two models."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    sizes = rng.integers(8, 60, (2, n))
    rows = {"prompt": [f"Question {i // 2}?" for i in range(n)]}
    for side, name in enumerate(("chosen", "rejected")):
        rows[name] = [" ".join(words[rng.integers(0, 500, size)]) for size in sizes[side]]
        for k, model in enumerate(("before", "after")):
            rows[f"{model}_{name}"] = rng.normal(size=n) + 0.02 * k * sizes[side] + 0.3 * (side == 0)
    return Dataset.from_dict(rows)


def use(page: Path) -> dict[str, float]:
    """Milliseconds of first paint and of each state, to the next frame."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options) as browser:
        start = time.perf_counter()
        browser.get(page.as_uri())
        while not browser.find_element("id", "check").text:
            time.sleep(0.02)
        found = {"ready": 1000 * (time.perf_counter() - start)}
        paints = browser.execute_script("return performance.getEntriesByType('paint').map((each) => each.startTime)")
        found["first paint"] = min(paints, default=float("nan"))
        return found | {state: browser.execute_async_script(WATCH, f"#{state}") for state in STATES}


def main() -> None:
    """Print each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=160_800)
    n = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "audit"
        models = {name: (f"{name}_chosen", f"{name}_rejected") for name in ("before", "after")}
        audit_own_rewards(invented_pairs(n), folder, models)
        start = time.perf_counter()
        report = json.loads((folder / "report.json").read_text("utf-8"))
        path, features = folder / "pairs.parquet", features_of(report["run"])
        page = render_page(report, used_pairs(path, features, models_of(report["run"])), path, features)
        seconds = time.perf_counter() - start
        (folder / "report.html").write_text(page, "utf-8")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        sys.stdout.write(f"made in {seconds:.1f} s, {len(page) / 1e6:.1f} MB, peak of audit and page {peak:.1f} GB\n")
        for name, milliseconds in use(folder / "report.html").items():
            sys.stdout.write(f"{name}: {milliseconds:.0f} ms\n")


if __name__ == "__main__":
    main()
