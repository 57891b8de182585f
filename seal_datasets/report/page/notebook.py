"""Reports in a notebook: they display themselves, and each of their sections alone."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq  # type: ignore[import-untyped]
from markupsafe import Markup

from seal_datasets import schema
from seal_datasets.errors import DataError
from seal_datasets.report.audited_models import models_of
from seal_datasets.report.files import PAGE_FILE, PAIRS_FILE, features_of, read_report
from seal_datasets.report.page.document import rests_on, sentence_parts
from seal_datasets.report.page.draw import as_svg
from seal_datasets.report.page.figure import Figure
from seal_datasets.report.page.first_pairs import first_pairs
from seal_datasets.report.page.pair_columns import has_crude_words, has_texts, resistant, used_pairs
from seal_datasets.report.page.sections import Section, sections_of
from seal_datasets.report.page.template import page_template, read_asset
from seal_datasets.report.page.verdict import Sentence, verdict
from seal_datasets.theme import WIDE

_LONGEST = 2_000
_VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class StaticPair:
    """A pair as a notebook shows it.

    Attributes:
        pair_id (`str`): Its id.
        why (`str`): Why it is shown.
        prompt (`str`): The prompt.
        chosen (`str`): The chosen response.
        rejected (`str`): The rejected response.
        crude (`bool`): Whether a response has crude words; its texts are folded until asked for.
    """

    pair_id: str
    why: str
    prompt: str
    chosen: str
    rejected: str
    crude: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A section that a notebook displays.

    Attributes:
        title (`str`): Its heading.
        html (`str`): Static HTML with its own style: no script, no link out, every string escaped.
    """

    title: str
    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<{self.title}; shown in a notebook>"


class Displayed(dict[str, Any]):
    """A mapping of results that displays its verdict and main pictures in a notebook."""

    main: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def sentences(self) -> list[Sentence]:
        """The verdict."""

    @abstractmethod
    def sections(self) -> list[Section]:
        """All sections, in order."""

    @abstractmethod
    def first_pairs(self) -> list[StaticPair]:
        """Pairs to read first."""

    @property
    def page(self) -> Path | None:
        """The file with all of it, if there is one."""
        return None

    def _repr_html_(self) -> str:
        try:
            sections = [section for section in self.sections() if section.id in self.main]
        except DataError:  # the folder is gone, and the numbers are still here
            sections = []
        figures = [figure for section in sections for figure in section.figures[:1]]
        return _render(self, sentences=self.sentences(), figures=figures, page=self.page)


class Report(Displayed):
    """The content of `report.json`: a mapping that displays itself in a notebook.

    Attributes:
        folder (`Path`): Folder of the audit, from which pictures of pairs are read when they are shown.
    """

    main = ("alignment", "rewarded")

    def __init__(self, content: Mapping[str, Any], folder: str | Path) -> None:
        super().__init__(content)
        self.folder = Path(folder).absolute()

    def sentences(self) -> list[Sentence]:
        """The verdict."""
        return verdict(self)

    def sections(self) -> list[Section]:
        """All sections, in order."""
        return sections_of(self, self._used())

    def first_pairs(self) -> list[StaticPair]:
        """Pairs to read first: those most against people's choice."""
        run, used = self["run"], self._used()
        heldout = self["population"]["estimated_on"] == "heldout"
        against = resistant(used, models_of(run).last, float(run.get("tie_band", 0.0)), heldout=heldout)
        found = first_pairs(used, self, against)
        names = [schema.PAIR_ID, schema.PROMPT, *schema.SIDES]
        path = self.folder / PAIRS_FILE
        if not has_texts(path):
            return [StaticPair(each["id"], each["why"], "", "", "") for each in found]
        ids = [each["id"] for each in found]
        table = pq.read_table(path, columns=names, filters=[(schema.PAIR_ID, "in", ids)]) if ids else None
        rows = {} if table is None else {str(row[schema.PAIR_ID]): row for row in table.to_pylist()}
        crude = set(used[schema.PAIR_ID][has_crude_words(used)].astype(str))
        return [
            StaticPair(each["id"], each["why"], **_texts(rows[each["id"]]), crude=each["id"] in crude) for each in found
        ]

    @property
    def page(self) -> Path | None:
        """The report's page."""
        page = self.folder / PAGE_FILE
        return page if page.is_file() else None

    def _used(self) -> Any:  # noqa: ANN401 - a table
        path = self.folder / PAIRS_FILE
        if not path.is_file():
            raise DataError(
                f"{path} does not exist any more; read the report from where its folder is: show(FOLDER, ...)"
            )
        return used_pairs(path, features_of(self["run"]), models_of(self["run"]))


