"""The `seal` command: one verb per step, thin over the library. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence

from seal_datasets.cli import (
    audit,
    compare,
    doctor,
    featurize,
    gold,
    install_metrics,
    labelers,
    publish,
    report,
    rewrite,
    score,
    store,
    subset,
    train_pair,
)
from seal_datasets.cli.outcome import run_to_end, showing
from seal_datasets.cli.outputs import check_outputs
from seal_datasets.cli.verb_parser import VerbParser
from seal_datasets.version import __version__

_VERBS = (
    audit,
    featurize,
    gold,
    score,
    doctor,
    rewrite,
    labelers,
    train_pair,
    report,
    compare,
    subset,
    store,
    install_metrics,
    publish,
)

_EXAMPLES = """\
examples:
  seal audit --demo                        audit the embedded preference set: offline, in minutes
  seal audit pairs.jsonl --out report      audit your pairs, with reward models trained on them
  seal audit Anthropic/hh-rlhf --split test --limit 500 --pre my/rm-before --post my/rm-after \\
      --labeler https://api.openai.com/v1 --labeler-model gpt-4o-mini --out report
  seal report report --check               recompute every number of a report
  seal audit --help                        options of one verb
  seal audit --config recipe.yaml          take the options from a recipe
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (`Sequence[str]`, *optional*): Words after `seal`; those of the process when omitted.

    Returns:
        `int`: 0 on success, 1 if a check failed, 2 if an input is missing or wrong; others are those of `run_to_end`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode, or a file name that is none
    with showing():
        options = make_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run

    def work() -> int:
        check_outputs(options)
        return run(options)

    return run_to_end(options.verb, work)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with all its verbs."""
    parser = argparse.ArgumentParser(
        prog="seal",
        description="Audit reward models: what did a model learn from preference data, and where does it resist?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seal_datasets {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=VerbParser)
    for module in _VERBS:
        module.add(verbs)
    for verb in verbs.choices.values():
        verb.complete()
    return parser
