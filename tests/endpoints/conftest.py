"""Fixtures of tests that drive doubles of servers through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seal_datasets.endpoints import client


@pytest.fixture
def short_waits(monkeypatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(client, "_BACKOFF_SECONDS", 0.01)


@pytest.fixture
def data(tmp_path) -> Path:
    """Six pairs, so twelve different texts."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(6)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
