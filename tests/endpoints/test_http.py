"""What is no good HTTP answer, through the command line; the server is a double that breaks the protocol on purpose."""

import datetime
import email.utils
import gzip
import json
import time

import pytest

from seal_datasets.endpoints import transport
from seal_datasets.endpoints.address import retry_after
from seal_datasets.endpoints.server_errors import retry_delay
from tests.endpoints.server_double import GOOD, ChatServer, completion, label, labels_of, reasons_of

pytestmark = pytest.mark.usefixtures("short_waits")

MALFORMED = {
    "bad status line": b"HTTP/9.9 xx nonsense\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 20_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nabc\r\n0\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
    "bad gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "bad header": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n{}",
}


def third_is(body):
    """A server whose every third answer is spoiled."""
    count = iter(range(10_000))
    return lambda request: (200, body) if next(count) % 3 == 2 else (200, completion(GOOD))


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_answer_is_sent_again_as_after_a_lost_connection(malformed, data):
    with ChatServer(third_is(malformed)) as server:
        code, out = label(data, server.url)
        assert (code, labels_of(out)) == (0, [True] * 12)
        assert len(server.requests) > 12


@pytest.mark.parametrize("broken", [MALFORMED["bad chunk"], None], ids=["malformed", "broken off"])
def test_a_run_that_begins_at_a_bad_moment_is_not_turned_away(broken, data):
    count = iter(range(10_000))
    with ChatServer(lambda request: (200, broken) if next(count) < 4 else (200, completion(GOOD))) as server:
        code, out = label(data, server.url)
    assert (code, labels_of(out)) == (0, [True] * 12)


def test_a_server_that_never_speaks_http_is_named(data, capsys):
    with ChatServer(lambda request: (200, MALFORMED["bad status line"])) as server:
        code, _ = label(data, server.url)
    assert code == 2
    assert "not an HTTP answer" in capsys.readouterr().err


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(packed, data, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 100_000)
    large = json.dumps(completion(GOOD + " " * 1_000_000)).encode()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(large) if packed else large

    def answer(request):
        return (200, body, headers) if "no 3" in request["messages"][-1]["content"] else (200, completion(GOOD))

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert len(server.requests) == 12
    assert (code, reasons_of(out)) == (0, ["bad_response"])


def test_retry_after_may_be_a_date(data):
    asked = []

    def answer(request):
        asked.append(time.time())
        if len(asked) == 1:
            until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
            return (
                429,
                {"error": {"message": "slow down"}},
                {"Retry-After": email.utils.format_datetime(until, usegmt=True)},
            )
        return 200, completion(GOOD)

    with ChatServer(answer) as server:
        assert label(data, server.url)[0] == 0
    assert 0.9 <= asked[1] - asked[0] <= 4.0  # a date has whole seconds
    assert retry_after({"retry-after": "never"}) == retry_after({"retry-after": "1" * 400}) == 0.0
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) == 600.0
    assert retry_delay('{"retryDelay": "2.5s"}') == 2.5
    assert retry_delay('{"retryDelay": "45839s"}') == 600.0


def test_a_timeout_can_be_given(data):
    def answer(request):
        if "no 3" in request["messages"][-1]["content"]:
            time.sleep(0.6)
        return 200, completion(GOOD)

    with ChatServer(answer) as server:
        code, out = label(data, server.url, "--timeout", "0.3")
    assert (code, reasons_of(out)) == (0, ["timed_out"])
