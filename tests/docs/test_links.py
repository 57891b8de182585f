"""Every internal link of README and documentation leads to a file, and to a heading where it names one."""

import re

import pytest
import yaml

from tests.docs.pages import COMMITTED, DOCS, GENERATED, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *COMMITTED]


def headings(path):
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert DOCS not in page.parents or DOCS in target.parents, f"{link} leaves the site"
        assert not anchor or anchor in headings(target), link


def pages_of(entry):
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for value in entry.values():
            yield from pages_of(value)
    else:
        for each in entry:
            yield from pages_of(each)


def test_every_page_is_in_the_navigation_once():
    text = re.sub(r"!!python/name:\S+", "null", (ROOT / "mkdocs.yml").read_text("utf-8"))
    named = list(pages_of(yaml.safe_load(text)["nav"]))
    committed = {path.relative_to(DOCS).as_posix() for path in COMMITTED}
    notebooks = {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.py")}
    assert sorted(named) == sorted(committed | notebooks | (GENERATED - {"notebooks/*.md"}))
