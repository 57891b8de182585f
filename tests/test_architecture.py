"""The walls of the house: which room may import which, what may be heavy, and what is public."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import seal_datasets

ROOT = Path(seal_datasets.__file__).parent

# Left to right; a room imports only from rooms before it. Rooms on one line do not import each other.
ORDER = [
    {"version", "schema", "owners", "escape", "theme"},
    {"errors"},
    {"cards", "atomic"},
    {"data", "endpoints", "estimate"},
    {"labels", "rewards", "evaluate_modules"},
    {"rewrites", "gold"},
    {"report"},
    {"hub"},
    {"audit"},
    {"cli"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py" or path.parent != ROOT]


def room_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "seal_datasets" else node.module for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "seal_datasets" and len(parts) > 1:
                yield parts[1]


def imported_modules(path):
    """Modules of the package that a module imports, at its top or inside functions; types alone do not count."""
    names = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("seal_datasets"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def test_no_module_imports_itself_by_way_of_others():
    paths = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in modules()}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: (imported_modules(path) & paths.keys()) - {name} for name, path in paths.items()}
    assert sum(map(len, graph.values())) > 100
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError and names the circle


def test_there_are_few_ranks():
    assert len(ORDER) <= 10


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_from_the_left(path):
    room = room_of(path)
    assert room in RANK, f"{room} has no place in ORDER"
    for other in set(imported_rooms(path)) - {room}:
        assert RANK[other] < RANK[room], f"{room} imports {other}, which is not to its left"


def loaded_after(statement):
    script = f"import sys\n{statement}\nprint(' '.join(sorted(sys.modules)))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_import_is_light():
    heavy = {"torch", "datasets", "transformers", "evaluate", "numpy", "pandas", "openai"}
    assert not heavy & loaded_after("import seal_datasets")
    assert not heavy & loaded_after("import seal_datasets.cli as cli\ncli.make_parser()")


def test_estimators_need_no_torch_and_no_datasets():
    assert not {"torch", "datasets", "transformers", "evaluate"} & loaded_after("import seal_datasets.estimate")


def test_public_names_are_sorted_importable_and_complete():
    assert sorted(seal_datasets.__all__) == seal_datasets.__all__
    for name in seal_datasets.__all__:
        assert getattr(seal_datasets, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = seal_datasets.nothing
