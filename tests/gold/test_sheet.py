"""A sheet goes out and comes back; what is no answer in it is named."""

import pandas as pd
import pytest

from seal_datasets import add_gold
from seal_datasets.cli import main
from seal_datasets.errors import DataError
from seal_datasets.gold.items import Item
from seal_datasets.gold.sheet import check_sheet, write_sheet
from seal_datasets.labels.taxonomy import Feature, Taxonomy
from tests.gold.test_desk import TAXONOMY, desk_of, pairs_of

ANSWERS = {
    "last_response_is_helpful": "yes",
    "last_response_sentiment": "negative",
    "topics": "history and events; people and self",
}


def filled(path, desk, change=None):
    write_sheet(desk.items, TAXONOMY, path)
    reader = pd.read_excel if path.suffix == ".xlsx" else pd.read_csv
    table = reader(path, dtype=str).fillna("")
    assert list(table.columns) == ["text", "prompt", "response", *TAXONOMY.names]
    for name, answer in ANSWERS.items():
        table.loc[1:, name] = answer
    if change:
        change(table)
    table.to_excel(path, index=False) if path.suffix == ".xlsx" else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_filled_sheet_is_a_table_of_gold_labels(tmp_path, ending):
    pairs = pairs_of()
    desk = desk_of(tmp_path, pairs)
    table, n_empty = check_sheet(filled(tmp_path / f"s.{ending}", desk), desk.items, TAXONOMY, desk.probability)
    (tmp_path / "gold.csv").write_text(table)
    gold = add_gold(pairs, tmp_path / "gold.csv", TAXONOMY)
    assert n_empty == 0
    assert gold["gold_last_response_is_helpful_chosen"][:5] == [True] * 5
    assert gold["gold_last_response_sentiment_rejected"][:5] == [-1] * 5
    assert gold["gold_topics_chosen"][0] == ["history and events", "people and self"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.__setitem__("last_response_sentiment", "warm"), r"row 3.*'warm' is no answer.*such cells"),
        (lambda table: table.__setitem__("text", "t9999"), "'t9999' is there which was not drawn"),
        (lambda table: table.__setitem__("text", "t0001"), "'t0001' is there twice"),
        (lambda table: table.pop("topics"), "the column 'topics' is missing"),
        (lambda table: table.__setitem__("topics", "[history"), r"row 3.*'\[history' is no answer"),
    ],
)
def test_a_sheet_that_is_wrong_is_refused_with_its_cell(tmp_path, change, message):
    desk = desk_of(tmp_path, pairs_of())
    with pytest.raises(DataError, match=message):
        check_sheet(filled(tmp_path / "s.csv", desk, change), desk.items, TAXONOMY, desk.probability)


def test_formulas_are_text_and_other_files_are_refused(tmp_path):
    pairs = pairs_of()
    rows = pairs.to_list()
    rows[0]["chosen"] = "=HYPERLINK(1)"
    from datasets import Dataset

    desk = desk_of(tmp_path, Dataset.from_list(rows, features=pairs.features))
    write_sheet(desk.items, TAXONOMY, tmp_path / "s.csv")
    assert "'=HYPERLINK(1)" in (tmp_path / "s.csv").read_text()
    with pytest.raises(DataError, match=r"a \.csv or \.xlsx file"):
        write_sheet(desk.items, TAXONOMY, tmp_path / "s.ods")
    with pytest.raises(DataError, match="cannot read the sheet"):
        check_sheet(tmp_path / "absent.csv", desk.items, TAXONOMY, desk.probability)


SCALE = Feature("scale", "spoiler", "response", "ordinal", "How?", None, (("all or none", 0), ("None", 1), ("yes", 2)))
TOPIC = Feature("topic", "spoiler", "response", "labels", "=Which?", None, (("none", 0), ("art", 1)))
TWO = [Item("p", "chosen", "q", "Hi\uffff", "a\x07" + "b" * 40_000), Item("p", "rejected", "q", "Hi", "c")]


