"""The faulty proxy itself: what a client sees of each fault, and that the proxy's account of it is true."""

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.endpoints.fault_proxy import FAULTS, WRONG_MODEL, FaultProxy

REQUEST = json.dumps({"model": "judge", "messages": [{"role": "user", "content": "Is the sky blue?"}]}).encode()
CONTENT = "yes, " * 20


@pytest.fixture
def client():
    with httpx.Client(timeout=5, trust_env=False) as client:
        yield client


def ask(client, proxy, body=REQUEST, **options):
    return client.post(f"{proxy.url}/chat/completions", content=body, **options)


def proxy_with(fault, **options):
    return FaultProxy(None, {fault: 1.0}, answer=lambda request: CONTENT, **options)


def only_record(proxy):
    (record,) = proxy.records
    assert record["sha256"] == hashlib.sha256(REQUEST).hexdigest()
    assert abs(time.time() - record["time"]) < 60
    return record["fault"], record["paid"]


def content_of(response):
    completion = response.json()
    assert completion["object"] == "chat.completion"
    return completion["choices"][0]["message"]["content"]


def is_intact(response):
    try:
        return response.status_code == 200 and content_of(response) == "yes" and response.json()["model"] == "judge"
    except ValueError:
        return False


@pytest.fixture
def upstream():
    """A real server that keeps what it was sent, and refuses what is not for a judge."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Authorization"], body, self.client_address))
            good = b"judge" in body
            self.reply(200 if good else 400, body if good else b"{}")

        def do_GET(self):
            self.reply(200, b'{"data": []}')

        def reply(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-request-id", "17")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
        server.shutdown()


def test_without_faults_the_answer_is_the_callables(client):
    with FaultProxy(None, {}, answer=lambda request: request["messages"][0]["content"].upper()) as proxy:
        response = ask(client, proxy)
        assert content_of(response) == "IS THE SKY BLUE?"
        assert response.json()["model"] == "judge"
        assert only_record(proxy) == ("ok", True)


@pytest.mark.parametrize(("fault", "status"), [("rate_limited", 429), ("server_error", 500), ("unavailable", 503)])
def test_a_refusal_has_its_status(client, fault, status):
    with proxy_with(fault) as proxy:
        response = ask(client, proxy)
        assert response.status_code == status
        assert response.json()["error"]["message"].startswith("injected")
        assert response.headers.get("retry-after-ms") == ("50" if fault == "rate_limited" else None)
        assert "retry-after" not in response.headers
        assert only_record(proxy) == (fault, False)


def test_a_slow_answer_is_late_intact_and_paid(client):
    with proxy_with("slow", slow_seconds=0.2) as proxy:
        start = time.monotonic()
        assert content_of(ask(client, proxy)) == CONTENT
        assert time.monotonic() - start >= 0.2
        assert only_record(proxy) == ("slow", True)


def test_a_slow_answer_nobody_waits_for_is_not_paid(client):
    with proxy_with("slow", slow_seconds=0.3) as proxy:
        with pytest.raises(httpx.ReadTimeout):
            ask(client, proxy, timeout=0.1)
        time.sleep(0.4)
        assert only_record(proxy) == ("slow", False)


def test_a_hanging_request_is_never_answered(client):
    with proxy_with("hang") as proxy:
        with pytest.raises(httpx.ReadTimeout):
            ask(client, proxy, timeout=0.1)
        assert only_record(proxy) == ("hang", False)


@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_closing_does_not_wait_for_what_is_in_flight(client, fault):
    def wait():
        with contextlib.suppress(httpx.TransportError):
            ask(client, proxy)

    with proxy_with(fault, slow_seconds=30) as proxy:
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        start = time.monotonic()
    waiting.join()
    assert time.monotonic() - start < 2
    assert only_record(proxy) == (fault, False)


def test_a_hanging_connection_is_closed_in_the_end(client):
    with proxy_with("hang", hang_seconds=0.1) as proxy, pytest.raises(httpx.RemoteProtocolError, match="without send"):
        ask(client, proxy)


def test_a_cut_answer_stops_half_way(client):
    with proxy_with("cut") as proxy:
        with client.stream("POST", f"{proxy.url}/chat/completions", content=REQUEST) as response:
            assert response.status_code == 200
            received = []
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
                received.extend(response.iter_raw())
        assert len(b"".join(received)) == int(response.headers["content-length"]) // 2
        assert only_record(proxy) == ("cut", False)


def test_garbage_is_a_web_page_that_claims_success(client):
    with proxy_with("garbage") as proxy:
        response = ask(client, proxy)
        assert (response.status_code, response.text) == (200, "<html>gateway</html>")
        assert response.headers["content-type"].startswith("text/html")
        assert only_record(proxy) == ("garbage", False)


def test_truncated_json_is_the_first_half_of_the_true_body(client):
    with proxy_with("truncated_json") as proxy, FaultProxy(None, {}, answer=lambda request: CONTENT) as true:
        response, whole = ask(client, proxy), ask(client, true).content
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert int(response.headers["content-length"]) == len(response.content) == len(whole) // 2
        assert whole.startswith(response.content)
        with pytest.raises(json.JSONDecodeError):
            response.json()
        assert only_record(proxy) == ("truncated_json", False)


@pytest.mark.parametrize("fault", ["bad_status_line", "long_header", "bad_chunk", "bad_length"])
def test_what_is_no_http_is_a_protocol_error_to_a_client_and_not_paid(client, fault):
    with proxy_with(fault) as proxy:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                ask(client, proxy)
        assert [(each["fault"], each["paid"]) for each in proxy.records] == [(fault, False)] * 2


def test_the_wrong_model_signs_an_otherwise_true_answer(client):
    with proxy_with("wrong_model") as proxy, FaultProxy(None, {}, answer=lambda request: CONTENT) as true:
        assert ask(client, proxy).json() == {**ask(client, true).json(), "model": WRONG_MODEL}
        assert only_record(proxy) == ("wrong_model", False)


def test_a_large_answer_is_paid_only_when_it_was_all_read(client):
    large = "a" * 30_000_000
    with FaultProxy(None, {}, answer=lambda request: large) as proxy:
        with client.stream("POST", f"{proxy.url}/chat/completions", content=REQUEST) as response:
            next(response.iter_raw())
        assert content_of(ask(client, proxy)) == large
        assert [record["paid"] for record in proxy.records] == [False, True]


MIX = {fault: 0.045 for fault in FAULTS if fault != "hang"} | {"hang": 0.04}


def outcomes(client, log=None):
    """What 300 different requests came to: how many were intact, and the proxy's records."""
    intact = 0
    with FaultProxy(None, MIX, seed=3, log=log, slow_seconds=0.01, hang_seconds=0.01) as proxy:
        for i in range(300):
            with contextlib.suppress(httpx.TransportError):
                intact += is_intact(ask(client, proxy, json.dumps({"model": "judge", "messages": [], "n": i}).encode()))
        return intact, proxy.records


