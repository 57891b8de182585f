"""A page as a whole: verdict, what to do, sections, and a reader of pairs, in one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from markupsafe import Markup

from seal_datasets.report.page.draw import as_svg
from seal_datasets.report.page.figure import Figure
from seal_datasets.report.page.sections import Section
from seal_datasets.report.page.template import page_template, policy_hash, read_asset
from seal_datasets.report.page.verdict import Sentence
from seal_datasets.theme import NARROW, WIDE
from seal_datasets.version import __version__


@dataclass(frozen=True, slots=True)
class Document:
    """What a page says.

    Attributes:
        title (`str`): Its heading.
        byline (`str`): What it is of.
        verdict (`Sequence[Sentence]`): What was found, in a few sentences.
        steps (`Sequence[tuple[str, str]]`): What to do, each with the state of the page that shows it; empty for none.
        sections (`Sequence[Section]`): In order; the reader of pairs stands in the one with the id `pairs`.
        first (`Sequence[Mapping[str, str]]`): Pairs to read first, each with `id` and `why`.
        note (`str`): What the page holds, where that is not everything.
        data (`Mapping[str, Any]`): Pairs for the reader, JSON-ready; `n` is their number.
        again (`str`): How to compute the page's numbers again.
    """

    title: str
    byline: str
    verdict: Sequence[Sentence]
    steps: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    first: Sequence[Mapping[str, str]]
    note: str
    data: Mapping[str, Any]
    again: str


def render_document(document: Document) -> str:
    """Render a page as one HTML file.

    Args:
        document (`Document`): What it says.

    Returns:
        `str`: The page, without a reference to anything outside of it but links.
    """
    opens_file = document.data.get("file") is not None
    reader = ("vendor/hyparquet.js", "pair_file.js", "file_control.js") if opens_file else ()
    style, script = read_asset("page.css"), "\n".join(map(read_asset, (*reader, "logic.js", "page.js")))
    return page_template().render(
        version=__version__,
        title=document.title,
        byline=document.byline,
        verdict=sentence_parts(document.verdict),
        rests_on=rests_on(document.verdict),
        steps=document.steps,
        sections=[_drawn(section) for section in document.sections],
        first=document.first,
        note=document.note,
        again=document.again,
        opens_file=opens_file,
        style=Markup(style),
        style_hash=policy_hash(style),
        script=Markup(script),
        script_hash=policy_hash(script),
        # `<` cannot end the element, and neither can a comment begin.
        data=Markup(json.dumps(document.data, allow_nan=False).replace("<", "\\u003c")),
    )


def sentence_parts(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    """Sentences as a template takes them: what stands before, in and after bold type."""
    return [{"parts": _parts(sentence)} for sentence in sentences]


def rests_on(sentences: Sequence[Sentence]) -> list[str]:
    """What the numbers of sentences rest on, each once."""
    return list(dict.fromkeys(sentence.rests_on for sentence in sentences if sentence.rests_on))


def _parts(sentence: Sentence) -> tuple[str, str, str]:
    if not sentence.strong:
        return (sentence.text, "", "")
    before, strong, after = sentence.text.partition(sentence.strong)
    return before, strong, after


def _drawn(section: Section) -> dict[str, Any]:
    """A section's fields, with its figures drawn."""
    return {**_fields(section), "figures": [_picture(figure) for figure in section.figures]}


def _picture(figure: Figure) -> dict[str, Any]:
    """A figure's fields, with its drawings and its numbers as a file."""
    return {
        **_fields(figure),
        "columns": figure.columns,
        "wide": Markup(as_svg(figure.draw(WIDE))),
        "narrow": Markup(as_svg(figure.draw(NARROW))),
        "csv": base64.b64encode(figure.to_csv().encode()).decode("ascii"),
    }


def _fields(made: Section | Figure) -> dict[str, Any]:
    return {field.name: getattr(made, field.name) for field in fields(made)}
