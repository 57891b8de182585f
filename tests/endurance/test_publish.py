"""`seal publish` is killed at each of its requests to a double of the Hub: every repository is as before, or whole."""

from __future__ import annotations

import shutil

import pytest

from tests.endurance.conftest import ENDURANCE
from tests.hub import conftest
from tests.hub.test_publish_report import MODEL, MODEL_CARD

# Fixtures of the room that publishes.
audit_folder, hub, lasting_hub = conftest.audit_folder, conftest.hub, conftest.lasting_hub

REPO = "tester/audit"
DATASET = ("publish", "dataset")
REPORT = ("publish", "report")


@pytest.fixture(scope="session")
def seal(lasting_hub, tmp_path_factory):
    """The command, against the double."""
    run = conftest.Seal(lasting_hub, tmp_path_factory.mktemp("publishing"))
    yield run
    run.server.stdin.close()
    run.server.wait(60)


@pytest.mark.parametrize(
    ("verb", "every"),
    [
        (DATASET, 4),
        pytest.param(DATASET, 1, marks=ENDURANCE),
        pytest.param(REPORT, 1, marks=ENDURANCE),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else value,
)
@pytest.mark.parametrize("is_new", [True, pytest.param(False, marks=ENDURANCE)], ids=["new", "update"])
def test_killed_at_any_request_each_repository_is_as_before_or_whole(
    hub,
    seal,
    audit_folder,
    verb,
    every,
    is_new,
    record_property,
):
    options = ("--repo", REPO, *(("--source-license", "cc-by-4.0") if verb == DATASET else ("--model-repo", MODEL)))

    def start():
        hub.heal()
        shutil.rmtree(seal.folder / "home", ignore_errors=True)  # what was downloaded is not asked for again
        hub.repos.clear()
        hub._blobs.clear()
        hub.requests.clear()
        if verb == REPORT:
            hub.put("model", MODEL, {"README.md": MODEL_CARD, "config.json": "{}"})
        if not is_new:
            assert seal("publish", "dataset", audit_folder, "--repo", REPO, "--ids-only").code == 0
        hub.requests.clear()

    def state():
        return {key: dict(repo.commits[-1].files) for key, repo in hub.repos.items()}

    start()
    before = state()
    assert seal(*verb, audit_folder, *options).code == 0
    whole, asked = state(), list(hub.requests)
    n_commits = {key: len(repo.commits) for key, repo in hub.repos.items()}
    n_kills = 0
    for number, request in list(enumerate(asked))[::every]:
        start()
        nth = 1 + sum((each.method, each.path) == request[:2] for each in asked[:number])
        fault = hub.fault(request.method, f"^{request.path}$", nth=nth, how="hang")
        assert seal(*verb, audit_folder, *options, kill_at=fault).code == -9
        n_kills += 1
        for key, files in state().items():
            assert files in (before.get(key), whole[key]) or set(files) <= {".gitattributes"}
        hub.heal()
        again = seal(*verb, audit_folder, *options)
        assert again.code == 0, again.said
        assert state() == whole
        assert {key: len(repo.commits) for key, repo in hub.repos.items()} == n_commits
    record_property("figures", f"{n_kills} kills landed, at {len(asked)} requests; every commit was made once")
