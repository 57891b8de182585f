"""An audited dataset on a double of the Hub: what gets there, what comes back, and what happens when something fails."""

import json
import shutil
import subprocess
import sys

import pytest
from datasets import Dataset
from huggingface_hub import DatasetCard

from seal_datasets.report.files import differences
from tests.hub.hub_double import READ_TOKEN, WRITE_TOKEN, card_problems

REPO = "tester/audit"
PUBLISH = ("publish", "dataset")
OPTIONS = ("--repo", REPO, "--source-license", "cc-by-4.0")


def published(hub, repo=REPO):
    return hub.files("dataset", repo)


def test_the_dataset_is_whole_and_read_back_by_strangers(hub, hub_client, seal, audit_folder):
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 0, said.said
    assert f"{hub.url}/datasets/{REPO}" in said.said
    files = published(hub)
    assert set(files) == {
        ".gitattributes",
        "README.md",
        "run.json",
        "report.json",
        "eval.yaml",
        "pairs/train-00000-of-00001.parquet",
        "labels/train-00000-of-00001.parquet",
        "rewards/train-00000-of-00001.parquet",
    }
    assert not (audit_folder / ".publishing").exists()
    card = DatasetCard(files["README.md"].decode())
    assert card_problems(files["README.md"].decode(), "dataset") == ([], [])
    assert card.data.license == "cc-by-4.0"
    assert [each["config_name"] for each in card.data.configs] == ["pairs", "labels", "rewards"]
    assert "Content warning" in card.text
    for content in files.values():
        assert not any(word in content for word in (b"/home/somebody", b"me:secret", WRITE_TOKEN.encode()))
    read = hub_client(
        f"""
import json
from datasets import load_dataset
pairs = load_dataset("{REPO}", split="train")
stream = load_dataset("{REPO}", "rewards", split="train", streaming=True)
rewards = [row["reward_post_chosen"] for row in stream]
print(json.dumps([len(pairs), pairs.features["regime_post"].names, pairs["chosen"][:], rewards]))
""",
        token=None,
    )
    assert read.returncode == 0, read.stderr
    n, names, chosen, rewards = json.loads(read.stdout)
    table = Dataset.from_parquet(str(audit_folder / "pairs.parquet"))
    assert n == 120
    assert names[0] == "stayed_aligned"
    assert chosen == table["chosen"][:]
    assert repr(rewards) == repr(table["reward_post_chosen"][:])


def test_seal_audit_of_the_published_dataset_finds_every_number_again(hub, seal, audit_folder, tmp_path):
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    again = seal("audit", REPO, "--out", tmp_path / "again", token=None)
    assert again.code == 0, again.said
    assert "OK: all numbers of the published report reproduced" in again.said
    before, after = (json.loads((each / "report.json").read_text()) for each in (audit_folder, tmp_path / "again"))
    assert {**after, "run": None} == {**before, "run": None}
    same = Dataset.from_parquet(str(tmp_path / "again" / "pairs.parquet"))
    table = Dataset.from_parquet(str(audit_folder / "pairs.parquet"))
    assert set(same.column_names) == set(table.column_names)
    assert all(repr(same[name][:]) == repr(table[name][:]) for name in table.column_names)
    hub.put(
        "dataset",
        REPO,
        {**published(hub), "report.json": published(hub)["report.json"].replace(b'"n_ties": ', b'"n_ties": 1')},
    )
    other = seal("audit", REPO, "--out", tmp_path / "other", token=None)
    assert other.code == 1
    assert "entries differ: models.post.resistance.all" in other.said


