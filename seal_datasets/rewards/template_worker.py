"""The process that renders chat templates: they are programs of strangers, so their memory and time are limited.

A line with a template and conversations comes in; a line for each conversation goes out.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

MEMORY = 3 << 29
"""Bytes of address space that the process may take."""

MOST_TEXT = 1 << 24
"""Characters that a template may add to a conversation."""


def main() -> None:
    """Render what comes in on standard input, until it ends."""
    _limit_memory()
    from transformers.utils.chat_template_utils import render_jinja_template

    answers, sys.stdout = sys.stdout, sys.stderr
    answers.write('"ready"\n')
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        for conversation in request["conversations"]:
            answer = _render(render_jinja_template, request, conversation)
            answers.write(f"{json.dumps(answer)}\n")
            answers.flush()


def _render(render: Any, request: dict[str, Any], conversation: list[dict[str, str]]) -> dict[str, str]:  # noqa: ANN401
    """One conversation as text, or the kind and message of what went wrong."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        rendered, _ = render(
            conversations=[conversation],
            chat_template=request["template"],
            add_generation_prompt=request["add_generation_prompt"],
            **request["special_tokens"],
        )
    except MemoryError:
        return {"limit": "takes more memory than it may"}
    except TemplateError as error:
        refused = type(error) is TemplateError and not isinstance(error, TemplateSyntaxError)
        return {"refused" if refused else "failed": _message(error)}
    except Exception as error:
        return {"limit" if isinstance(error, OverflowError) else "failed": _message(error)}
    if len(rendered[0]) > MOST_TEXT + 10 * sum(len(str(turn.get("content"))) for turn in conversation):
        return {"limit": f"makes {len(rendered[0]):,} characters of one conversation"}
    return {"text": rendered[0]}


def _message(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # other systems than Unix
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard), hard))
