"""The page in a real browser, by keyboard alone: labels, undo, skip, blur, markup shown as text, a kill and a restart."""

import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
from datasets import Dataset

from seal_datasets import add_gold, load_pairs
from seal_datasets.gold.page import build_page
from tests.evaluate_modules.test_app import browser, wait  # noqa: F401 - a fixture
from tests.gold.test_desk import TAXONOMY, desk_of, pairs_of

HOSTILE = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script> fuck"


def keys(page, *pressed):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in pressed:
        ActionChains(page).send_keys(key).perform()


def progress(page, n, seconds=60):
    wait(page, "#progress", f"{n} of ", seconds)


def checked(page, n, *, of=12, seconds=60):
    """Wait until n of the boxes are checked."""
    end = time.monotonic() + seconds
    count = "return ['#choices input:checked', '#choices input'].map((each) => document.querySelectorAll(each).length)"
    while (found := page.execute_script(count)) != [n, of]:
        assert time.monotonic() < end, f"{found[0]} of {found[1]} boxes are checked; needed are {n} of {of}"
        time.sleep(0.1)


def serve(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["gold", str(folder / "pairs.jsonl"), "--n", "6", "--out", str(folder / "gold"), "--port", str(port)]
    words += [
        "--features",
        "last_response_is_helpful,last_response_sentiment,topics",
        "--show",
        "address",
        "--overlap",
        "0",
    ]
    log = (folder / "log").open("ab")
    # A shell's job in the background ignores Ctrl-C, and so would its children.
    server = subprocess.Popen(
        [sys.executable, "-m", "seal_datasets.cli", *words],
        cwd=folder,
        stdout=log,
        stderr=log,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server, f"http://127.0.0.1:{port}"
        assert server.poll() is None, (folder / "log").read_text()
        time.sleep(0.3)
    raise AssertionError((folder / "log").read_text())


@pytest.mark.slow
def test_a_person_labels_by_keyboard_and_a_kill_loses_nothing(browser, tmp_path):  # noqa: F811
    rows = [
        {"pair_id": f"p{i}", "prompt": f"Q {i}? {HOSTILE}", "chosen": f"yes {i} {HOSTILE}", "rejected": f"no {i}"}
        for i in range(6)
    ]
    Dataset.from_list(rows).to_json(tmp_path / "pairs.jsonl")
    server, url = serve(tmp_path)
    browser.get(url)
    progress(browser, 0)
    assert "onerror" in wait(browser, "#prompt").text
    assert browser.title == "Gold labels"
    assert "gold-blur" in wait(browser, "#prompt").get_attribute("class")  # a crude word
    keys(browser, "b")
    assert "gold-blur" not in wait(browser, "#prompt").get_attribute("class")
    question = wait(browser, "#question").text
    keys(browser, "y")
    progress(browser, 1)
    keys(browser, "3")  # positive
    progress(browser, 2)
    checked(browser, 0, of=12)
    time.sleep(0.5)  # the answer to the last key may still be arriving
    keys(browser, "1")
    checked(browser, 1)
    keys(browser, "=")  # the twelfth topic
    checked(browser, 2)
    time.sleep(0.5)
    from selenium.webdriver.common.keys import Keys

    keys(browser, Keys.ENTER)
    progress(browser, 3)
    keys(browser, "n")
    progress(browser, 4)
    keys(browser, "u")
    progress(browser, 3)
    assert wait(browser, "#question").text == question
    keys(browser, "s")
    wait(browser, "#skip-4")
    time.sleep(0.5)
    keys(browser, "2")  # cannot judge
    progress(browser, 4)
    server.send_signal(signal.SIGKILL)
    server.wait()
    server, url = serve(tmp_path)
    browser.get(url)
    progress(browser, 4)
    for done in range(4, 36):
        progress(browser, done)
        words = wait(browser, "#question").text
        helpful, topics = words.startswith("Does the last"), words.startswith("Which of")
        keys(browser, *(["1"] if topics else []))
        time.sleep(0.4 if topics else 0.0)
        keys(browser, "n" if helpful else Keys.ENTER if topics else "1")
    wait(browser, "#done")
    assert browser.title == "Gold labels"
    server.send_signal(signal.SIGINT)
    server.wait(30)
    pairs, _ = load_pairs(str(tmp_path / "pairs.jsonl"))
    gold = add_gold(pairs, tmp_path / "gold" / "gold.csv", TAXONOMY)
    labels = [label for side in ("chosen", "rejected") for label in gold[f"gold_last_response_is_helpful_{side}"]]
    assert sorted(map(str, labels)) == ["False"] * 10 + ["None", "True"]
    assert gold["gold_probability"][:] == [1.0] * 6
    topics = [set(each) for side in ("chosen", "rejected") for each in gold[f"gold_topics_{side}"] if each]
    assert {TAXONOMY["topics"].answers[0], TAXONOMY["topics"].answers[11]} in topics
    table = pd.read_csv(tmp_path / "gold" / "gold.csv", dtype=str, keep_default_na=False)
    assert "last_response_is_helpful: cannot judge" in {*table["skipped_chosen"], *table["skipped_rejected"]}
    assert "Next: seal audit" in (tmp_path / "log").read_text()


def test_the_page_is_built_without_a_browser_and_shows_texts_as_text(tmp_path):
    pytest.importorskip("gradio")
    from seal_datasets.gold.page import _show

    desk = desk_of(tmp_path, pairs_of())
    assert build_page(desk) is not None
    item, feature = desk.next()
    from dataclasses import replace

    shown = _show(replace(item, response=HOSTILE, prompt="\u202ertl"), feature, 0, 1)
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