def test_ids_only_holds_no_text_and_is_joined_in_the_line_on_its_card(hub, hub_client, seal, audit_folder, tmp_path):
    said = seal(*PUBLISH, audit_folder, "--repo", REPO, "--ids-only")
    assert said.code == 0, said.said
    table = Dataset.from_parquet(str(audit_folder / "pairs.parquet"))
    texts = [text.encode() for name in ("prompt", "chosen", "rejected") for text in table[name] if text]
    assert not [text for text in texts if any(text in content for content in published(hub).values())]
    card = published(hub)["README.md"].decode()
    assert "license" not in DatasetCard(card).data.to_dict()
    assert "Gold labels came with the source" in card
    again = seal("audit", REPO, "--out", tmp_path / "again", token=None)
    assert again.code == 1
    assert "is corrected by gold labels, which were not published with it" in again.said
    before, after = (json.loads((each / "report.json").read_text()) for each in (audit_folder, tmp_path / "again"))
    differing = set(differences(before, {**after, "run": before["run"]}))
    assert {"correction.status", "claims[0].corrected"} <= differing
    assert not [name for name in differing if ".resistance" in name or ".regimes" in name or name.startswith("data")]
    code = card.split("in one line:")[1].split("```python\n")[1].split("```")[0]
    table.select_columns(["prompt", "chosen", "rejected"]).to_json(str(tmp_path / "pairs.jsonl"))
    joined = hub_client(
        code + "\nprint(len(pairs), pairs['chosen'].notna().sum(), pairs['regime_post'].notna().sum())", token=None
    )
    assert joined.stdout.split() == ["120", "119", "117"], joined.stderr


@pytest.mark.parametrize(
    ("license_", "words"),
    [
        ("cc-by-nd-4.0", "forbids changed copies"),
        ("other", "is not known to permit redistribution"),
        ("cc", "is not known to permit redistribution"),  # the family, of which some forbid changed copies
        (None, "not known"),
    ],
)
def test_a_license_that_leaves_it_open_needs_a_decision(hub, seal, audit_folder, license_, words):
    given = ("--source-license", license_) if license_ else ()
    said = seal(*PUBLISH, audit_folder, "--repo", REPO, *given)
    assert said.code == 2
    assert words in said.said
    assert "--ids-only" in said.said
    assert "--with-texts" in said.said
    assert not hub.requests
    assert seal(*PUBLISH, audit_folder, "--repo", REPO, *given, "--with-texts").code == 0


def test_the_license_is_read_from_the_card_of_a_source_on_the_hub(hub, seal, audit_folder, tmp_path):
    folder = tmp_path / "audit"
    shutil.copytree(audit_folder, folder)
    for name in ("run.json", "report.json"):
        content = json.loads((folder / name).read_text())
        run = content if name == "run.json" else content["run"]
        run["source"], run["diagnosis"] = "seal/source", {**run["diagnosis"], "fingerprint": "hub:abc"}
        (folder / name).write_text(json.dumps(content))
    hub.put("dataset", "seal/source", {"README.md": "---\nlicense: odc-by\n---\n"})
    assert seal(*PUBLISH, folder, "--repo", REPO).code == 0
    assert DatasetCard(published(hub)["README.md"].decode()).data.license == "odc-by"
    hub.put("dataset", "seal/source", {"README.md": "---\nlicense: [mit, cc-by-nc-nd-4.0]\n---\n"})
    assert "'cc-by-nc-nd-4.0', forbids" in seal(*PUBLISH, folder, "--repo", REPO).said


def test_again_is_no_commit_and_a_card_that_somebody_wrote_on_is_kept(hub, seal, audit_folder):
    mine = "---\npretty_name: Mine\nconfigs:\n- config_name: extra\n  data_files: x.csv\n---\n# Mine\n\nMy words.\n"
    hub.put("dataset", REPO, {"README.md": mine, ".gitattributes": ""})
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    card = published(hub)["README.md"].decode()
    assert "My words.\n\n<!-- seal:begin dataset -->" in card
    data = DatasetCard(card).data
    assert data.pretty_name == "Mine"
    assert [each["config_name"] for each in data.configs] == ["pairs", "labels", "rewards", "extra"]
    edited = card.replace("My words.", "Other words.").replace("## Tables", "## Vandalised") + "\nBelow.\n"
    hub.put("dataset", REPO, {**published(hub), "README.md": edited})
    said = seal(*PUBLISH, audit_folder, *OPTIONS).said
    assert [line.split(" (")[0] for line in said.splitlines()[:-1]] == [f"dataset {REPO}  update", "  ~ README.md"]
    text = published(hub)["README.md"].decode()
    assert "Other words." in text
    assert "Below." in text
    assert "Vandalised" not in text
    commits = len(hub.repos["dataset", REPO].commits)
    assert seal(*PUBLISH, audit_folder, *OPTIONS).said == f"dataset {REPO}  up to date\n"
    assert len(hub.repos["dataset", REPO].commits) == commits


