"""How a command ends: signals, errors of the user, a full disk, a closed pipe, and bugs."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seal_datasets import errors
from seal_datasets.cli import main
from seal_datasets.cli.outcome import run_to_end
from seal_datasets.escape import redact_keys

# A double of a long verb: it says that it works, and cleans up slowly when it is stopped.
LONG = """
import sys, time
from seal_datasets.cli.outcome import run_to_end

def work():
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(float(sys.argv[1]))
    return 0

sys.exit(run_to_end("score", work))
"""


# A shell starts jobs of the background with Ctrl-C or hang-ups ignored, and their children inherit that.
HEEDED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


def start(cleaning="0"):
    words = [sys.executable, "-c", HEEDED + LONG, cleaning]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_how_to_resume(number):
    with start() as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert out == "cleaning\n"
    assert err == "\nseal score: stopped; finished work is kept. Run the same command again to resume\n"
    assert process.returncode == 128 + number


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_and_without_a_traceback(second):
    with start("60") as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(second)
        _, err = process.communicate(timeout=30)
    assert err == "\nseal score: stopped at once. Run the same command again to resume\n"
    assert process.returncode == 128 + second


def test_a_hang_up_that_nohup_ignores_stays_ignored():
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + LONG.replace("60", "0.5")
    with subprocess.Popen([sys.executable, "-c", script, "0"], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_handlers_are_put_back_for_callers_in_python():
    before = signal.getsignal(signal.SIGTERM)
    assert run_to_end("score", lambda: 0) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize("kind", [errors.DataError, errors.ModelError, errors.LabelerError, errors.HubError])
def test_any_error_of_ours_is_one_line(kind, capsys):
    assert run_to_end("audit", raising(kind("column 'x', row 3: found y; give z"))) == 2
    assert capsys.readouterr().err == "seal audit: column 'x', row 3: found y; give z\n"


def test_what_could_change_the_terminal_is_escaped_and_keys_are_redacted(capsys, monkeypatch):
    monkeypatch.setenv("SEAL_LABELER_API_KEY", "https://api.example.org=topsecret-1")
    message = "refused \x1b[2J\r topsecret-1 \u202e hf_abcdefghijkl \udc80"
    assert run_to_end("audit", raising(errors.LabelerError(message))) == 2
    assert capsys.readouterr().err == "seal audit: refused \\x1b[2J\\r *** \\u202e *** \\udc80\n"


def test_a_full_disk_and_too_little_memory_are_one_line(capsys):
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet")
    assert run_to_end("score", raising(full)) == 2
    assert "refused a file /data/x.parquet: No space left on device" in capsys.readouterr().err
    assert run_to_end("score", raising(MemoryError())) == 2
    assert "out of memory; use fewer rows" in capsys.readouterr().err


def test_a_bug_is_a_short_message_and_a_file_with_the_redacted_traceback(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "topsecret-2")
    assert run_to_end("score", raising(ZeroDivisionError("while asking with topsecret-2"))) == 70
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert err.startswith(
        "seal score: stopped by an error in seal_datasets: ZeroDivisionError: while asking with ***\n"
    )
    assert "Traceback" not in err
    path = Path(re.search(r"send (\S+) to the maintainers", err)[1])
    report = path.read_text("utf-8")
    assert "Traceback (most recent call last)" in report
    assert "seal_datasets 0" in report
    assert "topsecret-2" not in report
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()


def test_a_bug_where_no_file_can_be_written_is_still_a_short_message(capsys, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert run_to_end("score", raising(ZeroDivisionError("x"))) == 70
    assert "stopped by an error in seal_datasets: ZeroDivisionError: x" in capsys.readouterr().err


def test_a_pipe_that_nobody_reads_is_no_error(tmp_path):
    script = (
        "import sys\nfrom seal_datasets.cli.outcome import run_to_end\n"
        "def work():\n    sys.stdout.write('x' * 1_000_000)\n    return 0\nsys.exit(run_to_end('store', work))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


def test_short_keys_are_no_part_of_words():
    environment = {"SEAL_LABELER_API_KEY": "x", "OTHER": "max", "API_KEYS": "http://a=abc http://b=defg"}
    assert redact_keys("max_tokens x abc defg", environment) == "max_tokens *** *** ***"


def test_every_verb_ends_here(monkeypatch, capsys):
    monkeypatch.setattr("seal_datasets.cli.store.repair_store", raising(RuntimeError("a double of a bug")))
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    assert main(["store", "repair", "nowhere.sqlite"]) == 70
    assert "seal store: stopped by an error in seal_datasets" in capsys.readouterr().err
