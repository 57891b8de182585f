"""Every command and every Python block of README and the guides runs, in the order of the page; the others say why not."""

import doctest

import pytest

from tests.docs.pages import DOCS, EXECUTED, GUIDES, ROOT, blocks_of, commands_of

NOT_RUN = {
    ("pip", "install"): "needs a network; tests/test_wheel.py installs the wheel",
    ("uvx",): "needs a network",
    ("uv", "run"): "needs uv and a network; tests/test_audit_script.py runs the script",
    ("pip", "wheel"): "needs a network; tests/test_wheel.py builds the wheel",
    ("hf",): "needs an account; tests/hub/test_kept_run.py has a double of the Hub",
    ("make",): "sets up an environment; continuous integration runs both targets",
    (
        "seal",
        "train-pair",
    ): "takes minutes; tests/endurance/test_kills.py runs it, tiny models stand here",
    ("seal", "audit", "--demo"): "takes minutes; continuous integration runs it as `make audit`",
    ("seal", "report", "seal-audit"): "shows the demo's report, which continuous integration makes and checks",
    (
        "seal",
        "audit",
        "pairs.jsonl",
        "--teacher",
        "https://api.openai.com/v1",
    ): "a paid endpoint; tests/audit has a double",
    (
        "accelerate",
        "launch",
        "--config_file",
        "scripts/configs/one_cpu.yaml",
    ): "as the first command, after seconds of imports; tests/rewards/test_score.py reads its configuration",
    ("accelerate", "launch", "--config_file", "scripts/configs/one_gpu.yaml"): "needs a GPU",
    ("accelerate", "launch", "--config_file", "scripts/configs/eight_gpus.yaml"): "needs eight GPUs and the Hub",
    ("accelerate", "launch", "--config_file", "scripts/configs/two_nodes.yaml"): "needs two machines with GPUs",
}
PAGES = [ROOT / "README.md", *EXECUTED]


def given(page):
    return [words for block in blocks_of(page) if block.kind == "bash" for words in commands_of(block)]


AUDIT = next(words for words in given(ROOT / "README.md") if words[:3] == ["seal", "audit", "pairs.jsonl"])


def reason_not_to_run(words):
    return next((why for start, why in NOT_RUN.items() if tuple(words[: len(start)]) == start), None)


@pytest.mark.recorded
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_runs_from_its_first_command_to_its_last_line(page, workspace, monkeypatch):
    if page.stem == "gold":
        monkeypatch.chdir("gold-guide")
    elif any("report" in words for words in given(page)):
        workspace.run(AUDIT)
    names, runner = {}, doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    blocks = list(blocks_of(page))
    for block in blocks:
        if block.title:
            (workspace.folder / block.title).write_text(block.text, "utf-8")
    for block in blocks:
        if block.kind == "bash":
            for words in commands_of(block):
                if reason_not_to_run(words) is None:
                    workspace.run(words)
        elif block.kind == "python":
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), 0)
            assert test.examples
            assert runner.run(test, clear_globs=False).failed == 0
            names.update(test.globs)


def test_every_reason_not_to_run_is_needed():
    commands = [tuple(words) for page in PAGES for words in given(page)]
    assert [start for start in NOT_RUN if not any(words[: len(start)] == start for words in commands)] == []


def test_commands_stand_in_blocks_that_run():
    for page in PAGES:
        for block in blocks_of(page):
            starts = {line.split()[0] for line in block.text.splitlines() if line.strip()}
            assert block.kind == "bash" or not starts & {"seal", "accelerate", "make", "pip"}, page


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.stem)
def test_a_guide_starts_from_a_command_and_ends_in_something_looked_at(page):
    text = page.read_text("utf-8")
    first = next(blocks_of(page))
    assert first.kind == "bash"
    assert text.index("```bash") < text.index("\n## "), "the first command stands before the first section"
    assert text.split("\n## ")[-1].startswith("Look\n")
    assert 30 <= text.count("\n") <= 120, text.count("\n")


def test_the_home_page_shows_a_command_of_the_readme():
    assert given(DOCS / "index.md")[0] in given(ROOT / "README.md")
