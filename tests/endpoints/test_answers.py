"""Answers as real models write them, through the command line: thoughts, channels, parts, tools, drafts, and refusals."""

import json

import pytest

from seal_datasets.endpoints.answer_text import decode_object, without_thoughts
from tests.endpoints.server_double import (
    FEATURE,
    GOOD,
    ChatServer,
    completion,
    label,
    labels_of,
    openai_error,
    reasons_of,
)

pytestmark = pytest.mark.usefixtures("short_waits")

BAD = json.dumps({FEATURE: False})
CHANNELS = (
    "<|channel|>analysis<|message|>{bad} perhaps<|end|><|start|>assistant<|channel|>final<|message|>{good}<|return|>"
)


def call(arguments):
    return [{"id": "1", "type": "function", "function": {"name": "labels", "arguments": arguments}}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"<think>Maybe {BAD}</think>\n{GOOD}", {}),
        (f"Maybe {BAD}</think>{GOOD}", {}),  # the template wrote the opening tag
        (f"[THINK]{BAD}[/THINK]{GOOD}", {}),
        (f"◁think▷{BAD}◁/think▷{GOOD}", {}),
        (GOOD, {"reasoning_content": f"Maybe {BAD}"}),
        (GOOD, {"reasoning": f"Maybe {BAD}"}),
        (CHANNELS.format(bad=BAD, good=GOOD), {}),
        (f"analysisWe think {BAD}assistantfinal{GOOD}", {}),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": BAD}]}, {"type": "text", "text": GOOD}], {}),
        ([{"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]}], {}),
        (f"For example, {BAD} would be wrong. My answer:\n```json\n{GOOD}\n```", {}),
        (f"{GOOD}\nThat is all {{so far}}. {json.dumps({'note': 'done'})}", {}),
        (f"The form is {{{FEATURE}: ...}}.\n{GOOD}", {}),
        (None, {"tool_calls": call(GOOD)}),
        ("", {"tool_calls": call(json.loads(GOOD))}),
        (None, {"function_call": {"name": "labels", "arguments": GOOD}}),
        (f'<tool_call>{{"name": "labels", "arguments": {GOOD}}}</tool_call>', {}),
    ],
)
def test_the_answer_is_read_and_not_the_draft(content, message, data):
    with ChatServer(lambda request: (200, completion(content, **message))) as server:
        code, out = label(data, server.url)
    assert (code, labels_of(out)) == (0, [True] * 12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"<think>Maybe {GOOD}", {}),
        (None, {"reasoning_content": GOOD}),
        (CHANNELS.split("<|end|>")[0].format(bad=GOOD), {}),
        (f"analysisWe think {GOOD}", {}),
        ([{"type": "thinking", "thinking": GOOD}], {}),
        (f'{GOOD} is a draft. {{"{FEATURE}": tr', {}),
        (f'{{"labels": {GOOD}, ', {}),
        (None, {"tool_calls": call("not JSON")}),
    ],
)
def test_a_draft_never_becomes_a_label(content, message, data, capsys):
    with ChatServer(lambda request: (200, completion(content, **message))) as server:
        code, out = label(data, server.url)
    assert (code, labels_of(out)) == (1, [None] * 12)
    assert set(reasons_of(out)) == {"not_json"}
    assert "No labels: the labeler gave 0 of 12 (not_json 12)." in capsys.readouterr().err


def thinks_long(request):
    """Has written its answer after 4,000 tokens of thoughts, which count."""
    room = request.get("max_tokens") or request.get("max_completion_tokens")
    if room < 4000:
        return 200, completion(
            "<think>" + "hm " * 50, finish="length", usage={"prompt_tokens": 1, "completion_tokens": room}
        )
    return 200, completion(f"<think>hm</think>{GOOD}", usage={"prompt_tokens": 1, "completion_tokens": 4000})


def test_a_model_that_was_thinking_is_asked_once_more_with_more_room(data, capsys):
    with ChatServer(thinks_long) as server:
        code, out = label(data, server.url)
        rooms = [request["max_tokens"] for request in server.requests]
        assert (code, labels_of(out)) == (0, [True] * 12)
        assert rooms[:1] == [80]
        assert rooms.count(80) <= 12  # those on their way when the first was cut off
        assert set(rooms) == {80, 8192}
        assert "8,192 tokens are allowed" in capsys.readouterr().err
        n_asked = len(rooms)
        assert label(data, server.url)[0] == 0
        assert len(server.requests) == n_asked
        assert label(data, server.url, "--features", "last_response_is_honest")[0] == 1
        assert {request["max_tokens"] for request in server.requests[n_asked:]} == {8192}  # known from the first run


