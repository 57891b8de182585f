"""Chat templates, rendered in a process of their own that may take little memory and time."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from seal_datasets.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turn = dict[str, str]

SECONDS = 20.0
"""Time that one conversation may take; a template needs a millisecond."""

_SECONDS_TO_START = 120.0
_WORKER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from seal_datasets.rewards.template_worker import main; main()"
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A conversation that a template does not render.

    Attributes:
        status (`str`): `template_refused` where the template says so itself, `template_failed` where it breaks.
        reason (`str`): Its message.
    """

    status: Literal["template_refused", "template_failed"]
    reason: str


def template_of(tokenizer: PreTrainedTokenizerBase, name: str) -> str | None:
    """The chat template that conversations are rendered with.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer.
        name (`str`): The model's name, for messages.

    Returns:
        `str`: The template; `None` without one.

    Raises:
        ModelError: There are several and none is the default, or it is no text.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if "default" not in template:
            raise ModelError(
                f"the tokenizer of {name!r} has the chat templates {', '.join(sorted(map(str, template)))} and none named "
                "'default'; name the one to use so, in tokenizer_config.json or as chat_template.jinja"
            )
        template = template["default"]
    if template is not None and not isinstance(template, str):
        raise ModelError(
            f"the chat template of {name!r} is no text but {type(template).__name__}; mend tokenizer_config.json"
        )
    return template or None


def render(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[list[Turn]], *, add_generation_prompt: bool = False
) -> list[str | Refused]:
    """Render conversations with a tokenizer's chat template.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): With a chat template.
        conversations (`Sequence[list[dict[str, str]]]`): Turns of each, with role and content.
        add_generation_prompt (`bool`, defaults to `False`): Whether to end with what begins an answer.

    Returns:
        `list[str | Refused]`: The text of each, or why there is none.

    Raises:
        ModelError: The template takes too much time or memory.
    """
    from transformers import PreTrainedTokenizerBase

    if type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        return [_render_here(tokenizer, conversation, add_generation_prompt) for conversation in conversations]
    request = {
        "template": template_of(tokenizer, tokenizer.name_or_path),
        "add_generation_prompt": add_generation_prompt,
        "special_tokens": {
            name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
        },
    }
    name = tokenizer.name_or_path
    turns = [[{key: part for key, part in turn.items() if part is not None} for turn in each] for each in conversations]
    answers = _worker().ask({**request, "conversations": turns}, len(turns), name)
    return [_read(answer, name) for answer in answers]


def _render_here(
    tokenizer: PreTrainedTokenizerBase, conversation: list[Turn], add_generation_prompt: bool
) -> str | Refused:
    """Tokenizers that render without a template of their own, such as Mistral's."""
    try:
        return str(
            tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=add_generation_prompt)
        )
    except Exception as error:
        return Refused("template_refused", (str(error).strip().splitlines() or [""])[0][:200])


def _read(answer: dict[str, str], name: str) -> str | Refused:
    if "limit" in answer:
        raise ModelError(_of_limit(name, answer["limit"]))
    if "refused" in answer:
        return Refused("template_refused", answer["refused"])
    return Refused("template_failed", answer["failed"]) if "failed" in answer else answer["text"]


def _of_limit(name: str, what: str) -> str:
    return (
        f"the chat template of {name!r} {what}; it is broken or does harm. Mend chat_template in its tokenizer's files"
    )


class _Worker:
    """The process, started at its first use and again after it was stopped."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        atexit.register(self.stop)

    def ask(self, request: dict[str, Any], n_answers: int, name: str) -> list[dict[str, str]]:
        """Send a request and wait for its answers, one after the other."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            process, lines = self._process, self._lines
            assert process is not None
            assert process.stdin is not None
            sent = threading.Thread(target=_send, args=(process, f"{json.dumps(request)}\n"), daemon=True)
            sent.start()
            answers = []
            try:
                for _ in range(n_answers):
                    line = lines.get(timeout=SECONDS)
                    if not line:
                        raise ModelError(_of_limit(name, "ended the process that renders it, as when memory runs out"))
                    answers.append(json.loads(line))
            except queue.Empty:
                raise ModelError(
                    _of_limit(name, f"takes more than {SECONDS:.0f} seconds for one conversation")
                ) from None
            finally:
                if len(answers) < n_answers:
                    self.stop()
                sent.join()
            return answers

    def _start(self) -> None:
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_read_lines, args=(self._process, self._lines), daemon=True).start()
        try:
            ready = self._lines.get(timeout=_SECONDS_TO_START)
        except queue.Empty:
            ready = ""
        if not ready:
            self.stop()
            raise ModelError("the process that renders chat templates does not start; is there enough memory?")

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self.pid != os.getpid():
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):  # it was stopped, and whoever waits for its answers says so
        process.stdin.write(line)
        process.stdin.flush()


def _read_lines(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            lines.put(line)
    lines.put("")


_workers: dict[int, _Worker] = {}


def _worker() -> _Worker:
    """This process's worker; a forked process starts its own."""
    if os.getpid() not in _workers:
        _workers[os.getpid()] = _Worker()
    return _workers[os.getpid()]
