"""One look: the page's style, charts and the Spaces' pictures use the colours of one file."""

from pathlib import Path

import pytest

import seal_datasets
from seal_datasets import theme
from seal_datasets.evaluate_modules import app_view

ROOT = Path(seal_datasets.__file__).parent


@pytest.mark.parametrize("name", ["INK", "SOFT", "RULE", "PAPER", "CHOSEN", "REJECTED", "BASELINE", "MODEL"])
def test_the_page_s_style_has_the_colours_of_the_theme(name):
    style = (ROOT / "report/page/page.css").read_text()
    assert f"--{name.lower()}: {getattr(theme, name)};" in style.split("@media")[0]


def test_colours_are_spelled_in_one_module():
    colours = [
        getattr(theme, name) for name in ("INK", "SOFT", "RULE", "PAPER", "CHOSEN", "REJECTED", "BASELINE", "MODEL")
    ]
    texts = {path: path.read_text() for path in ROOT.rglob("*.py") if path.name != "theme.py"}
    assert not [path for path, text in texts.items() for colour in colours if f'"{colour}"' in text]


def test_a_space_draws_in_the_colours_of_the_theme():
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_hex

    row = {"n": 9, "agreement_rate": 0.5, "confidence_interval": [0.4, 0.6], "n_indifferent": 0}
    drawn = app_view.figure("labeler_agreement", {"overall": row})
    [axes] = drawn.axes
    assert to_hex(drawn.get_facecolor()) == theme.PAPER
    assert theme.MODEL in {line.get_color() for line in axes.lines}
