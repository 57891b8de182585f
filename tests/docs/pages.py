"""Pages of the documentation and what is in them: blocks, commands, files, links, sentences."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
GENERATED = {"reference/commands.md", "notebooks/*.md"}  # written by scripts/site_pages.py, not committed
RUN_APART = {"train-with-trl"}  # tests/test_train_guide.py
EXECUTED = [
    DOCS / "start.md",
    *(page for page in GUIDES if page.stem not in RUN_APART),
    DOCS / "concepts.md",
    DOCS / "faq.md",
    DOCS / "index.md",
]
EXECUTED += [DOCS / "reference" / "quantities.md"]
COMMITTED = [path for path in sorted(DOCS.rglob("*.md")) if not any(map(path.relative_to(DOCS).match, GENERATED))]


class Block(NamedTuple):
    """A fence: its language, the file that it stands for if it has a title, and its text."""

    kind: str
    title: str | None
    text: str


def blocks_of(path):
    text = path.read_text("utf-8")
    for kind, title, block in re.findall(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```', text, flags=re.M | re.S):
        yield Block(kind, title or None, block)


def commands_of(block):
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def prose_of(path):
    """The text that a person reads: no fences, no tables, no pictures."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    text = re.sub(r"^(?:\||#|!\[|:::).*$", "", text, flags=re.M)
    text = re.sub(r"^    .*$", "", text, flags=re.M)
    text = re.sub(r"`[^`]*`", "code", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def sentences_of(path):
    for paragraph in re.split(r"\n\s*\n|\n(?=- )", prose_of(path)):
        for sentence in re.split(r"(?<=[.!?:;])\s+|\s-\s", " ".join(paragraph.split())):
            if sentence:
                yield sentence
