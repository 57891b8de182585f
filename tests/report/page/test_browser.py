"""The page in a real browser: from disk, under its policy, by keyboard, with hostile texts."""

import json
import time

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.evaluate_modules.test_app import browser, wait  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow


def opened(browser, folder, state=""):  # noqa: F811
    browser.get("about:blank")
    browser.get((folder / "report.html").as_uri() + state)
    wait(browser, "#check", "pairs")
    return browser


def press(page, *keys):
    for key in keys:
        ActionChains(page).send_keys(key).perform()


def texts(page, selector):
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
    )


def errors(page):
    """What the console holds but should not."""
    return [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_hostile_texts_are_text_and_nothing_runs(browser, hostile):  # noqa: F811
    page = opened(browser, hostile)
    title = page.title
    assert "computed its resistance" in texts(page, "#check")[0]
    assert "✓" in texts(page, "#check")[0]
    seen = ""
    for _ in range(59):
        press(page, "b", "j")
        seen += " ".join(texts(page, "#pair .text"))
    assert "<script>document.title='pwned'</script>" in seen
    assert "</script><img src=x onerror=" in seen
    assert "{{ 7 * 7 }}" in seen
    assert "more characters]" in seen  # a very long word is cut, and says so
    assert page.execute_script("return document.querySelectorAll('#pair img, #pair a, #pair script').length") == 0
    assert page.title == title != "pwned"
    assert errors(page) == []


def test_the_policy_blocks_what_would_slip_through(browser, hostile):  # noqa: F811
    page = opened(browser, hostile)
    page.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran=1\"><p style=\"color:red\" id=inked>');"
        "const s = document.createElement('script'); s.textContent = 'window.ran = 2'; document.body.append(s);"
    )
    time.sleep(0.5)
    assert page.execute_script("return window.ran") is None
    page.get_log("browser")


def test_pairs_are_read_by_keyboard_and_the_address_holds_the_state(browser, two):  # noqa: F811
    page = opened(browser, two, "#regime=became_aligned&order=best")
    n_regime = json.loads((two / "report.json").read_text())["comparisons"]
    counted = n_regime["after - before"]["regimes"]["all"]["became_aligned"]["count"]
    assert texts(page, "#count")[0].startswith(f"{counted} of 300 pairs")
    first = page.execute_script("return location.hash")
    press(page, "j", "j", "k")
    assert "pair=" in page.execute_script("return location.hash") != first
    second = texts(page, "#list .row.on span:first-child")[0]
    link = page.current_url
    opened(browser, two, "#" + link.split("#", 1)[1])
    assert texts(page, "#list .row.on span:first-child")[0] == second  # a link shows what its sender saw
    press(page, "m")
    assert "Export 1 marked pairs" in texts(page, "#export")[0]
    page.execute_script("document.getElementById('export').click()")
    path = browser.downloads / "marked_pairs.jsonl"
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert [json.loads(line)["pair_id"] for line in path.read_text().splitlines()] == [second]
    press(page, "/")
    assert page.execute_script("return document.activeElement.id") == "search"
    press(page, *"longer answer", Keys.TAB)
    wait(page, "#chips", "longer answer")
    page.execute_script("document.querySelector('#chips button').click()")
    wait(page, "#count", "of 300")
    assert "regime" not in page.execute_script("return location.hash")


def test_a_picture_s_mark_leads_to_its_pairs_and_back_leads_back(browser, two):  # noqa: F811
    page = opened(browser, two)
    href = page.execute_script(
        "const a = document.querySelector('.wide svg a');"
        "a.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));"
        "return a.getAttribute('xlink:href') || a.getAttribute('href')"
    )
    time.sleep(0.3)
    assert page.execute_script("return location.hash") == href
    assert len(texts(page, "#chips .chip")) == 1
    page.back()
    time.sleep(0.3)
    assert page.execute_script("return location.hash") == ""


def focused(page):
    return page.execute_script(
        "const e = document.activeElement; return [e.tagName.toLowerCase(), e.id, e.getAttribute('href') || e.textContent]"
    )


def tab_to(page, wanted, most=120):
    """Press the tabulator key until what has the focus is wanted."""
    for _ in range(most):
        press(page, Keys.TAB)
        if wanted(*focused(page)):
            return
    raise AssertionError(f"{most} times Tab did not lead there; the focus is on {focused(page)}")


def test_the_whole_way_from_a_picture_to_marked_pairs_goes_by_keyboard(browser, two):  # noqa: F811
    page = opened(browser, two)
    tab_to(page, lambda tag, name, href: tag == "a" and href.startswith("#") and "=" in href and not name)
    mark = focused(page)[2]
    press(page, Keys.ENTER)
    wait(page, "#chips .chip", "×")
    assert page.execute_script("return location.hash") == mark
    n_shown = int(texts(page, "#count")[0].split()[0])
    assert 0 < n_shown < 300
    tab_to(page, lambda tag, name, text: name == "order")
    press(page, Keys.ARROW_DOWN)
    wait(page, "#count", f"{n_shown} of 300")
    assert "order=best" in page.execute_script("return location.hash")
    tab_to(page, lambda tag, name, text: name == "list")
    first = texts(page, "#list .row.on span:first-child")[0]
    press(page, Keys.ARROW_DOWN, "j", Keys.ARROW_UP, "m")
    second = texts(page, "#list .row.on span:first-child")[0]
    assert second != first
    assert texts(page, "#list .row.marked span:first-child") == [second]
    tab_to(page, lambda tag, name, text: text == "unmark")
    press(page, Keys.ENTER)
    assert texts(page, "#list .row.marked span:first-child") == []
    press(page, "m")
    tab_to(page, lambda tag, name, text: name == "export")
    assert focused(page)[2] == "Export 1 marked pairs"
    press(page, "/")
    press(page, *"sorry", Keys.TAB)
    wait(page, "#chips", "“sorry”")
    page.execute_script("document.activeElement.blur(); getSelection().collapse(document.getElementById('reader'), 0)")
    while texts(page, "#chips .chip"):
        tab_to(page, lambda tag, name, text: tag == "button" and text.endswith(" ×"))
        n_chips = len(texts(page, "#chips .chip"))
        press(page, Keys.ENTER)
        page.execute_async_script("setTimeout(arguments[0], 300)")
        assert len(texts(page, "#chips .chip")) == n_chips - 1
    wait(page, "#count", "300 of 300")
    assert errors(page) == []


def test_phone_dark_and_print_have_no_sideways_scroll(browser, two):  # noqa: F811
    page = opened(browser, two)
    for width in (390, 1400):
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    ink = page.execute_script("return getComputedStyle(document.querySelector('.wide svg text')).fill")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert ink != page.execute_script("return getComputedStyle(document.querySelector('.wide svg text')).fill")
