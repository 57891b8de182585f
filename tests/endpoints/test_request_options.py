"""Options of requests through the command line, before a double of a server: own fields, addresses, names and prices."""

import json

import pytest

from seal_datasets.cli import main
from seal_datasets.endpoints.model_names import is_asked_model
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.errors import DataError
from tests.endpoints.server_double import FEATURE, GOOD, ChatServer, completion, label, labels_of, openai_error

pytestmark = pytest.mark.usefixtures("short_waits")


def always(request):
    return 200, completion(GOOD)


def test_fields_of_requests_are_set_and_dropped_and_are_part_of_what_was_asked(data):
    with ChatServer(always) as server:
        own = [
            "--request",
            'reasoning_effort="low"',
            "--request",
            "seed=null",
            "--request",
            "max_completion_tokens=900",
        ]
        assert label(data, server.url, *own)[0] == 0
        (request, *_) = server.requests
        assert request["reasoning_effort"] == "low"
        assert request["max_completion_tokens"] == 900
        assert not {"seed", "max_tokens"} & request.keys()
        assert label(data, server.url, *own)[0] == 0
        assert len(server.requests) == 12
        assert label(data, server.url)[0] == 0
        assert len(server.requests) == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--request", "reasoning_effort=low"], "give text in double quotes"),
        (["--request", "seed"], "takes KEY=JSON"),
        (["--request", 'model="x"'], "the field 'model' of requests cannot be set"),
        (["--timeout", "0"], "timeout must be a number of seconds above 0"),
        (["--max-answer-tokens", "0"], "max_answer_tokens must be at least 1"),
    ],
)
def test_mistakes_in_options_are_explained(arguments, message, data, capsys):
    assert label(data, "http://127.0.0.1:9/v1", *arguments)[0] == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["featurize", "labelers", "rewrite", "audit"])
def test_every_verb_that_asks_takes_the_options(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help-all"])
    said = capsys.readouterr().out
    assert all(option in said for option in ("--request", "--max-answer-tokens", "--timeout", "--served-model"))


def test_a_field_that_a_user_sets_is_not_respelled(data, capsys):
    def answer(request):
        return (
            (400, openai_error("'temperature' does not support 0.5")) if "temperature" in request else always(request)
        )

    with ChatServer(answer) as server:
        assert label(data, server.url, "--request", "temperature=0.5")[0] == 1
        assert all(request["temperature"] == 0.5 for request in server.requests)
    assert "No labels: the labeler gave 0 of 12 (request_rejected 12)" in capsys.readouterr().err


def test_azure_takes_the_version_in_the_url_and_the_key_in_its_own_header(data, monkeypatch):
    monkeypatch.setenv("SEAL_LABELER_API_KEY", "key-of-azure")
    with ChatServer(lambda request: (200, completion(GOOD, model="gpt-4o-2024-08-06"))) as server:
        url = f"{server.url.removesuffix('/v1')}/openai/deployments/mine?api-version=2024-10-21"
        code, out = label(data, url, "--served-model", "gpt-4o", model="mine")
        assert (code, labels_of(out)) == (0, [True] * 12)
        assert set(server.paths) == {"/openai/deployments/mine/chat/completions?api-version=2024-10-21"}
        assert {headers["api-key"] for headers in server.headers} == {"key-of-azure"}


@pytest.mark.parametrize("query", ["api-version=1&key=x", "key=sk-1", "api-version=a b"])
def test_nothing_else_may_stand_in_a_url(query, data, capsys):
    assert label(data, f"http://127.0.0.1:9/v1?{query}")[0] == 2
    assert "only ?api-version=VERSION may follow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "served", "names", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", [], True),
        ("gpt-4o", "gpt-4o-mini", [], False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", [], False),
        ("llama3.2", "llama3.2:latest", [], True),
        ("mistral-small", "mistral-small-2503", [], True),
        ("Qwen/Qwen3-8B", "qwen/qwen3-8b", [], True),
        ("qwen3", "/models/qwen3.gguf", [], False),
        ("qwen3", "/models/qwen3.gguf", ["/models/qwen3.gguf"], True),
        ("mine", "gpt-4o-2024-08-06", ["gpt-4o"], True),
    ],
)
def test_which_names_are_those_of_the_model_asked(asked, served, names, same):
    assert is_asked_model(served, asked, names) is same


@pytest.mark.parametrize("name", [None, "", "m"])
def test_an_endpoint_that_sends_no_name_passes(name, data):
    with ChatServer(lambda request: (200, completion(GOOD, model=name))) as server:
        assert label(data, server.url)[0] == 0


def test_another_name_is_said_after_the_first_answers(data, capsys):
    with ChatServer(lambda request: (200, completion(GOOD, model="gpt-4o-mini"))) as server:
        assert label(data, server.url, model="gpt-4o")[0] == 2
        assert len(server.requests) == 2
    assert "'gpt-4o' was asked and 'gpt-4o-mini' answered" in capsys.readouterr().err


def top_logprobs(n):
    tokens = [{"token": "Yes", "logprob": -0.1}] + [{"token": f"t{i}", "logprob": -9.0} for i in range(n - 1)]
    found = completion("Yes")
    found["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": tokens}]}
    return found


@pytest.mark.parametrize(
    "words",
    ["top_logprobs must be <= 5", "'top_logprobs' is too high", "logprobs: Input should be less than or equal to 5"],
)
def test_fewer_log_probabilities_are_asked_for_where_a_server_gives_fewer(words, data):
    def answer(request):
        return (400, {"detail": words}) if request["top_logprobs"] > 5 else (200, top_logprobs(5))

    with ChatServer(answer) as server:
        code, out = label(data, server.url, "--probabilities")
        assert (code, labels_of(out), server.requests[-1]["top_logprobs"]) == (0, [True] * 12, 5)