def test_a_mix_has_its_share_and_the_log_agrees_with_the_records(client, tmp_path):
    log = tmp_path / "proxy.jsonl"
    intact, records = outcomes(client, log)
    assert [json.loads(line) for line in log.read_text().splitlines()] == records
    counts = Counter(record["fault"] for record in records)
    assert set(counts) == {"ok", *FAULTS}
    assert 1 - counts["ok"] / 300 == pytest.approx(sum(MIX.values()), abs=0.06)
    assert intact == sum(record["paid"] for record in records) == counts["ok"] + counts["slow"]
    assert len({record["sha256"] for record in records}) == 300
    again = outcomes(client)[1]
    assert [record["fault"] for record in again] == [record["fault"] for record in records], "the seed decides"


def test_many_clients_at_once_are_each_recorded_once(tmp_path):
    log = tmp_path / "proxy.jsonl"
    with FaultProxy(None, {"server_error": 0.5}, log=log) as proxy:

        def work(worker):
            with httpx.Client(trust_env=False) as client:
                for i in range(20):
                    ask(client, proxy, json.dumps({"model": f"{worker}-{i}"}).encode())

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = proxy.records
    assert len({record["sha256"] for record in records}) == len(records) == 160
    assert [json.loads(line) for line in log.read_text().splitlines()] == records


