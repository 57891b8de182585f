"""Documents name what exists: rooms, files, make targets. `tests/docs` runs what they show."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_make_targets_in_the_readme_exist():
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE))
    assert targets == {"audit", "test", "docs"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_rooms_are_the_same_in_architecture_and_package():
    package = ROOT / "seal_datasets"
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    architecture = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert set(re.findall(r"^  (\w+)/ ", architecture, flags=re.MULTILINE)) == rooms
    assert set(re.findall(r"^\| `(\w+)` \|", architecture, flags=re.MULTILINE)) == rooms
    named = set(re.findall(r"`(?:seal_datasets/)?((?:\w+/)+\w+\.\w+)`", architecture))
    assert named
    assert [name for name in named if not any((folder / name).is_file() for folder in (package, ROOT))] == []