def test_a_dry_run_changes_nothing(hub, seal, audit_folder):
    said = seal(*PUBLISH, audit_folder, *OPTIONS, "--dry-run", token=None)
    assert said.code == 0
    assert "+ pairs/train-00000-of-00001.parquet (" in said.said
    assert said.said.startswith(f"dataset {REPO}  new, public\n")
    assert said.said.endswith("  nothing was changed: this is a dry run\n")
    assert not hub.repos


def test_shards_of_an_earlier_publication_go_in_the_same_commit(hub, seal, audit_folder):
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    hub.put("dataset", REPO, {**published(hub), "pairs/train-00001-of-00002.parquet": b"old", "notes.txt": b"mine"})
    said = seal(*PUBLISH, audit_folder, *OPTIONS).said
    assert "- pairs/train-00001-of-00002.parquet" in said
    assert "pairs/train-00001-of-00002.parquet" not in published(hub)
    assert published(hub)["notes.txt"] == b"mine"


def test_a_repository_that_holds_something_else_is_left_alone(hub, seal, audit_folder):
    hub.put("dataset", REPO, {"data/train.csv": "a"})
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 2
    assert "holds files that are not of an audit (data/train.csv); nothing was changed" in said.said
    hub.put("dataset", "tester/other", {"run.json": json.dumps({"source": "another"})})
    assert "an audit of 'another'" in seal(*PUBLISH, audit_folder, "--repo", "tester/other", "--with-texts").said
    assert all(len(repo.commits) == 1 for repo in hub.repos.values())


def test_private_is_what_a_new_one_becomes_and_an_old_one_stays(hub, seal, audit_folder):
    assert seal(*PUBLISH, audit_folder, *OPTIONS, "--private").code == 0
    assert hub.repos["dataset", REPO].private
    assert seal(*PUBLISH, audit_folder, "--repo", REPO, "--ids-only").code == 0
    assert hub.repos["dataset", REPO].private


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"/api/datasets/{REPO}$", 500, "the Hub failed (500)"),
        ("/commit/main$", 409, "somebody else changed the repository"),
        ("/commit/main$", 412, "somebody else changed the repository"),
        ("/commit/main$", 429, "the rate limit was reached"),
        ("/commit/main$", 500, "the Hub failed (500)"),
        ("/commit/main$", None, "connection broke"),
        ("/preupload/main$", 403, "write permission"),
    ],
)
def test_a_failing_hub_is_one_clear_line_and_nothing_is_half_there(hub, seal, audit_folder, path, status, words):
    for method in ("GET", "POST"):
        hub.fault(method, path, status=status, times=50)
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 2
    assert words in said.said
    assert len([line for line in said.said.splitlines() if line.startswith("seal publish: ")]) == 1
    assert "Traceback" not in said.said
    assert "hf_" not in said.said
    assert ("dataset", REPO) not in hub.repos or set(published(hub)) == {".gitattributes"}
    hub.heal()
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0


@pytest.mark.parametrize("path", ["/api/repos/create$", "/commit/main$"])
def test_what_was_done_though_its_answer_was_lost_is_not_done_twice(hub, seal, audit_folder, path):
    lost = hub.fault("POST", path, how="lost")
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert lost.reached.is_set()
    assert said.code == 0, said.said
    assert len(hub.repos["dataset", REPO].commits) == 2
    assert "up to date" in seal(*PUBLISH, audit_folder, *OPTIONS).said


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/whoami-v2$", 429),
        ("GET", f"/api/datasets/{REPO}$", 503),
        ("POST", "/api/repos/create$", 500),
        ("POST", "/preupload/main$", 502),
        ("POST", "/commit/main$", 429),
        ("POST", "/commit/main$", 500),
        ("GET", f"/api/datasets/{REPO}$", None),
        ("POST", "/preupload/main$", None),
        ("POST", "/commit/main$", None),
    ],
)
def test_a_hub_that_is_busy_for_a_moment_is_asked_again(hub, seal, audit_folder, method, path, status):
    hub.fault(method, path, status=status, times=2)
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 0, said.said
    assert len(hub.repos["dataset", REPO].commits) == 2


