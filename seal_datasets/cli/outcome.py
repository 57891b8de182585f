"""How a command ends: with its result, one line for an error, a way to resume after a signal, or a report of a bug."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, TextIO, cast

from seal_datasets.errors import SealError, missing_extra
from seal_datasets.escape import escape_terminal, redact_keys
from seal_datasets.version import __version__

WRONG_INPUT = 2
BUG = 70
BROKEN_PIPE = 141

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
# What tqdm writes: a bar from the start of its line, or a move up by some lines.
_MOVE = re.compile(r"\r|\x1b\[A(?:\x1b\[A)*\Z")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EMFILE)


def run_to_end(verb: str, work: Callable[[], int]) -> int:
    """Run a command, and turn whatever ends it into an exit code and at most a few lines.

    Args:
        verb (`str`): Name of the command, for messages.
        work (`Callable[[], int]`): The command.

    Returns:
        `int`: What the command returned, or 2 for an error that the user can mend. A bug gives 70, a signal 128 and its
        number, and an output that nobody reads 141.
    """
    with showing(), _stopping(verb) as received:
        try:
            code = work()
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            number = received[0] if received else signal.SIGINT
            # A bar of progress may stand on the line.
            _say(f"\nseal {verb}: stopped; finished work is kept. Run the same command again to resume")
            return 128 + number
        except BrokenPipeError:
            # Python flushes once more at exit, which must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        except Exception as error:
            if (message := _message_for_user(error)) is not None:
                _say(f"seal {verb}: {message}")
                return WRONG_INPUT
            _say(_describe_bug(verb, error))
            return BUG


@contextlib.contextmanager
def showing() -> Iterator[None]:
    """Let everything that is printed pass one place, which escapes what could change the terminal and redacts keys."""
    before = sys.stdout, sys.stderr
    shown = tuple(cast(TextIO, _Shown(stream)) for stream in before)
    # Libraries that were imported before hold the stream itself.
    logging_to = [
        (handler, handler.stream)
        for logger in [logging.root, *logging.root.manager.loggerDict.values()]
        for handler in getattr(logger, "handlers", ())
        if vars(handler).get("stream") in before
    ]
    for handler, stream in logging_to:
        handler.setStream(shown[before.index(stream)])
    sys.stdout, sys.stderr = shown
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for handler, stream in logging_to:
            handler.setStream(stream)


class _Shown:
    """A stream that is written to through `escape_terminal`; bars of progress keep their moves at the start of a write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        move = _MOVE.match(text)
        start = move[0] if move else ""
        self._stream.write(start + escape_terminal(text[len(start) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a stream
        return getattr(self._stream, name)


def _message_for_user(error: Exception) -> str | None:
    """One line on an error that the user can mend; `None` for a bug."""
    if isinstance(error, SealError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error)) is not None:
        return str(missing)
    if isinstance(error, MemoryError):
        return "out of memory; use fewer rows (--limit), smaller batches or a larger machine, and run again"
    if isinstance(error, OSError) and error.errno in _DISK:
        place = f" {error.filename}" if error.filename else ""
        return (
            f"the system refused a file{place}: {error.strerror}; finished work is kept. "
            "Free space or correct the permissions, and run the same command again"
        )
    return None


def _describe_bug(verb: str, error: Exception) -> str:
    """Keep the traceback in a file, and say where it is."""
    header = f"seal_datasets {__version__}, Python {platform.python_version()}, {platform.platform()}, seal {verb}\n\n"
    report = redact_keys(header + "".join(traceback.format_exception(error)))
    summary = f"seal {verb}: stopped by an error in seal_datasets: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        # Only its owner can read the file, since a message may quote data.
        with tempfile.NamedTemporaryFile("wb", prefix="seal-error-", suffix=".txt", delete=False) as file:
            file.write(report.encode("utf-8", "backslashreplace"))
    except OSError:
        return f"{summary}\nfinished work is kept. To report it, run again where {tempfile.gettempdir()} can be written"
    return (
        f"{summary}\nfinished work is kept. To report it, send {file.name} to the maintainers; keys are redacted, "
        "but read it first, since it may quote your data"
    )


def _say(message: str) -> None:
    """Write to standard error, where nobody may be there to read it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{escape_terminal(message)}\n")


@contextlib.contextmanager
def _stopping(verb: str) -> Iterator[list[int]]:
    """Stop in good order at the first signal and at once at the second; yields the signals received."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        received.append(number)
        if len(received) > 1:
            # Stores and outputs are made for a process that is killed.
            os.write(2, f"\nseal {verb}: stopped at once. Run the same command again to resume\n".encode())
            os._exit(128 + number)
        raise KeyboardInterrupt

    before = {}
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # another system may lack it
        # `nohup` has the hang-up ignored; only the main thread can set handlers.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, stop)
    try:
        yield received
    finally:
        if not received:  # else a signal while the interpreter ends would show a traceback
            for number, handler in before.items():
                signal.signal(number, handler)
