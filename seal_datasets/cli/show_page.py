"""Show a page that a verb wrote."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path


def show_page(page: Path) -> None:
    """Open a page in the browser, and say so where there is none.

    Args:
        page (`Path`): The file.
    """
    if not webbrowser.open(page.absolute().as_uri()):
        sys.stdout.write("There is no browser here to show it; open that file in one.\n")
