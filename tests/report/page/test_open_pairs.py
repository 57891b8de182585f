"""Texts that the page does not hold, read in a real browser from the audit's own pairs.parquet on disk."""

import base64
import shutil

import pyarrow.parquet as pq
import pytest

from seal_datasets.report.files import read_audit
from seal_datasets.report.write import write_report
from tests.evaluate_modules.test_app import browser, wait  # noqa: F401 - a fixture
from tests.report.page.test_browser import errors, opened, press, texts

pytestmark = pytest.mark.slow

DROP = """
const [name, content] = arguments, carried = new DataTransfer();
carried.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
for (const kind of ['dragover', 'drop'])
  document.body.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: carried}));
"""


def choose(page, path):
    page.find_element("id", "file").send_keys(str(path))


def test_after_opening_every_pair_shows_its_texts_and_all_are_searched(browser, sampled):  # noqa: F811
    page = opened(browser, sampled, "#order=file")
    assert "texts of 40, equally" in texts(page, "#pairs .meta")[0]
    held = page.execute_script("return JSON.parse(document.getElementById('data').textContent).texts.rows")
    lacking = next(row for row in range(300) if row not in held)
    page.execute_script("location.hash = arguments[0]", f"order=file&pair={read_audit(sampled)[0]['pair_id'][lacking]}")
    wait(page, "#pair .text", "pairs.parquet does: open it above")
    page.execute_script("location.hash = 'order=file&q=which says more'")
    wait(page, "#count", "that this page holds")
    before = int(texts(page, "#count")[0].split()[0])
    choose(page, sampled / "pairs.parquet")
    wait(page, "#opened", "✓ “pairs.parquet” is this report’s file: the texts of all 300 pairs")
    wait(page, "#count", "75 of 300 pairs. Searched are the ids, and the texts of all 300 pairs.")
    assert before < 75
    page.execute_script("location.hash = 'order=file'")
    wait(page, "#count", "300 of 300")
    pairs, _ = read_audit(sampled)
    for place in range(8):
        wait(page, "#pair .meta", f"pair {pairs['pair_id'][place]} ")
        wait(page, "#pair .text.prompt", pairs["prompt"][place])
        wait(page, "#pair .c .text", pairs["chosen"][place].strip())
        wait(page, "#pair .r .text", pairs["rejected"][place].strip())
        press(page, "j")
    page.execute_script("document.getElementById('list').scrollTop = 5000")
    wait(page, "#list .row span:last-child", " ".join(pairs["chosen"][170].split())[:18])
    assert errors(page) == []


def test_crude_texts_of_the_file_are_blurred_text_nodes(browser, hostile, tmp_path):  # noqa: F811
    folder = shutil.copytree(hostile, tmp_path / "audit")
    write_report(folder, texts="none")
    page = opened(browser, folder, "#order=file")
    choose(page, folder / "pairs.parquet")
    wait(page, "#pair .text", "<script>document.title='pwned'</script>")
    seen = ""
    for _ in range(12):
        assert page.execute_script("return document.querySelectorAll('#pair img, #pair a, #pair script').length") == 0
        seen += " ".join(texts(page, "#pair .text"))
        crude = "damn" in texts(page, "#pair .text")[0]
        assert (page.execute_script("return document.querySelectorAll('#pair .text.blur').length") == 3) == crude
        press(page, "j")
        page.execute_async_script("setTimeout(arguments[0], 150)")
    assert "more characters]" in seen
    assert "{{ 7 * 7 }}" in seen
    assert "pwned" not in page.title
    assert errors(page) == []


def test_a_file_that_is_dropped_is_opened_and_others_are_refused_in_plain_words(browser, sampled, tmp_path):  # noqa: F811
    page = opened(browser, sampled)
    whole = (sampled / "pairs.parquet").read_bytes()
    table = pq.read_table(sampled / "pairs.parquet")
    (tmp_path / "pairs.csv").write_text("pair_id,chosen\n1,2\n")
    (tmp_path / "short.parquet").write_bytes(whole[:-100])
    pq.write_table(table.slice(1), tmp_path / "other.parquet")
    pq.write_table(table.select(["prompt_id"]), tmp_path / "something.parquet")
    swapped = table.take([1, 0, *range(2, 300)])
    pq.write_table(swapped, tmp_path / "swapped.parquet")
    for name, message in {
        "pairs.csv": "✗ “pairs.csv” is not a Parquet file. Needed is pairs.parquet of this report’s own folder.",
        "short.parquet": "is not whole: its end is missing",
        "other.parquet": "holds 299 pairs, and this report’s file 300",
        "something.parquet": "holds no column pair_id",
        "swapped.parquet": "is of another audit: where this report has the pair",
    }.items():
        choose(page, tmp_path / name)
        wait(page, "#opened", message)
    page.execute_script(DROP, "mine.parquet", base64.b64encode(whole).decode())
    wait(page, "#opened", "✓ “mine.parquet” is this report’s file")
    assert errors(page) == []


def test_a_page_that_holds_all_texts_offers_no_file(browser, two):  # noqa: F811
    page = opened(browser, two)
    assert page.find_elements("id", "file") == []
    assert errors(page) == []