def test_a_model_without_log_probabilities_stops_the_run_and_says_so(data, capsys):
    with ChatServer(
        lambda request: (400, openai_error("property 'logprobs' is not supported with this model"))
    ) as server:
        assert label(data, server.url, "--probabilities")[0] == 2
        assert len(server.requests) == 1
    assert "gives no log-probabilities" in capsys.readouterr().err


def test_a_budget_is_refused_where_the_store_holds_a_model_without_a_price(data, capsys, tmp_path):
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    prices = tmp_path / "prices.yaml"
    prices.write_text("as_of: 2026-01-01\nmodels: {n: {input: 1, output: 1}}\n")
    with ChatServer(lambda request: (200, completion(GOOD, model=request["model"], usage=usage))) as server:
        assert label(data, server.url)[0] == 0
        assert label(data, server.url, "--budget", "1", "--prices", str(prices), model="n")[0] == 2
        assert "holds responses of 'm', whose price is unknown" in capsys.readouterr().err
        prices.write_text("as_of: 2026-01-01\nmodels: {n: {input: 1, output: 1}, m: {input: 0, output: 0}}\n")
        assert label(data, server.url, "--budget", "1", "--prices", str(prices), model="n")[0] == 0


def test_answers_without_a_count_do_not_pass_a_budget(data, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("as_of: 2026-01-01\nmodels: {m: {input: 1000, output: 1000}}\n")
    with ChatServer(always) as server:  # about 0.3 dollars are set aside for a request
        code, _ = label(data, server.url, "--budget", "1", "--prices", str(prices), "--concurrency", "1")
        assert (code, 0 < len(server.requests) < 6) == (1, True)


def test_a_short_key_is_hidden_and_leaves_ordinary_words_whole(data, capsys, monkeypatch):
    monkeypatch.setenv("SEAL_LABELER_API_KEY", "x")
    with ChatServer(lambda request: (401, openai_error("the key x may not use max_tokens"))) as server:
        assert label(data, server.url)[0] == 2
    assert "the key *** may not use max_tokens" in capsys.readouterr().err


def write_pairs(path, n):
    rows = [
        {"prompt": f"Q {i}?", "chosen": f"yes {i}" * (1 + i % 3), "rejected": f"no {i}" * (1 + i % 5)} for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_labelers_without_labels_say_so(tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 40)

    def answer(request):
        return (
            (422, {"detail": "seed: extra"})
            if "seed" in request
            else (200, completion("nonsense", model="m-2024-01-01"))
        )

    with ChatServer(answer) as server:
        arguments = ["labelers", pairs, "--labelers", f"m@{server.url}", "--repeat", "2", "--temperature", "1"]
        arguments += ["--features", FEATURE, "--out", str(tmp_path / "o.parquet"), "--max-failure-rate", "1"]
        assert main(arguments) == 1
    assert capsys.readouterr().err.count("No labels: the labeler gave 0 of 80 (not_json 80).") == 2
    told = json.loads((tmp_path / "o.json").read_text())["endpoints"]
    assert told["m #0"] == told["m #1"]
    assert told["m #0"] == {"served_as": ["m-2024-01-01"], "adapted": ["seed 0 is refused, none is sent"]}


def test_rewrites_that_are_all_missing_end_with_1(tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 10)
    with ChatServer(lambda request: (200, completion("nonsense"))) as server:
        arguments = ["rewrite", pairs, "--share", "1", "--rewriter", server.url, "--rewriter-model", "m"]
        arguments += ["--similarity-model", "embedded", "--out", str(tmp_path / "o.parquet")]
        assert main(arguments) == 1
    assert "no rewrites style: not_json 20" in capsys.readouterr().err


def test_an_audit_without_labels_says_so_before_anything_else(tmp_path, capsys, reward_models):
    pairs = write_pairs(tmp_path / "pairs.jsonl", 20)
    models = ["--pre", reward_models["pre"], "--post", reward_models["post"]]

    def answer(request):  # refuses a field, and answers with nonsense
        return (400, openai_error("seed is not supported")) if "seed" in request else (200, completion("nonsense"))

    with ChatServer(answer) as server:
        labeler = ["--labeler", server.url, "--labeler-model", "m", "--features", FEATURE]
        assert main(["audit", pairs, *models, *labeler, "--out", str(tmp_path / "audit")]) == 1
    first = "No labels: the labeler gave 0 of 40 (not_json 40)."
    streams = capsys.readouterr()
    assert streams.out.splitlines()[0] == first
    report = (tmp_path / "audit" / "report.md").read_text()
    assert f"> **{first}**" in report.replace("\\", "")
    assert "seed 0 is refused" in (tmp_path / "audit" / "report.html").read_text()
    assert json.loads((tmp_path / "audit" / "run.json").read_text())["labeler"]["adapted"] == [
        "seed 0 is refused, none is sent"
    ]


def test_a_token_limit_of_ones_own_counts_for_the_budget(data, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("as_of: 2026-01-01\nmodels: {m: {input: 0, output: 1000}}\n")
    with ChatServer(always) as server:  # 5,000 tokens may cost 5 dollars
        own = ["--request", "max_completion_tokens=5000", "--budget", "4", "--prices", str(prices)]
        assert label(data, server.url, *own)[0] == 1
        assert server.requests == []


@pytest.mark.parametrize(
    "numbers", [{"concurrency": 0}, {"max_failure_rate": 1.5}, {"timeout": 0.0}, {"max_answer_tokens": 0}]
)
def test_numbers_of_options_out_of_range_are_refused(numbers):
    with pytest.raises(DataError, match=rf"{next(iter(numbers))} must"):
        RequestOptions(**numbers)
