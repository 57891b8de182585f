"""Write the pages of the documentation that are generated: options of every verb, and the notebooks with their outputs.

python -m scripts.site_pages        # `make docs` runs it before the site is built
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from seal_datasets.cli import make_parser
from seal_datasets.cli.verb_parser import VerbParser

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))


def equation(source: str, *_: object, **__: object) -> str:
    """A fence of the language `math`, as MathML: browsers show it without a script."""
    return f'<div class="math">{convert(source, display="block")}</div>'


def commands_page() -> str:
    """The help of every verb, with all options."""
    parts = ["# Commands\n\nWhat `seal VERB --help-all` prints, for every verb."]
    with _environment(COLUMNS="100"):
        for verb, parser in _verbs(make_parser()):
            parser._show_all = True
            parts.append(f"## seal {verb}\n\n```text\n{parser.format_help().strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _verbs(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, VerbParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield f"{before}{name}", verb
                yield from _verbs(verb, f"{before}{name} ")


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook that is kept as text, run from its first cell to its last.

    Args:
        path (`Path`): Python file of jupytext's percent format.

    Returns:
        `str` and `dict[str, bytes]`: Markdown with code and outputs, and its pictures by name of file.
    """
    notebook: Any = jupytext.read(path)
    with _environment(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1"):
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    exporter = MarkdownExporter()
    text, resources = exporter.from_notebook_node(
        notebook, {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    link = f"[The code of this page]({path.name}) opens in Jupyter with jupytext."
    return f"{text.strip()}\n\n{link}\n", dict(resources["outputs"])


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write(docs: Path, pages: Mapping[str, tuple[str, Mapping[str, bytes]]]) -> None:
    """Write the generated pages into a folder of documentation.

    Args:
        docs (`Path`): The folder.
        pages (`Mapping[str, tuple[str, Mapping[str, bytes]]]`): Results of `notebook_page` by name of the notebook.
    """
    (docs / "reference" / "commands.md").write_text(commands_page(), "utf-8")
    for name, (text, pictures) in pages.items():
        (docs / "notebooks" / f"{name}.md").write_text(text, "utf-8")
        for picture, data in pictures.items():
            path = docs / "notebooks" / picture
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)


if __name__ == "__main__":
    write(DOCS, {path.stem: notebook_page(path) for path in NOTEBOOKS})
