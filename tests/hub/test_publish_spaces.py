"""The metrics as Spaces: published to a double of the Hub, read back by fresh processes, and what may go wrong."""

import re

import pytest
import yaml

from seal_datasets.errors import DataError
from seal_datasets.evaluate_modules.paths import METRICS
from seal_datasets.hub.publish_spaces import publish_metrics, space_files
from seal_datasets.version import __version__
from tests.hub.hub_double import READ_TOKEN, WRITE_TOKEN

IMPATIENT = """
from seal_datasets.cli import main
from seal_datasets.hub import commit
commit._WAITS_SECONDS = (0.01, 0.01)
raise SystemExit(main())
"""
SEAL = ["-c", IMPATIENT, "publish", "metrics", "--namespace", "seal"]
ONE = [*SEAL, "reward_shift"]
TWO = [*ONE, "alignment_resistance"]
CARD = "---\nsdk: gradio\n---\n# Something else\n"


@pytest.fixture
def seal(hub, hub_client):
    """Run `seal publish metrics`; whatever becomes of it, no token shows, and nobody sees what is not whole."""

    def run(arguments=ONE, **options):
        finished = hub_client(arguments, **options)
        assert "Traceback" not in finished.stderr
        assert WRITE_TOKEN not in finished.stdout + finished.stderr
        assert READ_TOKEN not in finished.stdout + finished.stderr
        for repo in hub.repos.values():
            assert repo.private or "README.md" in repo.commits[-1].files
            assert repo.private or len(repo.commits) > 1 or repo.commits[0].summary != "initial commit"
        return finished

    return run


def test_a_space_pins_the_version_and_names_its_namespace():
    for name in METRICS:
        files = space_files(name, "somebody")
        assert files["requirements.txt"].decode() == f"seal_datasets[space]=={__version__}\n"
        card = files["README.md"].decode()
        assert f'evaluate.load("somebody/{name}")' in card
        assert "seal/" not in card
        assert yaml.safe_load(card.split("---\n")[1])["app_file"] in files


def test_all_spaces_are_published_once(hub, seal):
    dry = seal([*SEAL, "--dry-run"], token=None)
    assert (dry.returncode, hub.repos) == (0, {})
    published = seal(SEAL)
    assert published.returncode == 0, published.stderr
    assert set(hub.repos) == {("space", f"seal/{name}") for name in METRICS}
    assert [
        re.sub("http.*", "nothing was changed: this is a dry run", line) for line in published.stdout.splitlines()
    ] == dry.stdout.splitlines()
    for name in METRICS:
        repo = hub.repos["space", f"seal/{name}"]
        assert (repo.private, len(repo.commits)) == (False, 2)
        assert dict(space_files(name)).items() <= dict(hub.files("space", f"seal/{name}")).items()
        assert f"space seal/{name}  new, public\n  + .seal.json" in published.stdout
        assert f"{hub.url}/spaces/seal/{name}" in published.stdout

    writes = len(hub.asked("POST", "/commit/"))
    again = seal(SEAL)
    assert again.stdout.splitlines() == [f"space seal/{name}  up to date" for name in METRICS]
    assert len(hub.asked("POST", "/commit/")) == writes


def test_an_older_version_is_brought_up_to_date_and_what_others_added_stays(hub, seal):
    old = """
import seal_datasets.hub.publish_spaces as spaces
now = spaces.space_files
spaces.space_files = lambda name, namespace: {**now(name, namespace), "app.py": b"old", "gone.py": b"old"}
spaces.publish_metrics("seal", ["reward_shift"])
"""
    assert seal(["-c", old]).returncode == 0
    hub.put("space", "seal/reward_shift", {**hub.files("space", "seal/reward_shift"), "notes.md": "theirs"})
    dry = seal([*ONE, "--dry-run"])
    app = len(space_files("reward_shift")["app.py"])
    assert [re.sub(r"json \(.*", "json", line) for line in dry.stdout.splitlines()[:-1]] == [
        "space seal/reward_shift  update",
        "  ~ .seal.json",
        f"  ~ app.py ({app} bytes)",
        "  - gone.py",
    ]
    assert seal().stdout.splitlines()[:4] == dry.stdout.splitlines()[:4]
    files = hub.files("space", "seal/reward_shift")
    assert (files["notes.md"], files["app.py"]) == (b"theirs", space_files("reward_shift")["app.py"])
    assert "gone.py" not in files


@pytest.mark.parametrize("changed", ["elsewhere", "by hand"])
def test_what_somebody_else_wrote_is_not_replaced_unasked(hub, seal, changed):
    if changed == "by hand":
        seal()
        hub.put("space", "seal/reward_shift", {**hub.files("space", "seal/reward_shift"), "README.md": CARD})
    else:
        hub.put("space", "seal/reward_shift", {"README.md": CARD, "other.py": "1"})
    before = hub.files("space", "seal/reward_shift")
    refused = seal(TWO)
    assert refused.returncode == 2
    assert "would be replaced: README.md. Nothing was changed" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert ("space", "seal/alignment_resistance") not in hub.repos
    assert hub.files("space", "seal/reward_shift") == before
    dry = seal([*ONE, "--dry-run"])
    assert re.search(r"~ README.md \(.* bytes\)  written by somebody else", dry.stdout)
    assert seal([*ONE, "--overwrite"]).returncode == 0
    assert {**before, **hub.files("space", "seal/reward_shift")} == dict(hub.files("space", "seal/reward_shift"))
    assert hub.files("space", "seal/reward_shift")["README.md"] == space_files("reward_shift")["README.md"]


