"""A sheet of questions to be filled elsewhere, and its check when it comes back."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seal_datasets.atomic import replacing, write_text
from seal_datasets.errors import DataError, import_extra
from seal_datasets.gold.items import Item
from seal_datasets.gold.journal import Answer
from seal_datasets.gold.table import gold_table
from seal_datasets.labels.gold import parse_label
from seal_datasets.labels.taxonomy import Feature, Taxonomy

_TEXT = "text"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# What a workbook takes: characters of a cell, and of a list of choices.
_MOST_OF_CELL, _MOST_OF_CHOICES = 32_767, 255
_NOT_IN_XML = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CUT = " [cut here: a cell holds no more]"


def text_ids(items: Sequence[Item]) -> dict[str, Item]:
    """Names of texts that tell nothing of their sides, in order: `t0001` and so on."""
    return {f"t{number:04d}": item for number, item in enumerate(items, 1)}


def write_sheet(items: Sequence[Item], taxonomy: Taxonomy, path: Path) -> Path:
    """Write a sheet with a row for each text and an empty column for each feature.

    Args:
        items (`Sequence[Item]`): Texts, in the order of the sheet.
        taxonomy (`Taxonomy`): Features; the first row holds the questions.
        path (`Path`): A `.csv` or `.xlsx` file.

    Returns:
        `Path`: The file. A text that a spreadsheet would take for a formula gets an apostrophe before it. In a workbook a text
        of more than 32,767 characters is cut, and says so at its end.

    Raises:
        DataError: The file has another ending.
    """
    columns = [_TEXT, "prompt", "response", *taxonomy.names]
    questions = [
        "",
        "",
        "the question:",
        *(_as_text(f"{feature.question} ({_allowed(feature)})") for feature in taxonomy.features),
    ]
    rows = [
        [name, _as_text(item.prompt), _as_text(item.response), *([""] * len(taxonomy.names))]
        for name, item in text_ids(items).items()
    ]
    if path.suffix == ".csv":
        write_text(path, pd.DataFrame([questions, *rows], columns=columns).to_csv(index=False))
        return path
    if path.suffix != ".xlsx":
        raise DataError(f"a sheet is a .csv or .xlsx file, got {path.name!r}")
    library = import_extra("openpyxl", purpose="write an xlsx sheet")
    book = library.Workbook()
    page = book.active
    for row in [columns, questions, *rows]:
        page.append([_as_cell(cell) for cell in row])
    page.freeze_panes = "D3"
    for place, feature in enumerate(taxonomy.features):
        if choices := _choices(feature):
            allowed = library.worksheet.datavalidation.DataValidation(
                type="list", formula1=f'"{choices}"', allow_blank=True
            )
            page.add_data_validation(allowed)
            letter = library.utils.get_column_letter(4 + place)
            allowed.add(f"{letter}3:{letter}{len(rows) + 2}")
    with replacing(path) as unfinished:
        book.save(unfinished)
    return path


def check_sheet(
    path: Path, items: Sequence[Item], taxonomy: Taxonomy, probability: dict[str, float]
) -> tuple[str, int]:
    """Check a filled sheet.

    Args:
        path (`Path`): The sheet.
        items (`Sequence[Item]`): The texts that it was written for.
        taxonomy (`Taxonomy`): Features.
        probability (`dict[str, float]`): Probability of being drawn, by prompt.

    Returns:
        `tuple[str, int]`: The table of gold labels as CSV, and the number of cells that are still empty or whose rows are gone.

    Raises:
        DataError: It cannot be read, a column is missing, a text is unknown or repeated, or a cell is not an answer; the first
            such cell is named, with how many there are.
    """
    table = _read(path)
    lacking = [name for name in (_TEXT, *taxonomy.names) if name not in table.columns]
    if lacking:
        raise DataError(f"{path}: the column {lacking[0]!r} is missing; keep the columns of the sheet as they were")
    known, wrong = text_ids(items), []
    answers: dict[tuple[str, str, str], Answer] = {}
    seen: set[str] = set()
    for place, row in enumerate(table.to_dict("records"), 2):
        name = str(row[_TEXT]).strip()
        if not name:
            continue
        if name not in known or name in seen:
            what = "twice" if name in seen else "which was not drawn"
            raise DataError(
                f"{path}, row {place}: the text {name!r} is there {what}; give the sheet that was written here"
            )
        seen.add(name)
        for feature in taxonomy.features:
            cell = str(row[feature.name]).strip()
            try:
                label = _parse(cell, feature, place)
            except DataError as error:
                wrong.append(
                    f"row {place}, column {feature.name!r}: {cell!r} is no answer ({error}); give {_allowed(feature)}"
                )
                continue
            item = known[name]
            answers[item.pair_id, item.side, feature.name] = Answer(
                "sheet", item.pair_id, item.side, feature.name, label
            )
    if wrong:
        more = f" ({len(wrong):,} such cells)" if len(wrong) > 1 else ""
        raise DataError(f"{path}, {wrong[0]}{more}")
    n_given = sum(answer.answer is not None for answer in answers.values())
    return gold_table(items, taxonomy, probability, answers), len(known) * len(taxonomy.features) - n_given


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".xlsx":
            import_extra("openpyxl", purpose="read an xlsx sheet")
            return pd.read_excel(path, dtype=str, keep_default_na=False, engine="openpyxl").fillna("")
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None, engine="python")
        return table.fillna("")  # rows may be short
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read the sheet {path}: {error}; give the filled .csv (UTF-8) or .xlsx file") from error


def _parse(cell: str, feature: Feature, row: int) -> Any:  # noqa: ANN401 - a label
    if not cell:
        return None
    if feature.type == "labels" and not cell.startswith("["):
        words = [word.strip() for word in cell.split(";") if word.strip()]
        is_none = words == ["none"] and "none" not in feature.answers
        return parse_label([] if is_none else words, feature, feature.name, row)
    if feature.type == "bool":
        cell = {"yes": "true", "no": "false"}.get(cell.lower(), cell)
    return parse_label(cell, feature, feature.name, row)


def _allowed(feature: Feature) -> str:
    if feature.type == "bool":
        return "true or false"
    answers = ", ".join(feature.answers)
    return answers if feature.type == "ordinal" else f"any of {answers}, with ; between, or none"


def _choices(feature: Feature) -> str:
    """Answers to choose from in a workbook; empty where there may be several, or its list cannot hold them."""
    answers = ("true", "false") if feature.type == "bool" else feature.answers
    choices = ",".join(answers)
    fits = len(choices) <= _MOST_OF_CHOICES and not any("," in answer or '"' in answer for answer in answers)
    return choices if fits and feature.type != "labels" else ""


def _as_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _as_cell(text: str) -> str:
    """What a workbook can hold: its XML takes no control characters and no U+FFFE and U+FFFF, and its cells end."""
    text = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= _MOST_OF_CELL else text[: _MOST_OF_CELL - len(_CUT)] + _CUT
