"""`docs/reference/forms.md` has a section for each declared form, with its columns and a sample that loads in this form."""

import re
from pathlib import Path

import datasets
import pytest

from seal_datasets.data.formats import SPELLINGS
from seal_datasets.data.load import load_pairs

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "forms.md"


def columns_of(name):
    """The lines about the columns of all spellings of a form."""
    spellings = [spelling for spelling in SPELLINGS if spelling.name == name]
    rows = {"Responses": [], "Prompt": [], "Verdict": [], "Authors": []}
    for spelling in spellings:
        rows["Responses"].append(", ".join(f"`{column}`" for column in spelling.responses))
        rows["Prompt"] += [f"`{column}`" for column in spelling.prompt] or ["the start of each response"]
        verdict = (spelling.winner, spelling.preference, *spelling.winner_flags, *spelling.scores)
        words = ", ".join(f"`{column}`" for column in verdict if column)
        kind = " (the lower wins)" if spelling.low_wins else " (one row for each response)" if spelling.gathered else ""
        rows["Verdict"].append(f"{words}{kind}" if words else "the first is better")
        rows["Authors"] += [", ".join(f"`{column}`" for column in columns) for columns in spelling.authors]
    return "\n".join(f"- {row}: {' or '.join(dict.fromkeys(choices))}" for row, choices in rows.items() if choices)


def sections():
    parts = re.split(r"^## (.+)\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


NAMES = list(dict.fromkeys(spelling.name for spelling in SPELLINGS))


def test_the_page_has_a_section_for_each_form_in_the_order_in_which_they_are_tried():
    assert [name for name in sections() if name not in ("The prompt", "Files", "Problems")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_columns_are_the_declared_ones_and_the_sample_is_read_in_its_form(name, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    text, sample = sections()[name].strip().split("\n\n```json\n")
    assert text == columns_of(name)
    lines = sample.removesuffix("\n```").split("\n")
    assert len(lines) == 2
    (tmp_path / "sample.jsonl").write_text("\n".join(lines), "utf-8")
    pairs, diagnosis = load_pairs(tmp_path / "sample.jsonl")
    assert diagnosis.form == name
    assert diagnosis.problems == {}
    better = {"The Baltic.", "Como.", "Bonne nuit.", "Short."}
    assert {text.strip() for text in pairs["chosen"]} <= better
    assert not better & {text.strip() for text in pairs["rejected"]}