def test_visibility_is_as_said(hub, seal):
    seal([*ONE, "--private"])
    assert hub.repos["space", "seal/reward_shift"].private
    assert seal([*ONE, "--private"]).stdout == "space seal/reward_shift  up to date\n"
    assert seal([*ONE, "--dry-run"]).stdout.splitlines()[0] == "space seal/reward_shift  update, becomes public"
    assert hub.repos["space", "seal/reward_shift"].private
    seal()
    assert not hub.repos["space", "seal/reward_shift"].private
    assert len(hub.asked("POST", "/reward_shift/commit/")) == 1


@pytest.mark.parametrize(
    ("token", "arguments", "message"),
    [
        (None, ONE, "there is no Hugging Face token; set HF_TOKEN"),
        (READ_TOKEN, ONE, "the Hugging Face token is read-only"),
        ("hf_someOther", ONE, "the Hub rejects the token"),
        (WRITE_TOKEN, [*ONE[:-2], "google", "reward_shift"], "the token lacks write permission"),
        (WRITE_TOKEN, [*ONE[:-2], "a/b", "reward_shift"], "must be the name of a user or organisation"),
        (WRITE_TOKEN, [*SEAL, "accuracy"], "there is no metric 'accuracy'"),
    ],
)
def test_who_cannot_publish_is_told_why(hub, seal, token, arguments, message):
    refused = seal(arguments, token=token)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not hub.repos


REQUESTS = [
    ("GET", "/api/whoami-v2"),
    ("GET", r"/api/spaces/seal/reward_shift$"),
    ("POST", "/api/repos/create"),
    ("POST", "/api/validate-yaml"),
    ("POST", "/preupload/main"),
    ("POST", "/commit/main"),
    ("PUT", "/settings"),
]


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (REQUESTS[0], 429, "the rate limit was reached (429)"),
        (REQUESTS[1], 500, "the Hub failed (500)"),
        (REQUESTS[2], 403, "the token lacks write permission"),
        (REQUESTS[3], 500, "the Hub failed (500)"),
        (REQUESTS[5], 409, "somebody else changed the repository at the same time"),
        (REQUESTS[5], 412, "somebody else changed the repository at the same time"),
        (REQUESTS[5], 429, "the rate limit was reached (429)"),
        (REQUESTS[6], 500, "the Hub failed (500)"),
    ],
)
def test_a_refusal_of_the_hub_is_one_clear_line_and_the_next_run_finishes(hub, seal, request_, status, message):
    hub.fault(*request_, status=status, times=9)
    failed = seal()
    assert failed.returncode == 2
    assert message in failed.stderr
    assert failed.stderr.startswith("seal publish: cannot ")
    assert len(failed.stderr.splitlines()) == 1
    hub.heal()
    assert seal().returncode == 0
    assert not hub.repos["space", "seal/reward_shift"].private


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request[1])
def test_killed_at_any_request_the_next_run_finishes(hub, seal, request_):
    fault = hub.fault(*request_, how="hang")
    killed = seal(meanwhile=lambda: fault.reached.wait(60))
    assert fault.reached.is_set()
    assert killed.returncode == -9
    assert all(repo.private for repo in hub.repos.values())
    assert seal().returncode == 0
    assert dict(space_files("reward_shift")).items() <= dict(hub.files("space", "seal/reward_shift")).items()
    assert (hub.repos["space", "seal/reward_shift"].private, len(hub.asked("PUT", "/settings"))) != (True, 0)
    assert seal().stdout == "space seal/reward_shift  up to date\n"


@pytest.mark.parametrize("request_", [REQUESTS[2], REQUESTS[5], REQUESTS[6]], ids=lambda request: request[1])
@pytest.mark.parametrize("how", ["cut", "lost"])
def test_a_connection_that_breaks_once_is_made_good(hub, seal, request_, how):
    hub.fault(*request_, how=how)
    published = seal()
    assert published.returncode == 0, published.stderr
    assert not hub.repos["space", "seal/reward_shift"].private
    assert len(hub.repos["space", "seal/reward_shift"].commits) == 2


@pytest.mark.parametrize("request_", [REQUESTS[2], REQUESTS[5], REQUESTS[6]], ids=lambda request: request[1])
def test_a_connection_that_goes_on_breaking_is_told_and_the_next_run_finishes(hub, seal, request_):
    hub.fault(*request_, times=20)
    failed = seal()
    assert failed.returncode == 2
    assert "cannot be reached, or the connection broke" in failed.stderr
    hub.heal()
    finished = seal()
    assert finished.returncode == 0, finished.stderr
    assert not hub.repos["space", "seal/reward_shift"].private
    assert len(hub.repos["space", "seal/reward_shift"].commits) == 2


def test_without_a_network_the_address_is_named(seal):
    for arguments in (ONE, [*ONE, "--dry-run"]):
        failed = seal(arguments, environment={"HF_ENDPOINT": "http://127.0.0.1:9"})
        assert failed.returncode == 2
        assert "the Hub at http://127.0.0.1:9 cannot be reached" in failed.stderr
    failed = seal(environment={"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set" in failed.stderr


def test_names_are_checked_before_anything_is_asked():
    with pytest.raises(DataError, match="there is no metric 'accuracy'"):
        publish_metrics("seal", ["accuracy"], dry_run=True)
