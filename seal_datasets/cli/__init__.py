"""The `seal` command: each verb of the pipeline, thin over the library. Progress on stderr, results on stdout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from seal_datasets.cli import (
    audit,
    compare,
    doctor,
    featurize,
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
from seal_datasets.errors import SealError, missing_extra
from seal_datasets.version import __version__

_VERBS = (
    audit,
    featurize,
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
  seal audit --demo                                   the embedded demo, offline, in minutes
  seal audit pairs.jsonl --out report                 your pairs, with models trained for the purpose
  seal audit Anthropic/hh-rlhf --split test --limit 500 --pre my/rm-before --post my/rm-after \\
      --labeler https://api.openai.com/v1 --labeler-model gpt-4o-mini --out report
  seal report report --check                          compute every number of a report again
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (`Sequence[str]`, *optional*): Words after `seal`; the process's own when omitted.

    Returns:
        `int`: 0 when all was done, 1 when a check failed, 2 when something needed is missing or wrong.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SealError as error:
        sys.stderr.write(f"seal {options.verb}: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        if (missing := missing_extra(error)) is None:
            raise
        sys.stderr.write(f"seal {options.verb}: {missing}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what is finished is kept, run the same command again to go on\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seal",
        description="What did a reward model learn from a preference dataset, where does it resist, and why?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seal_datasets {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for each in _VERBS:
        each.add(verbs)
    return parser
