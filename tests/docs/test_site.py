"""The notebooks run, and the site is built strictly, with every generated page."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import seal_datasets
from seal_datasets import estimate
from tests.docs.pages import DOCS, ROOT

pytest.importorskip("zensical", reason="the site needs Python 3.11 and the extra docs")
from scripts import site_pages


@pytest.fixture(scope="module")
def pages():
    """Every notebook, run once."""
    return {path.stem: site_pages.notebook_page(path) for path in site_pages.NOTEBOOKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in site_pages.NOTEBOOKS])
def test_a_notebook_runs_and_its_page_shows_outputs(name, pages):
    text, pictures = pages[name]
    assert text.startswith("# ")
    assert "Traceback" not in text
    assert "<table" in text
    assert all(picture in text for picture in pictures)


def test_the_page_of_commands_has_every_option():
    text = site_pages.commands_page()
    assert {"## seal audit", "## seal publish dataset"} <= set(text.splitlines())
    for option in ("--help-all", "--rewrite-attempts", "--tokens-per-batch", "--ids-only"):
        assert option in text


def test_every_public_name_is_in_the_reference():
    pages = [(DOCS / "reference" / f"{name}.md").read_text("utf-8") for name in ("python", "estimate", "results")]
    named = re.findall(r"^::: seal_datasets\.([\w.]+)$", "\n".join(pages), flags=re.MULTILINE)
    named = [
        re.sub(r"^estimate\.(\w+)\.\1$", r"estimate.\1", name) for name in named
    ]  # a module and its function share a name
    wanted = [*seal_datasets.__all__, *(f"estimate.{name}" for name in estimate.__all__)]
    assert sorted(named) == sorted(set(wanted) - {"__version__", "estimate.REGIMES"})


@pytest.mark.slow
def test_the_site_is_built_strictly(pages, tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    site_pages.write(tmp_path / "docs", pages)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert done.returncode == 0, said
    assert "No issues found" in said
    assert "griffe" not in said
    site = tmp_path / "build" / "site"
    assert 'math display="block"' in (site / "concepts" / "index.html").read_text().replace(
        'xmlns="http://www.w3.org/1998/Math/MathML" ', ""
    )
    assert "alignment_resistance" in (site / "reference" / "estimate" / "index.html").read_text()
    for page in site.rglob("*.html"):
        sources = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert sources == [], "the site loads nothing from elsewhere"
