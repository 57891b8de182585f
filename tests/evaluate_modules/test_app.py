"""The app of a Space: what it guesses and shows, and a real browser that uses it."""

import inspect
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import evaluate
import pandas as pd
import pytest

from seal_datasets import metric_path
from seal_datasets.errors import DataError
from seal_datasets.evaluate_modules import app as space
from seal_datasets.evaluate_modules.app import _open, build_app, compute
from seal_datasets.evaluate_modules.app_columns import INPUTS, guess
from seal_datasets.evaluate_modules.app_example import example_table
from seal_datasets.evaluate_modules.paths import METRICS

HOSTILE = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>$\\frac{_chosen"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1200",
)


def picked(name, table):
    return list(guess(name, list(table.columns)).values())


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_example_whose_columns_are_guessed(name):
    table = example_table()
    note, numbers, figure, rows, path = compute(name, table, picked(name, table))
    assert "400 rows" in note
    assert "seal-number" in numbers
    assert figure.axes[0].has_data()
    assert len(rows) >= 1
    assert all(isinstance(cell, str) for cell in rows.to_numpy().ravel())
    with open(path, encoding="utf-8") as file:
        assert len(json.load(file)) > 3


def test_columns_of_our_own_tables_are_guessed():
    columns = [
        "prompt_id",
        *(
            f"{kind}_{side}"
            for side in ("chosen", "rejected")
            for kind in ("reward_pre", "reward_post", "reward_status_post", "feature_a", "feature_b")
        ),
    ]
    assert guess("feature_imprint", columns) == {
        "rewards": "reward_post_{side}",
        "features": ["feature_a_{side}", "feature_b_{side}"],
        "groups": "prompt_id",
    }
    assert guess("alignment_resistance", ["score_chosen", "score_rejected"])["rejected_rewards"] == "score_rejected"
    assert guess("reward_shift", ["a", "b"])["chosen_rewards"] is None
    assert guess("labeler_stability", ["a"])["labels"] == []


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("change", [lambda table: table.head(1), lambda table: table.assign(prompt_id="p")])
def test_a_result_without_an_interval_is_drawn(name, change):
    table = change(example_table())
    note, _, figure, *_ = compute(name, table, picked(name, table))
    assert "alert" not in note
    figure.savefig("/dev/null", format="png")


def test_rows_without_a_value_are_left_out_and_counted():
    table = example_table().copy()
    table.loc[:9, "reward_post_chosen"] = None
    note, *_ = compute("alignment_resistance", table, picked("alignment_resistance", table))
    assert "390 rows; 10 left out because a value is missing" in note


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([None, "b", None, None, None], "choose a column for: Reward of the chosen response"),
        (["a", "nowhere", None, None, None], "the table lacks nowhere"),
        (["a", "empty", None, None, None], "no row has a value in all of a, empty"),
        (["a", "words", None, None, None], "rejected_rewards row 0"),
    ],
)
def test_mistakes_are_named_in_the_page(columns, message):
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0], "words": ["x", "y"], "empty": [None, None]})
    shown = compute("alignment_resistance", table, columns)
    assert message in shown[0]
    assert "role='alert'" in shown[0]
    assert shown[1:] == ("", None, None, None)


def test_texts_are_never_markup():
    table = pd.DataFrame({"r_chosen": [1.0] * 4, HOSTILE: [0, 1, 0, 1], "r": [0.0] * 4})
    shown = compute("alignment_resistance", table, [HOSTILE, "<b>no</b>", None, None, None])
    assert "<b>" not in shown[0]
    table = pd.DataFrame({"rewards": [1.0, 2.0, 1.5, 0.0] * 5, HOSTILE: [0, 1, 0, 1] * 5, "groups": [1, 1, 2, 2] * 5})
    shown = compute("feature_imprint", table, ["rewards", [HOSTILE], "groups"])
    assert "<img" not in shown[1]
    shown[2].savefig("/dev/null", format="png")  # no formula in a label that cannot be drawn


