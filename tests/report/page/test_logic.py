"""The arithmetic of the page, tested by node's own runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


def test_the_page_s_logic_by_node():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser's tests still run the same code")
    done = subprocess.run([node, "--test", str(Path(__file__).parent)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