def test_requests_reach_the_upstream_unchanged_over_one_connection(client, upstream):
    url, seen = upstream
    body = b'{ "model":"judge",\n "odd":  "\xc3\xa9" }'
    with FaultProxy(url + "/", {}) as proxy:
        for _ in range(3):
            response = ask(client, proxy, body, headers={"Authorization": "Bearer secret"})
        assert client.get(f"{proxy.url}/models").json() == {"data": []}
        assert [record["paid"] for record in proxy.records] == [True] * 3
    assert (response.content, response.headers["x-request-id"]) == (body, "17")
    assert {entry[:3] for entry in seen} == {("/v1/chat/completions", "Bearer secret", body)}
    assert len({address for *_, address in seen}) == 1


@pytest.mark.parametrize("fault", ["slow", "cut", "truncated_json", "wrong_model"])
def test_faults_of_the_body_are_those_of_the_upstreams_body(client, upstream, fault):
    url, seen = upstream
    with FaultProxy(url, {fault: 1.0}, slow_seconds=0.01) as proxy:
        if fault == "cut":
            with pytest.raises(httpx.RemoteProtocolError):
                ask(client, proxy)
        else:
            expected = {
                "slow": REQUEST,
                "truncated_json": REQUEST[: len(REQUEST) // 2],
                "wrong_model": REQUEST.replace(b'"judge"', b'"someone-else"'),
            }
            assert ask(client, proxy).content == expected[fault]
        assert only_record(proxy) == (fault, fault == "slow")
    assert len(seen) == 1


@pytest.mark.parametrize("faults", [{}, {"cut": 1.0}])
def test_an_upstreams_refusal_is_passed_on_and_not_paid(client, upstream, faults):
    with FaultProxy(upstream[0], faults) as proxy:
        assert ask(client, proxy, b"not for you").status_code == 400
        assert [(record["fault"], record["paid"]) for record in proxy.records] == [("ok", False)]


def test_an_upstream_out_of_reach_is_a_bad_gateway(client):
    with FaultProxy("http://127.0.0.1:1/v1", {}) as proxy:
        assert ask(client, proxy).status_code == 502
        assert only_record(proxy) == ("upstream_failed", False)


@pytest.mark.parametrize("faults", [{"meteor": 0.1}, {"cut": 0.6, "slow": 0.6}, {"cut": -0.1}])
def test_faults_that_cannot_be_are_refused(faults):
    with pytest.raises(ValueError, match=r"unknown|sum to at most 1"):
        FaultProxy(None, faults)


def test_a_port_in_use_is_an_error_at_once():
    with FaultProxy(None, {}) as proxy:
        taken = httpx.URL(proxy.url).port
        with pytest.raises(OSError, match="in use"), FaultProxy(None, {}, port=taken):
            pass


def test_it_runs_as_its_own_process(client, upstream, tmp_path):
    log = tmp_path / "proxy.jsonl"
    command = [sys.executable, "-m", "tests.endpoints.fault_proxy", "--upstream", upstream[0], "--log", str(log)]
    process = subprocess.Popen(
        [*command, "--fault", "rate_limited=0.5", "--fault", "garbage=0.5", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        url = process.stdout.readline().strip()
        statuses = [client.post(f"{url}/chat/completions", content=REQUEST).status_code for _ in range(20)]
        faults = [json.loads(line)["fault"] for line in log.read_text().splitlines()]
        assert [{"rate_limited": 429, "garbage": 200}[fault] for fault in faults] == statuses
        assert set(statuses) == {429, 200}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.communicate()