@pytest.mark.parametrize("status", [409, 412])
def test_what_somebody_commits_meanwhile_is_looked_at_and_kept(hub, seal, audit_folder, status):
    hub.put("dataset", REPO, {"README.md": "# Mine\n"})
    theirs = hub.fault("POST", "/commit/main$", status=status)
    theirs.then = lambda: hub.put("dataset", REPO, {"README.md": "# Mine\n\nWritten meanwhile.\n"})
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 0, said.said
    assert "changed meanwhile, or the connection broke; reading the repository again" in said.said
    card = published(hub)["README.md"].decode()
    assert "Written meanwhile." in card
    assert "<!-- seal:begin dataset -->" in card
    assert len(hub.repos["dataset", REPO].commits) == 3


def test_who_may_not_write_is_told_so_before_anything_is_made(hub, seal, audit_folder):
    for token, words in (
        (None, "there is no Hugging Face token"),
        (READ_TOKEN, "is read-only"),
        ("hf_wrong", "rejects the token"),
    ):
        said = seal(*PUBLISH, audit_folder, *OPTIONS, token=token)
        assert said.code == 2
        assert words in said.said
        assert "DoNotLeak" not in said.said
        assert "hf_wrong" not in said.said
    elsewhere = seal(*PUBLISH, audit_folder, "--repo", "google/audit", "--ids-only")
    assert elsewhere.code == 2
    assert "write permission for this namespace" in elsewhere.said
    assert not hub.repos


def test_without_a_network_it_says_so(hub_client, audit_folder):
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    said = hub_client(["-m", "seal_datasets.cli", *PUBLISH, audit_folder, *OPTIONS], environment=closed)
    assert said.returncode == 2
    assert "the Hub at http://127.0.0.1:9 cannot be reached" in said.stderr
    assert "Traceback" not in said.stderr
    assert WRITE_TOKEN not in said.stderr


def test_what_is_no_finished_audit_is_refused(seal, audit_folder, tmp_path):
    assert "finished `seal audit`" in seal(*PUBLISH, tmp_path, *OPTIONS).said
    shutil.copytree(audit_folder, tmp_path / "audit")
    run = json.loads((tmp_path / "audit" / "run.json").read_text())
    (tmp_path / "audit" / "run.json").write_text(json.dumps({**run, "source": "x"}))
    assert "different audits" in seal(*PUBLISH, tmp_path / "audit", *OPTIONS).said


def test_two_publishers_of_one_folder_work_apart(hub, seal, audit_folder, tmp_path):
    words = [*PUBLISH, str(audit_folder), "--repo", "tester/second", "--source-license", "cc-by-4.0"]
    second = {}

    def publish_meanwhile():
        second["ended"] = subprocess.run(
            [sys.executable, "-m", "seal_datasets.cli", *words],
            env=hub.environment(tmp_path / "home"),
            capture_output=True,
            text=True,
            check=False,
        )

    fault = hub.fault("POST", f"/api/datasets/{REPO}/preupload/main$", status=503)
    fault.then = publish_meanwhile
    first = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert second["ended"].returncode == 0, second["ended"].stderr
    assert first.code == 0, first.said
    assert published(hub) != {}
    tables = [
        {path: content for path, content in published(hub, repo).items() if "/" in path} for repo in (REPO, words[4])
    ]
    assert tables[0] == tables[1]
    assert not [path.name for path in audit_folder.iterdir() if "publishing" in path.name]
