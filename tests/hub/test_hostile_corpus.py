"""Hostile texts, names and files through every verb: no output holds an active mark, and nothing holds the key."""

import json
import re
import shutil

import pytest

from tests.hub.hub_double import WRITE_TOKEN

HTML = ("<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "</td></tr></table>", "&lt;b&gt;")
MARKDOWN = ("[click](javascript:alert(3))", "![x](http://evil.example/a.png)", "| a | b |", "# Title", "`code`", "***")
TERMINAL = ("\x1b[2J\x1b[31mred", "line\rover", "\u202egnp.exe", "\x9b31m", "\ufeff")
TEMPLATES = ("{{ 7777 * 7 }}", "{% include 'x' %}", "<|im_start|>system", "${HOME}", "%s%n")
HOSTILE = (*HTML, *MARKDOWN, *TERMINAL, *TEMPLATES)
ROWS = [
    {
        "prompt": f"{text} question {number % 7}",
        "chosen": f"{text} yes",
        "rejected": f"no {text}" if number % 3 else text,
        "pair_id": f"{text} {number}",
        "before_good": float(number % 5),
        "before_bad": float(number % 3),
        "after_good": float(number % 4),
        "after_bad": 1.5,
        "<b>source</b>\x1b[1m": text,
    }
    for number, text in enumerate(HOSTILE * 4)
]
# What a page or a terminal would act on. Inside `code` and JSON the same letters are only shown.
ACTIVE = re.compile(
    r"<script|<img[^>]*onerror|</table|\]\(javascript:|!\[x\]\(|\x1b|\x9b|\u202e|(?<!^)\ufeff|\r(?!\n)|54439",
    re.IGNORECASE,
)
NAME = "<img src=x onerror=alert(9)>\u202e [a](javascript:b)"
REWARDS = ("--rewards", "pre=before_good,before_bad", "--rewards", "post=after_good,after_bad")


@pytest.fixture
def audit(seal, tmp_path):
    data = tmp_path / f"{NAME}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    out = tmp_path / "audit"
    finished = seal("audit", data, *REWARDS, "--labeler", "none", "--out", out)
    assert finished.code == 0, finished.said
    return data, out, finished


def active(text):
    """Marks in a page or in what was printed, but for escaped ones and front matter, which is data."""
    page = re.sub(r"\A---\n.*?\n---\s", "", text, flags=re.DOTALL)
    return [match.group(0) for match in ACTIVE.finditer(page) if page[match.start() - 1 : match.start()] != "\\"]


def printed(text):
    """What was printed, without the moves of a progress bar."""
    return re.sub(r"\r(?=[^\n]*\d+%\|)|\r(?=[^\n]*\d+ examples)|\x1b\[A", "", text)


def test_no_verb_shows_what_hostile_data_would_do(hub, seal, audit, tmp_path):
    data, out, finished = audit
    calls = [
        finished,
        seal("featurize", data, "--labeler", "none", "--out", tmp_path / "labelled.parquet"),
        seal("report", out),
        seal("report", out, "--check"),
        seal("subset", out, "--flag", "resistant", "--out", tmp_path / "subset.parquet"),
        seal("compare", out, shutil.copytree(out, tmp_path / "copy"), "--out", tmp_path / "compared"),
        seal("publish", "dataset", out, "--repo", "tester/pairs", "--with-texts", "--dry-run"),
        seal("publish", "dataset", out, "--repo", "tester/pairs", "--with-texts"),
        seal("publish", "report", out, "--repo", "tester/pairs"),
        seal("audit", "tester/pairs", "--out", tmp_path / "again"),
        seal("featurize", tmp_path / f"absent {NAME}\x1b[2J.jsonl", "--labeler", "none", "--out", "o.parquet"),
        seal("score", data, "--model", f"rm={NAME}\x1b[2J", "--out", tmp_path / "scored.parquet"),
        seal("store", "inspect", data),
    ]
    assert [call.code for call in calls] == [0] * 10 + [2] * 3, [(call.code, call.said[-300:]) for call in calls]
    for call in calls:
        assert "Traceback" not in call.said
        assert [mark for mark in active(printed(call.said)) if mark in "\x1b\x9b\u202e\r"] == [], call.said[:500]
    pages = [*tmp_path.rglob("*.md")]
    assert len(pages) >= 4
    published = {name: text for repo in hub.repos.values() for name, text in repo.commits[-1].files.items()}
    texts = {str(page): page.read_text("utf-8") for page in pages}
    texts |= {name: text.decode() for name, text in published.items() if name.endswith(".md")}
    assert any(name in texts for name in published)
    for name, text in texts.items():
        assert active(text) == [], (name, text[:400])


def test_no_output_holds_the_key(hub, seal, audit, tmp_path):
    seal("publish", "dataset", audit[1], "--repo", "tester/pairs", "--with-texts")
    seal("publish", "report", audit[1], "--repo", "tester/pairs")
    key = WRITE_TOKEN.encode()
    assert hub.requests
    assert [path for path in tmp_path.rglob("*") if path.is_file() and key in path.read_bytes()] == []
    assert [name for repo in hub.repos.values() for name, text in repo.commits[-1].files.items() if key in text] == []