@pytest.mark.parametrize("name", ["/etc/passwd", "~/.ssh", "./data/rows.jsonl", "tests", "", "plain"])
@pytest.mark.parametrize("before", ["", " ", "\n"])
def test_a_dataset_named_by_a_visitor_is_never_a_path_of_this_machine(before, name):
    with pytest.raises(DataError, match=r"is not the name of a dataset on the Hub|named as namespace/name"):
        _open(None, before + name, "", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium with a fresh profile that saves what it downloads in `browser.downloads`."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if binary is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium and chromedriver on PATH; on Debian: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(browser):
    """The app of feature_imprint in the browser, with its example shown."""
    app = build_app("feature_imprint")
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    browser.get(url)
    yield browser
    app.close()


def wait(page, selector, text="", seconds=90):
    """The first element of a selector that shows the text."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = page.execute_script(
            "return [...document.querySelectorAll(arguments[0])].find(e => e.textContent.includes(arguments[1]))",
            selector,
            text,
        )
        if found is not None:
            return found
        time.sleep(0.2)
    raise AssertionError(
        f"nothing at {selector} shows {text!r}; the page says: {page.find_element('tag name', 'body').text}"
    )


def bring(page, path):
    """Upload a file in place of the one before."""
    for button in page.find_elements(
        "css selector", "#upload button[aria-label*='lear'], #upload button[aria-label*='emove']"
    ):
        page.execute_script("arguments[0].click()", button)
    wait(page, "#upload input[type=file]").send_keys(str(path))


@pytest.mark.slow
def test_in_a_browser_a_file_is_uploaded_the_figure_is_seen_and_the_json_saved(page, tmp_path):
    wait(page, "#source", "The example: 400 drawn pairs")
    wait(page, "#status", "400 rows")
    image = wait(page, "#figure img")
    assert page.execute_script("return arguments[0].naturalWidth", image) > 300
    before = image.get_attribute("src")

    path = tmp_path / "mine.parquet"
    example_table().head(300).to_parquet(path)
    bring(page, path)
    wait(page, "#source", "mine.parquet: 300 rows")
    wait(page, "#numbers", "600")
    end = time.monotonic() + 60
    while (now := wait(page, "#figure img").get_attribute("src")) == before and time.monotonic() < end:
        time.sleep(0.2)
    assert now != before
    wait(page, "#table", "harmless")

    page.execute_script("arguments[0].click()", wait(page, "#download"))
    end = time.monotonic() + 60
    while not (saved := list(page.downloads.glob("*.json"))) and time.monotonic() < end:
        time.sleep(0.2)
    found = json.loads(saved[0].read_text("utf-8"))
    assert (found["n_texts"], len(found["imprint"])) == (600, 3)


@pytest.mark.slow
def test_in_a_browser_a_malformed_file_is_an_error_in_the_page(page, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    bring(page, path)
    wait(page, "#status [role=alert]", "broken.jsonl")
    assert not is_seen(page, "#result")


@pytest.mark.slow
def test_in_a_browser_hostile_texts_stay_texts(page, tmp_path):
    path = tmp_path / "<b onclick=1>.csv"
    table = example_table().rename(
        columns={
            "feature_harmless_chosen": f"feature_{HOSTILE}",
            "feature_harmless_rejected": f"feature_{HOSTILE[:-6]}rejected",
        }
    )
    table.to_csv(path, index=False)
    bring(page, path)
    wait(page, "#source", "400 rows, 22 columns")
    wait(page, "#table", "<img src=x")
    wait(page, "#input-features", "<img src=x")
    time.sleep(1)
    assert page.title == "Feature imprint"
    assert not page.find_elements("css selector", "img[src='x'], #source b")


@pytest.mark.slow
def test_in_a_browser_a_fault_of_the_app_leaves_no_numbers(page, monkeypatch, tmp_path):
    path = tmp_path / "mine.csv"
    example_table().to_csv(path, index=False)
    bring(page, path)
    wait(page, "#source", "mine.csv: 400 rows")
    wait(page, "#status", "400 rows")
    with monkeypatch.context() as patched:
        patched.setattr(space, "compute", lambda *_: 1 / 0)
        page.execute_script("arguments[0].click()", wait(page, "#compute"))
        wait(page, "#status [role=alert]", "The app failed because of a bug")
        assert not is_seen(page, "#result")
    page.execute_script("arguments[0].click()", wait(page, "#compute"))
    wait(page, "#status", "400 rows")
    assert is_seen(page, "#numbers")


@pytest.fixture
def served(browser, hub, tmp_path):
    """The Space's own app.py, served by a process that knows only the double of the Hub, in the browser."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = hub.environment(tmp_path / "hf", token=None)
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    app = Path(metric_path("feature_imprint")).with_name("app.py")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, app], env=environment, cwd=tmp_path, stdout=log, stderr=log)
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None and "Running on" not in (tmp_path / "log").read_text():
        time.sleep(0.3)
    browser.get(f"http://127.0.0.1:{port}")
    yield browser
    server.terminate()
    server.wait(30)


def load_from_hub(page, dataset):
    page.execute_script("arguments[0].click()", wait(page, "button[role=tab]", "Hub dataset"))
    box = wait(page, "#hub-id textarea, #hub-id input")
    box.clear()
    box.send_keys(dataset)
    page.execute_script("arguments[0].click()", wait(page, "#fetch"))


def is_seen(page, selector):
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].some(e => e.offsetParent)", selector
    )


@pytest.mark.slow
def test_in_a_browser_a_dataset_of_the_hub_is_named_and_one_that_is_not_there_is_an_error(served, hub, tmp_path):
    example_table().head(250).to_parquet(tmp_path / "rows.parquet")
    hub.put("dataset", "seal/rows", {"data/train-00000-of-00001.parquet": (tmp_path / "rows.parquet").read_bytes()})
    wait(served, "#status", "400 rows")
    load_from_hub(served, "seal/rows")
    wait(served, "#source", "seal/rows: 250 rows")
    wait(served, "#numbers", "500")
    wait(served, "#figure img")
    assert is_seen(served, "#table")

    load_from_hub(served, "seal/None")
    wait(served, "#status [role=alert]", "no dataset 'seal/None' (revision main) on the Hub")
    assert str(tmp_path) not in served.page_source
    assert not is_seen(served, "#result, #numbers, #figure, #table, #download")  # no placeholder, nothing stale
    wait(served, "#source", "seal/rows: 250 rows")  # what would be computed with is still that

    load_from_hub(served, "seal/rows")
    wait(served, "#status", "250 rows")
    wait(served, "#figure img")
    assert is_seen(served, "#figure img")
    assert is_seen(served, "#download")


def test_inputs_are_those_of_the_metrics():
    for name in METRICS:
        taken = inspect.signature(evaluate.load(metric_path(name))._compute).parameters
        required = [each for each, value in taken.items() if value.default is inspect.Parameter.empty]
        ours = {each.name for each in INPUTS[name]}
        assert ours <= set(taken)
        assert set(required) - {"feature_names", "target_names", "labeler_names"} <= ours