def answered(path, *answers):
    """A sheet of two texts whose first rows have these answers."""
    taxonomy = Taxonomy("mine", "1", (SCALE, TOPIC))
    write_sheet(TWO, taxonomy, path)
    is_book = path.suffix == ".xlsx"
    table = pd.read_excel(path, dtype=str, keep_default_na=False) if is_book else pd.read_csv(path, dtype=str)
    for row, (scale, topic) in enumerate(answers, 1):
        table.loc[row, ["scale", "topic"]] = [scale, topic]
    table = table[: len(answers) + 1]
    table.to_excel(path, index=False) if is_book else table.to_csv(path, index=False)
    return check_sheet(path, TWO, taxonomy, {"q": 0.5})


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_words_of_a_scale_are_its_answers_and_not_yes_no_or_empty(tmp_path, ending):
    table, n_empty = answered(tmp_path / f"s.{ending}", ("yes", "none"), ("None", "art"))
    assert table.splitlines()[1] == """p,0.5,yes,None,"[""none""]","[""art""]",,"""
    assert n_empty == 0


def test_rows_that_are_gone_count_as_empty(tmp_path):
    assert answered(tmp_path / "s.csv", ("yes", "art"))[1] == 2


def test_a_row_that_is_too_short_is_empty_at_its_end(tmp_path):
    (tmp_path / "s.csv").write_text("text,prompt,response,scale,topic\nt0001,Hi,a,yes\nt0002,Hi,c,yes,art\n")
    assert check_sheet(tmp_path / "s.csv", TWO, Taxonomy("mine", "1", (SCALE, TOPIC)), {"q": 0.5})[1] == 1


def test_a_workbook_says_where_a_text_is_cut_and_offers_whole_answers(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    commas = Feature("commas", "spoiler", "response", "ordinal", "How?", None, (("yes, quite", 0), ("no", 1)))
    write_sheet(TWO, Taxonomy("mine", "1", (SCALE, TOPIC, commas)), tmp_path / "s.xlsx")
    page = openpyxl.load_workbook(tmp_path / "s.xlsx").active
    response = page["C3"].value
    assert page["B3"].value == "Hi\N{REPLACEMENT CHARACTER}"  # XML cannot hold it
    assert (len(response), response[:3]) == (32_767, "a\N{REPLACEMENT CHARACTER}b")
    assert response.endswith(" [cut here: a cell holds no more]")
    assert page["E2"].value.startswith("'=Which?")
    assert [each.formula1 for each in page.data_validations.dataValidation] == ['"all or none,None,yes"']


@pytest.mark.parametrize("name", ["s.csv", "s.xlsx"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an old one"])
def test_what_is_no_sheet_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read the sheet|the column 'text' is missing"):
        check_sheet(tmp_path / name, TWO, TAXONOMY, {"q": 0.5})


def test_the_command_draws_once_writes_a_sheet_and_checks_it(tmp_path, capsys):
    pairs_of(40).to_json(tmp_path / "pairs.jsonl")
    words = ["gold", str(tmp_path / "pairs.jsonl"), "--out", str(tmp_path / "gold"), "--n", "9"]
    features = ["--features", "last_response_is_helpful"]
    sheet = tmp_path / "sheet.csv"
    assert main([*words, *features, "--headless", str(sheet)]) == 0
    first = sheet.read_text()
    assert main([*words, *features, "--headless", str(sheet), "--n", "20"]) == 0  # the folder's draw stands
    assert sheet.read_text() == first
    table = pd.read_csv(sheet, dtype=str).fillna("")
    table.loc[1:, "last_response_is_helpful"] = "true"
    table.to_csv(sheet, index=False)
    capsys.readouterr()
    assert main([*words, *features, "--check", str(sheet)]) == 0
    said = capsys.readouterr()
    assert "every cell is filled" in said.err
    assert f"--gold {tmp_path / 'gold' / 'gold.csv'}" in said.err
    gold = pd.read_csv(tmp_path / "gold" / "gold.csv")
    assert len(gold) == 9
    assert set(gold["gold_probability"]) <= {3 / 14, 3 / 13}
    assert main([*words, "--features", "last_response_is_refusal", "--headless", str(sheet)]) == 2
    assert "holds a draw for the features last_response_is_helpful" in capsys.readouterr().err
    pairs_of(3).to_json(tmp_path / "few.jsonl")
    assert main(["gold", str(tmp_path / "few.jsonl"), *words[2:], *features, "--headless", str(sheet)]) == 2
    assert "are not in" in capsys.readouterr().err
    assert main(["gold", "--plan"]) == 2
    assert main(["gold"]) == 2
    assert main([*words, *features, "--round", "2", "--headless", str(sheet)]) == 2
    assert "give the folder of its audit" in capsys.readouterr().err
