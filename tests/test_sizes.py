"""Sizes that keep the package readable: modules, function bodies, parameters, sentences of docstrings."""

import ast
import re
import statistics
from pathlib import Path

import pytest

import seal_datasets

ROOT = Path(seal_datasets.__file__).parents[1]
PACKAGE = ROOT / "seal_datasets"
MODULES = sorted(PACKAGE.rglob("*.py"))
CODE = [*MODULES, *sorted((ROOT / "metrics").rglob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]
LINES, MEDIAN_LINES, BODY, PARAMETERS, WORDS = 450, 150, 60, 7, 25


def relative(path):
    return path.relative_to(ROOT).as_posix()


def functions(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def n_lines_of_body(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def n_parameters(function):
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def sentences(docstring):
    text = re.sub(r"```.*?```", "", docstring, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", "code", text)
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"\n(?=\s*[*\w][\w*, ]* \(|\s*[A-Z]\w+:)|(?<=[.!?;:])\s", paragraph):
            yield " ".join(sentence.split())


def is_public_estimator_or_metric(path, function):
    home = relative(path)
    return (home.startswith("seal_datasets/estimate/") and not function.name.startswith("_")) or home.startswith(
        "metrics/"
    )


def test_few_modules_stand_outside_the_rooms():
    assert len(list(PACKAGE.glob("*.py"))) <= 9


def test_modules_are_short():
    lines = {relative(path): path.read_text("utf-8").count("\n") for path in MODULES}
    assert {name: n for name, n in lines.items() if n > LINES} == {}
    assert statistics.median(n for n in lines.values()) <= MEDIAN_LINES


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_functions_are_short_and_take_few_parameters(path):
    long = {function.name: n for function in functions(path) if (n := n_lines_of_body(function)) > BODY}
    wide = {
        function.name: n
        for function in functions(path)
        if (n := n_parameters(function)) > PARAMETERS and not is_public_estimator_or_metric(path, function)
    }
    assert (long, wide) == ({}, {})


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_sentences_of_docstrings_are_short(path):
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, documented)]
    long = [
        sentence
        for node in nodes
        for sentence in sentences(ast.get_docstring(node) or "")
        if len(sentence.split()) > WORDS and not sentence.startswith(("SealError", "|"))  # drawn trees and tables
    ]
    assert long == []


def test_the_formatter_is_never_overruled():
    skip = "fmt: " + "skip"
    files = [*CODE, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [relative(path) for path in files if skip in path.read_text("utf-8")] == []
