"""Real servers' behaviours through the command line, played by a double: what they refuse, and how they say so."""

import pytest

from seal_datasets.endpoints.store import ResponseStore
from tests.endpoints.server_double import GOOD, ChatServer, completion, label, labels_of, openai_error, reasons_of

pytestmark = pytest.mark.usefixtures("short_waits")


def pydantic_error(field):
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}]}


MAX_TOKENS = openai_error(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
TEMPERATURE = openai_error(
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    param="temperature",
    code="unsupported_value",
)


def current_openai_model(request):
    if "max_tokens" in request:
        return 400, MAX_TOKENS
    if "temperature" in request:
        return 400, TEMPERATURE
    return 200, completion(GOOD)


def refuses(field, status, body):
    return lambda request: (status, body) if field in request else (200, completion(GOOD))


def refuses_schema(status, body):
    def answer(request):
        schema = (request.get("response_format") or {}).get("type") == "json_schema"
        return (status, body) if schema else (200, completion(GOOD))

    return answer


def refuses_all_forms(request):
    if "response_format" in request:
        return 404, {"error": {"message": "No endpoints found that support structured outputs.", "code": 404}}
    return 200, completion(GOOD)


def takes_only(form, message):
    def answer(request):
        given = request.get("response_format")
        if form == "guided_json":
            return (
                (200, completion(GOOD)) if given is None and "guided_json" in request else (400, openai_error(message))
            )
        fits = given == {"type": "json_object", "response_schema": given.get("response_schema")} if given else False
        return (200, completion(GOOD)) if fits and given["response_schema"] else (400, openai_error(message))

    return answer


def generic(request):
    """Refuses fields without naming one."""
    if "seed" in request or "response_format" in request:
        return 404, {"error": {"message": "No endpoints found that can handle the requested parameters.", "code": 404}}
    return 200, completion(GOOD)


@pytest.mark.parametrize(
    ("answer", "last", "said"),
    [
        (
            current_openai_model,
            {"max_completion_tokens": 80, "max_tokens": None, "temperature": None},
            "max_tokens is refused",
        ),
        (refuses("seed", 422, pydantic_error("seed")), {"seed": None}, "seed 0 is refused"),
        (
            refuses("seed", 400, [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}]),
            {"seed": None},
            "seed 0 is refused",
        ),
        (
            refuses("seed", 400, {"code": "invalid", "error": "Argument not supported on this model: seed"}),
            {"seed": None},
            "",
        ),
        (refuses("seed", 400, b"seed: extra fields not permitted"), {"seed": None}, ""),
        (refuses("seed", 400, b"<html><body><h1>Bad</h1>unknown field <b>seed</b></body></html>"), {"seed": None}, ""),
        (
            refuses("temperature", 422, {"error": "`temperature` must be strictly positive"}),
            {"temperature": None},
            "0.01",
        ),
        (
            refuses_schema(400, openai_error("Invalid schema for response_format 'labels'")),
            {},
            "json_object is asked for",
        ),
        (refuses_schema(500, {"detail": "grammar compilation failed"}), {}, "json_object is asked for"),
        (refuses_schema(500, b"Internal Server Error"), {}, "json_object is asked for"),
        (refuses_schema(404, {"detail": "Not Found"}), {}, "json_object is asked for"),
        (
            refuses_schema(422, b"response_format: unknown variant `json_schema`, expected one of `json`, `regex`"),
            {},
            "json is",
        ),
        (refuses_all_forms, {"response_format": None}, "text is asked for"),
        (takes_only("response_schema", "response_format needs response_schema"), {}, "response_schema is asked for"),
        (
            takes_only("guided_json", "response_format is unknown; use guided_json"),
            {"response_format": None},
            "guided_json",
        ),
        (generic, {"seed": None, "response_format": None}, "seed 0 is refused"),
        (
            refuses(
                "response_format",
                400,
                openai_error("Provider returned error", code=400)
                | {"metadata": {"raw": '{"message": "response_format is not supported"}'}},
            ),
            {"response_format": None},
            "text is asked for",
        ),
    ],
)
def test_what_a_server_refuses_is_learned_once_shown_and_recorded(answer, last, said, data, capsys, tmp_path):
    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        n_refused = len(server.requests) - 12
    error = capsys.readouterr().err
    assert (code, labels_of(out)) == (0, [True] * 12)
    assert 0 < n_refused <= 6  # learned by one request, before the others are sent
    for name, value in last.items():
        assert server.requests[-1].get(name) == value
    assert said in error
    assert error.count("the labeler's endpoint: ") >= 1
    with ResponseStore(tmp_path / "out.labels.sqlite") as store:
        notes = store.select("SELECT DISTINCT json_extract(response, '$.adapted') FROM responses")
    assert said in str(notes)


def test_a_text_that_is_refused_for_an_unnamed_reason_changes_nothing_for_the_others(data, capsys):
    def answer(request):
        first = "yes 0" in request["messages"][-1]["content"]
        return (400, openai_error("Invalid argument: unsupported characters")) if first else (200, completion(GOOD))

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert (code, reasons_of(out)) == (0, ["request_rejected"])
        assert server.requests[-1]["response_format"]["type"] == "json_schema"
        assert (server.requests[-1]["temperature"], server.requests[-1]["seed"]) == (0, 0)
    assert "the labeler's endpoint" not in capsys.readouterr().err


def test_a_server_that_is_only_down_for_a_moment_is_asked_as_before(data):
    failing = iter([True] * 4)  # longer than there are forms

    def answer(request):
        return (500, b"Internal Server Error") if next(failing, False) else (200, completion(GOOD))

    with ChatServer(answer) as server:
        assert label(data, server.url)[0] == 0
        assert server.requests[-1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "The model 'm' does not exist"), (400, "Invalid model: m"), (400, "m is not a valid model ID")],
)
def test_a_model_that_does_not_exist_stops_the_run(status, words, data, capsys):
    with ChatServer(lambda request: (status, openai_error(words))) as server:
        assert label(data, server.url)[0] == 2
        assert len(server.requests) == 1
    assert "refused to work" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"code": 403, "message": "Your input was flagged."}}, "refused"),
        ({"error": {"code": 400, "message": "too many tokens"}}, "request_rejected"),
        ({"error": {"message": "Provider returned error", "code": "x"}}, "server_error"),
    ],
)
def test_an_error_inside_an_answer_is_an_error(body, reason, data):
    def answer(request):
        return (200, body) if "no 3" in request["messages"][-1]["content"] else (200, completion(GOOD))

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
    assert (code, reasons_of(out)) == (0, [reason])


def test_what_was_learned_is_kept_with_the_answers_and_shown_once(data, capsys):
    with ChatServer(current_openai_model) as server:
        assert label(data, server.url)[0] == 0
        assert "temperature 0 is refused" in capsys.readouterr().err
        n_asked = len(server.requests)
        assert label(data, server.url, "--features", "last_response_is_honest")[0] == 1
        assert len(server.requests) == n_asked + 24  # no request is refused; each answer lacks the key and is repaired
    assert "the labeler's endpoint" not in capsys.readouterr().err


def test_an_endpoint_that_has_changed_is_asked_afresh(data):
    with ChatServer(current_openai_model) as server:
        assert label(data, server.url)[0] == 0
        server.answer = refuses("max_completion_tokens", 400, pydantic_error("max_completion_tokens"))
        code, _ = label(data, server.url, "--features", "last_response_is_honest")
        assert code == 1
        assert (server.requests[-1]["max_tokens"], server.requests[-1]["temperature"]) == (80, 0)