def test_a_model_that_never_ends_is_cut_off_and_a_user_may_give_more_room(data):
    def answer(request):
        whole = request["max_tokens"] >= 20_000
        return 200, completion(GOOD if whole else "<think>hm", finish="stop" if whole else "length")

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert (code, set(reasons_of(out)), len(server.requests)) == (1, {"cut_off"}, 24)
        assert label(data, server.url)[0] == 1
        assert len(server.requests) == 24  # a rerun does not ask again
        code, out = label(data, server.url, "--max-answer-tokens", "20000")
        assert (code, labels_of(out), len(server.requests)) == (0, [True] * 12, 36)


def test_room_for_thoughts_that_passes_the_context_is_halved(data):
    def answer(request):
        room = request["max_tokens"]
        if room > 3000:
            words = f"This model's maximum context length is 3200 tokens. However, you requested {room + 200} tokens."
            return 400, openai_error(words)
        whole = room > 1000
        return 200, completion(GOOD if whole else None, finish="stop" if whole else "length")

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert (code, labels_of(out)) == (0, [True] * 12)
        assert {request["max_tokens"] for request in server.requests} == {80, 8192, 4096, 2048}


AZURE = openai_error(
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    code="content_filter",
)
OPENAI = openai_error(
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"
)
OPENROUTER = {
    "error": {
        "code": 403,
        "message": 'x requires moderation on y. Your input was flagged for "violence". No credits were charged.',
        "metadata": {"reasons": ["violence"], "flagged_input": "no 3"},
    }
}
XAI = {
    "code": "The caller does not have permission",
    "error": "Content violates usage guidelines. SAFETY_CHECK_TYPE_BIO",
}
GEMINI = {"model": "m", "choices": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, AZURE),
        (400, OPENAI),
        (403, OPENROUTER),
        (403, XAI),
        (403, b"<html>Your prompt was blocked: unsafe content</html>"),
        (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}),
        (200, GEMINI),
        (200, completion(None, finish="content_filter: SAFETY")),
        (200, completion(None, refusal="I cannot judge this.")),
    ],
)
def test_a_text_that_is_refused_is_that_texts_refused_and_is_not_asked_again(status, body, data):
    def answer(request):
        flagged = "no 3" in request["messages"][-1]["content"]
        return (status, body) if flagged else (200, completion(GOOD))

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert (code, sorted(map(str, labels_of(out)))) == (0, ["None"] + ["True"] * 11)
        assert reasons_of(out) == ["refused"]
        assert len(server.requests) == 12
        assert label(data, server.url)[0] == 0
        assert len(server.requests) == 12


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, openai_error("Your account was flagged for violating our policy.")),
        (403, openai_error("Country, region, or territory not supported")),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
        (402, {"error": "Payment required"}),
        (429, openai_error("You exceeded your current quota", code="insufficient_quota")),
    ],
)
def test_what_concerns_the_account_stops_the_run(status, body, data, capsys):
    with ChatServer(lambda request: (status, body)) as server:
        code, _ = label(data, server.url)
        assert (code, len(server.requests) <= 16) == (2, True)
    assert "refused to work" in capsys.readouterr().err


def test_a_firewall_that_blocks_one_text_does_not_stop_the_run(data):
    page = b"<html><h1>Sorry, you have been blocked</h1>You are unable to access this site. Your IP: 127.0.0.1</html>"

    def answer(request):
        return (403, page) if "no 3" in request["messages"][-1]["content"] else (200, completion(GOOD))

    with ChatServer(answer) as server:
        code, out = label(data, server.url)
    assert (code, reasons_of(out)) == (0, ["refused"])


def test_a_bare_403_is_the_texts_until_it_is_all_that_comes(data, capsys):
    def answer(request):
        forbidden = request["messages"][-1]["content"].count("Question 0") or flagged == "all"
        return (403, {"error": "Forbidden"}) if forbidden else (200, completion(GOOD))

    flagged = "two"
    with ChatServer(answer) as server:
        code, out = label(data, server.url)
        assert (code, reasons_of(out)) == (0, ["refused"] * 2)
    flagged = "all"
    with ChatServer(answer) as server:
        assert label(data, server.url, model="m2")[0] == 2
    assert "refused to work" in capsys.readouterr().err


def test_thoughts_inside_a_json_string_are_part_of_the_answer():
    answer = json.dumps({"rewrite": "He wrote </think> and <think> in XML."})
    assert decode_object(answer, ["rewrite"], []) == json.loads(answer)
    assert without_thoughts("<thinking>a</thinking>b<thinking>c") == "b"