def show(report: Displayed | str | Path, section: str = _VERDICT) -> Shown:
    """Draw one section of a report or of a comparison, for a notebook.

    Args:
        report (`Report`, `Comparison`, `str` or `Path`): What `run_audit`, `write_report` or `compare_audits` returned, or the
            folder of a finished audit.
        section (`str`, defaults to `"verdict"`): Name of a section: `"verdict"`, or as in the addresses of the page, such as
            `"alignment"`, `"rewarded"` or `"pairs"`.

    Returns:
        `Shown`: What a notebook displays: static HTML with its own style.

    Raises:
        DataError: There is no such section, or the report is something else.
    """
    if isinstance(report, (str, Path)):
        report = Report(read_report(Path(report)), report)
    if not isinstance(report, Displayed):
        raise DataError(
            f"report is a {type(report).__name__}; give what run_audit, write_report or compare_audits returned, or the folder "
            "of a finished audit"
        )
    if section == _VERDICT:
        return Shown("Verdict", _render(report, sentences=report.sentences()))
    sections = {each.id: each for each in report.sections()}
    if section not in sections:
        raise DataError(f"there is no section {section!r}; there are {', '.join([_VERDICT, *sections])}")
    found = sections[section]
    pairs = report.first_pairs() if section == "pairs" and not found.empty else []
    return Shown(found.title, _render(report, section=found, figures=found.figures, pairs=pairs))


def _render(
    report: Displayed,
    *,
    sentences: Sequence[Sentence] = (),
    section: Section | None = None,
    figures: Sequence[Figure] = (),
    pairs: Sequence[StaticPair] = (),
    page: Path | None = None,
) -> str:
    drawn = [
        {"title": each.title, "lead": each.lead, "note": each.note, "columns": each.columns, "rows": each.rows}
        | {"svg": _svg(each)}
        for each in figures
    ]
    return page_template("notebook.html").render(
        style=Markup(read_asset("notebook.css")),
        verdict=sentence_parts(sentences),
        rests_on=rests_on(sentences),
        section=section,
        figures=drawn,
        pairs=[_cut(pair) for pair in pairs],
        page=None if page is None else str(page),
        names=", ".join(report.main),
    )


def _svg(figure: Figure) -> Markup:
    """A picture without links, whose ids are no other picture's in the notebook."""
    svg = as_svg(figure.draw(WIDE), links=False)
    own = hashlib.blake2b(svg.encode(), digest_size=6).hexdigest()
    svg = re.sub(r'(\bid="|url\(#)(clip\d+)', rf"\1\2-{own}", svg)
    # A notebook's rules for pictures would outweigh the attribute.
    return Markup(re.sub(r'^<svg([^>]*) width="(\d+)"', r'<svg\1 width="\2" style="width:\2px"', svg))


def _texts(row: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        "prompt": row[schema.PROMPT] or "",
        "chosen": row[schema.CHOSEN] or "",
        "rejected": row[schema.REJECTED] or "",
    }


def _cut(pair: StaticPair) -> dict[str, Any]:
    texts = {name: getattr(pair, name).strip() for name in ("prompt", "chosen", "rejected")}
    cut = {
        name: text
        if len(text) <= _LONGEST
        else f"{text[:_LONGEST]}\n[cut here: {len(text) - _LONGEST:,} more characters]"
        for name, text in texts.items()
    }
    return {"id": pair.pair_id, "why": pair.why, "crude": pair.crude, **cut}
