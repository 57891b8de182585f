"""The double of the Hub, held against the real clients: it answers what they ask, and fails when it is told to."""

import http.client
import json
import subprocess
import sys
import threading
import urllib.request

import pytest

from tests.hub.hub_double import READ_TOKEN, WRITE_TOKEN, card_problems

CARD = "---\\nsdk: gradio\\nsdk_version: 6.31.0\\n---\\n# A Space\\n"
SPACE = f"""
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()
print(api.whoami()["name"], api.create_repo("seal/thing", repo_type="space", space_sdk="gradio", exist_ok=True))
files = {{"README.md": "{CARD}", "sub/app.py": "print(1)"}}
operations = [CommitOperationAdd(path, content.encode()) for path, content in files.items()]
info = api.create_commit("seal/thing", operations, commit_message="first", repo_type="space")
"""


def test_a_space_is_made_and_read_back(hub, hub_client):
    made = hub_client(SPACE)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == ["tester", f"{hub.url}/spaces/seal/thing"]
    assert hub.files("space", "seal/thing")["sub/app.py"] == b"print(1)"
    read = hub_client(
        """
import os
from huggingface_hub import HfApi, snapshot_download
api = HfApi()
info = api.space_info("seal/thing")
print(info.sdk, sorted(each.rfilename for each in info.siblings), info.private)
print(sorted(each.path for each in api.list_repo_tree("seal/thing", repo_type="space")))
print(api.get_paths_info("seal/thing", ["sub/app.py", "no"], repo_type="space")[0].size)
print(api.list_repo_refs("seal/thing", repo_type="space").branches[0].target_commit == info.sha)
print([each.title for each in api.list_repo_commits("seal/thing", repo_type="space")])
print(open(os.path.join(snapshot_download("seal/thing", repo_type="space"), "sub/app.py")).read())
""",
        token=None,
    )
    assert read.stdout.splitlines() == [
        "gradio ['.gitattributes', 'README.md', 'sub/app.py'] False",
        "['.gitattributes', 'README.md', 'sub']",
        "8",
        "True",
        "['first', 'initial commit']",
        "print(1)",
    ], read.stderr


def test_the_same_files_again_are_no_commit(hub, hub_client):
    assert hub_client(SPACE + SPACE).returncode == 0
    assert len(hub.repos["space", "seal/thing"].commits) == 2


def test_a_dataset_goes_up_and_comes_back_and_its_blobs_go_once(hub, hub_client):
    push = """
from datasets import Dataset
rows = Dataset.from_dict({"a": list(range(1000)), "b": ["x"] * 1000})
rows.push_to_hub("seal/rows", "pairs", max_shard_size="1KB")
rows.push_to_hub("seal/rows", "labels")
"""
    pushed = hub_client(push)
    assert pushed.returncode == 0, pushed.stderr
    blobs = len(hub.asked("PUT", "/lfs-store/"))
    assert blobs > 2
    again = hub_client(push)
    assert again.returncode == 0, again.stderr
    assert len(hub.asked("PUT", "/lfs-store/")) == blobs
    read = hub_client(
        """
from datasets import load_dataset
rows = load_dataset("seal/rows", "pairs", split="train")
stream = load_dataset("seal/rows", "labels", split="train", streaming=True)
print(len(rows), sum(rows["a"]), sum(row["a"] for row in stream))
""",
        token=None,
    )
    assert read.stdout.split() == ["1000", "499500", "499500"], read.stderr


def test_cards_are_pushed_and_updated(hub, hub_client):
    done = hub_client("""
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData, metadata_load, metadata_update
HfApi().create_repo("seal/model")
ModelCard("---\\nlicense: mit\\n---\\n# Model\\n").push_to_hub("seal/model")
metadata_update("seal/model", {"tags": ["seal"]})
print(ModelCard.load("seal/model").data.to_dict())
""")
    assert done.stdout.strip() == "{'license': 'mit', 'tags': ['seal']}", done.stderr


@pytest.mark.parametrize(
    ("card", "repo_type", "wrong"),
    [
        ("---\nlicense: mit\ntags: [a]\n---\n", "dataset", 0),
        ("---\nlicense: MIT License\n---\n", "dataset", 1),
        ("---\ntags: a\n---\n", "model", 1),
        ("---\n- a\n---\n", "model", 1),
        ("---\na: [\n---\n", "model", 1),
        ("---\nsdk: gradio\nsdk_version: 6\n---\n", "space", 1),
        ("---\nsdk: gradio\ncolorFrom: teal\n---\n", "space", 1),
        ("---\ntitle: no sdk\n---\n", "space", 1),
    ],
)
def test_front_matter_is_parsed(card, repo_type, wrong):
    assert len(card_problems(card, repo_type)[0]) == wrong


