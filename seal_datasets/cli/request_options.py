"""Options of verbs that ask language models, and the settings made from them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from seal_datasets.errors import DataError


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that send requests to language models."""
    group = parser.add_argument_group("requests to language models")
    group.add_argument(
        "--concurrency",
        type=int,
        default=16,
        metavar="N",
        help="most requests at once; reduced automatically while the endpoint is overloaded (default: %(default)s)",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="longest time for one answer (default: %(default)s)",
    )
    group.add_argument(
        "--max-answer-tokens",
        type=int,
        metavar="N",
        help="tokens for one answer, thoughts included; answers cut off with fewer are asked for again "
        "(default: by the questions, 8192 for a model that thinks)",
    )
    group.add_argument(
        "--request",
        action="append",
        default=[],
        metavar="KEY=JSON",
        help="set a field of every request, e.g. reasoning_effort='\"low\"', or leave it out with null; may be repeated",
    )
    group.add_argument(
        "--served-model",
        action="append",
        default=[],
        metavar="NAME",
        help="name that the endpoint gives in its answers, where it is another than the one asked for; may be repeated",
    )
    group.add_argument(
        "--max-failure-rate",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="stop if more than this share of at least 50 texts got no label (default: %(default)s)",
    )
    group.add_argument(
        "--batch",
        action="store_true",
        help="use the OpenAI Batch API (half the price, within a day); a re-run reattaches to its batches; a rewriter at "
        "another address than the labeler is asked at once",
    )
    group.add_argument(
        "--budget",
        type=float,
        metavar="DOLLARS",
        help="most that all responses in the store may cost; texts beyond it get no labels, "
        "re-run with a higher budget to continue (default: no limit)",
    )
    group.add_argument(
        "--prices", metavar="FILE", help="YAML file with the prices of models (default: the packaged one)"
    )


def request_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of an audit from `add_request_options`."""
    same = ("concurrency", "timeout", "max_answer_tokens", "max_failure_rate", "batch", "budget", "prices")
    return {
        **{name: getattr(options, name) for name in same},
        "served_models": tuple(options.served_model),
        "request": dict(_request_field(given) for given in options.request),
    }


def _request_field(given: str) -> tuple[str, object]:
    """Name and value of a field of requests, from KEY=JSON."""
    name, equals, value = given.partition("=")
    try:
        if not (name and equals):
            raise ValueError("there is no '='")
        return name, json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"--request takes KEY=JSON, got {given!r} ({error}); give text in double quotes, e.g. "
            "--request 'reasoning_effort=\"low\"', and null to leave a field out"
        ) from error
