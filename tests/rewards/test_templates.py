"""Chat templates that refuse, break or do harm: a status for each text, or an error that says what to do."""

import json
import time

import pytest

from seal_datasets.cli import main
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards import templates
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.encoding import merge_turns
from seal_datasets.rewards.implicit import ImplicitReward
from seal_datasets.rewards.options import ModelOptions
from tests.rewards.models import CHAT_TEMPLATE, EXCHANGES, save_llama, turn

REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHAT_TEMPLATE
)
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{% endfor %}" + CHAT_TEMPLATE
)
BREAKS_ON_LENGTH = "{% if messages | length > 2 %}{{ messages.nothing.at.all }}{% endif %}" + CHAT_TEMPLATE
SYSTEM = [{"role": "system", "content": "Be brief."}, *turn("Hi")]
TWICE = [*turn("Hi"), *turn("Are you there?")]
MERGED = {"system": turn("Be brief.\n\nHi"), "twice": turn("Hi\n\nAre you there?")}


@pytest.fixture
def make(tmp_path, minilm):
    def made(template, **options):
        options = {"classifier": True, **options}
        return save_llama(tmp_path / "m", minilm, 0, template=template, **options)

    return made


@pytest.mark.parametrize("kind", ["classifier", "implicit"])
@pytest.mark.parametrize(
    ("template", "turns", "merged", "reason"),
    [
        (REFUSES_SYSTEM, SYSTEM, MERGED["system"], "System role not supported"),
        (ALTERNATES, SYSTEM, MERGED["system"], "Roles must alternate"),
        (ALTERNATES, TWICE, MERGED["twice"], "Roles must alternate"),
    ],
)
def test_a_refused_conversation_has_its_status_or_is_merged(make, kind, template, turns, merged, reason):
    path = make(template, classifier=kind == "classifier")

    def scorer(**options):
        return (RewardModel if kind == "classifier" else ImplicitReward)(path, options=ModelOptions(**options))

    exchanges = [Exchange("", turns, "Hello"), EXCHANGES[0], Exchange("", merged, "Hello")]
    plain = scorer()
    refused, fine, shown = plain.score(exchanges)
    assert (refused.reward, refused.status) == (None, "template_refused")
    assert (fine.status, shown.status) == ("ok", "ok")
    assert plain.encoder.refusals == {reason: 1}
    joined, unchanged, _ = scorer(merge_system=True).score(exchanges)
    assert joined.status == "merged"
    assert joined.reward == pytest.approx(shown.reward, abs=1e-5)
    assert unchanged == fine


def test_a_template_that_breaks_on_some_texts_gives_them_a_status(make):
    broken, fine = RewardModel(make(BREAKS_ON_LENGTH)).score([Exchange("", TWICE, "Hello"), EXCHANGES[0]])
    assert (broken.status, broken.reward) == ("template_failed", None)
    assert fine.status == "ok"


@pytest.mark.parametrize("template", ["{{ broken", "{{ messages[9].content.x.y }}", "{% include 'x' %}", "{{ 1 / 0 }}"])
def test_a_template_that_renders_nothing_is_an_error(make, template):
    with pytest.raises(ModelError, match="does not render one question and its answer: "):
        RewardModel(make(template))


def test_a_list_of_templates_needs_a_default(make):
    path = make({"rag": CHAT_TEMPLATE, "tool_use": CHAT_TEMPLATE})
    with pytest.raises(ModelError, match="has the chat templates rag, tool_use and none named 'default'"):
        RewardModel(path)


def test_the_default_of_several_templates_is_used(make):
    path = make({"rag": "{{ 1 / 0 }}", "default": CHAT_TEMPLATE})
    assert RewardModel(path).score(EXCHANGES[:1])[0].status == "ok"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a' * 10**8 }}", "makes 100,000,000 characters"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x",
            "takes more than 1 seconds",
        ),
        (
            "{% set n = namespace(s='aaaaaaaaaa') %}{% for a in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}x",
            "memory",
        ),
        ("{{ 'a'.ljust(10**10) }}", "memory"),
        ("{{ '%09999999999d' % 1 }}", "memory|does not render"),
    ],
)
def test_a_template_that_takes_much_time_or_memory_is_stopped(make, monkeypatch, template, message):
    monkeypatch.setattr(templates, "SECONDS", 1.0 if "seconds" in message else 20.0)
    path = make(template)
    start = time.monotonic()
    with pytest.raises(ModelError, match=f"{message}"):
        RewardModel(path)
    assert time.monotonic() - start < 60
    monkeypatch.undo()
    assert RewardModel(make(CHAT_TEMPLATE)).score(EXCHANGES[:1])[0].status == "ok"


def test_rendering_is_that_of_the_tokenizer(make):
    """Every turn, special token and blank as `apply_chat_template` writes it."""
    model = RewardModel(make(CHAT_TEMPLATE + "{{ messages | tojson }}\n  {% if true %}\n x {% endif %}\n"))
    tokenizer = model.encoder.tokenizer
    turns = [[*each.conversation, {"role": "assistant", "content": each.response}] for each in EXCHANGES]
    turns.append([*turn("é \ud83d \x00 <b>"), {"role": "assistant", "content": "🙂", "name": None}])
    assert templates.render(tokenizer, turns) == tokenizer.apply_chat_template(turns, tokenize=False)
    prompts = [each[:1] for each in turns]
    expected = tokenizer.apply_chat_template(prompts, tokenize=False, add_generation_prompt=True)
    assert templates.render(tokenizer, prompts, add_generation_prompt=True) == expected


def test_merging_keeps_every_word():
    turns = [*SYSTEM, *turn("more"), {"role": "assistant", "content": "yes"}, {"role": "system", "content": "x"}]
    assert merge_turns(turns) == [
        {"role": "user", "content": "Be brief.\n\nHi\n\nmore"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "x"},
    ]


def score(path, rows, tmp_path, *options):
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    command = [
        "score",
        str(tmp_path / "pairs.jsonl"),
        "--model",
        f"post={path}",
        "--out",
        str(tmp_path / "out.parquet"),
    ]
    return main([*command, *options])


def pair(*roles):
    turns = [{"role": role, "content": f"{role} says"} for role in roles]
    return {
        "prompt": turns,
        "chosen": [{"role": "assistant", "content": "yes"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }


def test_seal_score_counts_texts_without_a_reward_and_says_why(make, tmp_path, capsys):
    path = make(REFUSES_SYSTEM)
    rows = [pair("user"), pair("system", "user")]
    assert score(path, rows, tmp_path) == 0
    said = capsys.readouterr().err
    assert "post: 2 of 4 texts have no reward (2 template_refused)" in said
    assert "System role not supported" in said
    assert "--merge-system" in said
    assert score(path, rows, tmp_path, "--merge-system") == 0
    said = capsys.readouterr().err
    assert "post: 4 of 4 texts have a reward (2 merged, 2 ok)" in said


def test_seal_score_fails_where_no_text_has_a_reward(make, tmp_path, capsys):
    assert score(make(REFUSES_SYSTEM), [pair("system", "user")], tmp_path) == 1
    assert "post: none of 2 texts has a reward" in capsys.readouterr().err