def test_a_card_that_is_not_valid_is_refused(hub, hub_client):
    refused = hub_client(SPACE.replace("sdk: gradio", "sdk: cobol"))
    assert "Invalid metadata in README.md" in refused.stderr
    assert len(hub.repos["space", "seal/thing"].commits) == 1


def test_who_may_write(hub, hub_client):
    for token, error in ((None, "401"), (READ_TOKEN, "403"), ("hf_other", "401")):
        refused = hub_client(SPACE.replace('api.whoami()["name"]', '""'), token=token)
        assert f"{error} " in refused.stderr
    elsewhere = hub_client("from huggingface_hub import HfApi\nHfApi().create_repo('google/thing')")
    assert "403 Forbidden: You don't have the rights" in elsewhere.stderr
    assert not hub.repos


def test_a_private_repository_is_hidden_from_strangers(hub, hub_client):
    hub.put("dataset", "seal/secret", {"a.txt": "1"}, private=True)
    look = "from huggingface_hub import HfApi\nprint(HfApi().dataset_info('seal/secret').private)"
    assert hub_client(look).stdout.strip() == "True"
    assert "RepositoryNotFoundError" in hub_client(look, token=None).stderr


def test_a_parent_that_is_no_longer_the_last_is_refused(hub, hub_client):
    hub.put("space", "seal/thing", {"README.md": CARD})
    refused = hub_client(SPACE.replace('commit_message="first"', f'commit_message="f", parent_commit="{"0" * 40}"'))
    assert "412" in refused.stderr


@pytest.mark.parametrize(
    ("how", "error", "commits"),
    [
        ({"status": 409}, "409", 1),
        ({"status": 500}, "500", 1),
        ({"how": "cut"}, "RemoteProtocolError", 1),
        ({"how": "lost"}, "RemoteProtocolError", 2),
    ],
)
def test_faults_strike_the_request_they_name(hub, hub_client, how, error, commits):
    fault = hub.fault("POST", r"/commit/main$", **how)
    failed = hub_client(SPACE)
    assert error in failed.stderr
    assert fault.reached.is_set()
    assert len(hub.repos["space", "seal/thing"].commits) == commits
    assert hub_client(SPACE).returncode == 0
    assert [each.status for each in hub.asked("POST", "/commit/main")] == [how.get("status", 0)] + [200] * (2 - commits)


def test_a_fault_waits_for_its_turn_and_a_client_retries_what_it_may(hub, hub_client):
    hub.fault("GET", "/api/whoami-v2", nth=2, status=429)
    asks = "from huggingface_hub import HfApi\n" + "print(HfApi().whoami()['name'])\n" * 2
    failed = hub_client(asks)
    assert failed.stdout.split() == ["tester"]
    assert "rate limit" in failed.stderr
    hub.fault("POST", "/preupload/main", status=429, headers={"Retry-After": "0"})
    assert hub_client(SPACE).returncode == 0
    assert [each.status for each in hub.asked("POST", "/preupload/main")] == [429, 200]
    hub.fault("GET", "/api/whoami-v2", status=500)
    hub.heal()
    assert hub_client(asks).returncode == 0


def test_a_hanging_request_lets_the_client_be_killed(hub, tmp_path):
    fault = hub.fault("POST", "/commit/main", how="hang")
    client = subprocess.Popen([sys.executable, "-c", SPACE], env=hub.environment(tmp_path), stdout=subprocess.DEVNULL)
    assert fault.reached.wait(60)
    client.kill()
    assert client.wait() != 0
    assert len(hub.repos["space", "seal/thing"].commits) == 1


def test_blobs_are_checked_and_only_taken_where_an_upload_was_offered(hub):
    def put(path):
        connection = http.client.HTTPConnection("127.0.0.1", int(hub.url.rsplit(":", 1)[1]))
        connection.request("PUT", path, body=b"a")
        return connection.getresponse().status

    assert put("/lfs-store/" + "0" * 64) == 403
    hub._offered.add("0" * 64)
    assert put("/lfs-store/" + "0" * 64) == 400


def test_ranges_are_served(hub):
    hub.put("dataset", "seal/rows", {"a.parquet": b"0123456789"})
    request = urllib.request.Request(
        f"{hub.url}/datasets/seal/rows/resolve/main/a.parquet", headers={"Range": "bytes=2-4"}
    )
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read(), answer.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")


def test_many_clients_at_once_do_not_disturb_one_another(hub):
    def create(n):
        body = json.dumps({"name": f"n{n}", "type": "dataset"}).encode()
        request = urllib.request.Request(f"{hub.url}/api/repos/create", data=body, method="POST")
        request.add_header("Authorization", f"Bearer {WRITE_TOKEN}")
        urllib.request.urlopen(request).close()

    threads = [threading.Thread(target=create, args=(n,)) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(hub.repos) == 20
