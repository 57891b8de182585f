"""The page by axe-core, which `npm ci` installs: in light and dark, wide and on a phone, with the texts folded out."""

from pathlib import Path

import pytest

from tests.evaluate_modules.test_app import browser  # noqa: F401 - a fixture
from tests.report.page.test_browser import errors, opened

pytestmark = pytest.mark.slow

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """
axe.run(document, {resultTypes: ['violations']}).then((found) => arguments[0](found.violations.map(
  (each) => [each.impact, each.id, each.nodes.map((node) => node.html.slice(0, 120)).slice(0, 3)])))
"""


def serious(page):
    page.execute_script(AXE.read_text("utf-8"))
    return [each for each in page.execute_async_script(RUN) if each[0] in ("serious", "critical")]


@pytest.fixture(
    params=[(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")], ids=lambda each: f"{each[1]}-{each[0]}"
)
def looked_at(browser, request):  # noqa: F811
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci")
    width, scheme = request.param
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("name", ["hostile", "two", "sampled"])
def test_axe_finds_nothing_serious(looked_at, name, request):
    page = opened(looked_at, request.getfixturevalue(name), "#aligned=no")
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert serious(page) == []
    assert errors(page) == []


def test_axe_would_find_a_button_without_a_name(looked_at, two):
    page = opened(looked_at, two)
    page.execute_script("document.body.append(document.createElement('button'))")
    assert [each[1] for each in serious(page)] == ["button-name"]
