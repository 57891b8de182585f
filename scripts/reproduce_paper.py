"""The paper's pipeline: recipes/paper.yaml, run whole or step by step with the verbs of `seal`.

python scripts/reproduce_paper.py --dry-run          # what is pinned, and the plan with its cost; runs nothing
python scripts/reproduce_paper.py                    # all steps; run it again to resume
python scripts/reproduce_paper.py labels             # one step: labels, rewards, rewrites or report
python scripts/reproduce_paper.py --sample           # the same steps on embedded parts: offline, about a minute

Each step keeps what it gets in the stores of the audit's folder, where the last step, `seal audit`, finds it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from seal_datasets.atomic import write_text
from seal_datasets.cli import main as seal
from seal_datasets.data.demo import demo_path

RECIPE = Path(__file__).parents[1] / "recipes" / "paper.yaml"

_REQUESTS = (
    "concurrency",
    "timeout",
    "max_answer_tokens",
    "request",
    "served_model",
    "max_failure_rate",
    "budget",
    "prices",
)
_REWRITES = ("presets", "rewriter", "rewriter_model", "rewrite_temperature", "whole_dialogue", "min_similarity")
STEPS = {
    "labels": (
        "featurize",
        ("data", "split", "seed", "labeler", "labeler_model", "taxonomy", "features", "batch", *_REQUESTS),
    ),
    "rewards": ("score", ("data", "split", "model", "revision", "allow_pickle", "over_length")),
    "rewrites": ("rewrite", ("data", "split", "seed", "similarity_model", *_REWRITES, *_REQUESTS)),
    "report": ("audit", ()),
}
"""Verb of each step, and the keys of the recipe that it takes; an audit takes all."""

_STORES = {"labels": "labels.sqlite", "rewards": "rewards", "rewrites": "labels.sqlite"}
_COMMIT = re.compile(r"@[0-9a-f]{40}$")
_SAMPLE_ROWS = 10  # the fewest that a pair of models is trained on
_SAMPLE: dict[str, Any] = {
    "split": None,
    "revision": [],
    "labeler": "local",
    "labeler_model": None,
    "features": "last_response_is_harmless,last_response_is_helpful",
    "batch": False,
    "rewrite_share": 0.1,
    "rewriter": "local",
    "rewriter_model": None,
    "whole_dialogue": False,  # the embedded model does not keep the turns of a dialogue
    "similarity_model": "embedded",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline up to the first step that fails, a step of it, or its plan; returns 0 on success."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=list(STEPS), help="run one step only (default: all)")
    parser.add_argument("--out", type=Path, help="folder of the audit (default: paper-audit, or paper-sample)")
    parser.add_argument("--sample", action="store_true", help="run the recipe small, offline, on embedded parts")
    parser.add_argument("--dry-run", action="store_true", help="print what is pinned and the plan, and run nothing")
    options = parser.parse_args(arguments)
    out: Path = options.out or Path("paper-sample" if options.sample else "paper-audit")
    recipe = _sample_recipe(out, train=not options.dry_run) if options.sample else RECIPE
    if options.dry_run:
        return _print_plan(recipe, out)
    pinned = out / "paper.yaml"
    if not pinned.is_file() and (code := _pin(recipe, out, pinned)):
        return code
    for step in [options.step] if options.step else STEPS:
        if code := _run(step, pinned, out):
            return code
    return 0


def _pin(recipe: Path, out: Path, pinned: Path) -> int:
    """Write down the recipe with every revision; refuse what has none."""
    found = out / "found.yaml"
    if code := seal(["audit", "--config", str(recipe), "--out", str(out), "--write-config", str(found)]):
        return code
    if loose := _without_commit(_read(found)):
        found.unlink()
        print(
            f"The commit of {' and of '.join(loose)} is not known, and the Hub did not tell it. Run this where the Hub can be "
            f"reached, or write the commit into {recipe}; nothing runs without one.",
            file=sys.stderr,
        )
        return 2
    found.replace(pinned)
    return 0


def _without_commit(recipe: dict[str, Any]) -> list[str]:
    """What the recipe takes from the Hub without naming its commit."""
    revisions = dict(text.split("=", 1) for text in recipe.get("revision") or [])
    models = dict(text.split("=", 1) for text in recipe["model"])
    named = [*(f"{model}@{revisions.get(name, '')}" for name, model in models.items())]
    named += [recipe["data"], recipe["similarity_model"]]
    loose = [text for text in named if not Path(text.rstrip("@")).exists() and text != "embedded"]
    return [text.rstrip("@") for text in loose if not _COMMIT.search(text)]


def _run(step: str, pinned: Path, out: Path) -> int:
    """Run a step with its verb; a result goes to steps/, and answers and rewards to the audit's stores."""
    verb, keys = STEPS[step]
    print(f"== {step}: seal {verb}", file=sys.stderr)
    if verb == "audit":
        return seal([verb, "--config", str(pinned)])
    recipe = _read(pinned)
    taken = {key: recipe[key] for key in keys if key in recipe}
    if step == "rewrites":
        taken["share"] = recipe["rewrite_share"]
    taken |= {"out": str(out / "steps" / f"{step}.parquet"), "store": str(out / _STORES[step])}
    config = out / "steps" / f"{step}.yaml"
    write_text(config, yaml.safe_dump({"recipe": 1, "verb": verb, **taken}, sort_keys=False))
    return seal([verb, "--config", str(config)])


def _print_plan(recipe: Path, out: Path) -> int:
    """Print what is pinned, then the plan of the audit, or what cannot be found out here."""
    pinned = out / "paper.yaml"
    recipe = pinned if pinned.is_file() else recipe
    content = _read(recipe)
    print(f"Recipe: {recipe}\nSteps: {', '.join(f'{step} (seal {verb})' for step, (verb, _) in STEPS.items())}")
    for text in _without_commit(content):
        print(f"Not pinned yet: {text}; the first run asks the Hub for its commit and holds to it.")
    if code := seal(["audit", "--config", str(recipe), "--out", str(out), "--dry-run"]):
        print(
            f"Not found out (seal audit ended with {code} and says why): texts, tokens, requests, dollars, time, memory and "
            f"disk. They depend on {content['data']}; run this where the Hub can be reached, or where its cache holds the data."
        )
    return 0


def _sample_recipe(out: Path, *, train: bool) -> Path:
    """The recipe on embedded parts: rows of the demo without their gold labels, and a pair of models trained on them."""
    rows = [json.loads(line) for line in demo_path().read_text("utf-8").splitlines()[:_SAMPLE_ROWS]]
    bare = [{key: row[key] for key in ("pair_id", "chosen", "rejected")} for row in rows]
    data, models = out / "pairs.jsonl", out / "models"
    write_text(data, "".join(f"{json.dumps(row)}\n" for row in bare))
    short = ["--pre-epochs", "1", "--max-length", "128"]
    if train and not models.exists() and (code := seal(["train-pair", str(data), "--out", str(models), *short])):
        sys.exit(code)
    recipe = {
        **_read(RECIPE),
        **_SAMPLE,
        "data": str(data),
        "model": [f"{name}={models / name}" for name in ("pre", "post")],
    }
    path = out / "sample.yaml"
    write_text(path, yaml.safe_dump(recipe, sort_keys=False))
    return path


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


if __name__ == "__main__":
    sys.exit(main())
