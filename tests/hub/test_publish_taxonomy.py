"""A user's own taxonomy on a double of the Hub, and in use by its id."""

import pytest
from huggingface_hub import DatasetCard

from tests.hub.hub_double import READ_TOKEN, card_problems

REPO = "tester/kindness"
YAML = """\
name: kindness
version: "2.1"
features:
  - {name: is_kind, role: target, priority: 1, level: response, type: bool, question: "Is it <b>kind</b> | warm?"}
  - {name: warmth, role: spoiler, level: response, type: ordinal, values: {cold: -1, warm: 1}, question: "How warm?"}
  - {name: about, role: spoiler, level: conversation, type: labels, values: [love, work], question: "About what?"}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    return path


def test_it_is_published_with_a_card_and_loaded_by_its_id(hub, hub_client, seal, file):
    said = seal("publish", "taxonomy", file, "--repo", REPO)
    assert said.code == 0, said.said
    files = hub.files("dataset", REPO)
    assert files["taxonomy.yaml"].decode() == YAML
    card = files["README.md"].decode()
    assert card_problems(card, "dataset") == ([], [])
    assert "seal-taxonomy" in DatasetCard(card).data.tags
    assert "Is it &lt;b&gt;kind&lt;/b&gt; \\| warm?" in card
    assert "cold = -1, warm = 1" in card
    sha = hub.repos["dataset", REPO].commits[-1].sha
    read = hub_client(
        f"""
from seal_datasets import load_taxonomy
for each in ("{REPO}", "{REPO}@{sha}", {str(file)!r}):
    print(load_taxonomy(each).digest)
""",
        token=None,
    )
    assert len(set(read.stdout.split())) == 1, read.stderr
    assert len(read.stdout.split()) == 3
    assert "up to date" in seal("publish", "taxonomy", file, "--repo", REPO).said
    refused = seal("featurize", "demo.jsonl", "--taxonomy", "tester/absent", "--out", "o.parquet", "--labeler", "none")
    assert refused.code == 2


def test_an_id_without_a_taxonomy_says_where_was_looked(hub, hub_client):
    read = hub_client("from seal_datasets import load_taxonomy\nload_taxonomy('tester/absent')", token=None)
    assert "the dataset 'tester/absent' on the Hub has no readable" in read.stderr


def test_what_is_no_taxonomy_or_may_not_be_written_is_refused(hub, seal, file, tmp_path):
    (tmp_path / "wrong.yaml").write_text("name: x\n")
    assert "needs the keys" in seal("publish", "taxonomy", tmp_path / "wrong.yaml", "--repo", REPO).said
    assert "there is no file" in seal("publish", "taxonomy", tmp_path / "none.yaml", "--repo", REPO).said
    assert "is read-only" in seal("publish", "taxonomy", file, "--repo", REPO, token=READ_TOKEN).said
    hub.put("dataset", REPO, {"train.csv": "a"})
    assert "not of a taxonomy (train.csv)" in seal("publish", "taxonomy", file, "--repo", REPO).said
    assert len(hub.repos["dataset", REPO].commits) == 1


def test_killed_at_any_request_and_run_again_it_is_whole(hub, seal, file):
    assert seal("publish", "taxonomy", file, "--repo", REPO).code == 0
    whole, asked = dict(hub.files("dataset", REPO)), list(hub.requests)
    for number, request in enumerate(asked):
        hub.repos.clear()
        nth = 1 + sum((each.method, each.path) == request[:2] for each in asked[:number])
        fault = hub.fault(request.method, f"^{request.path}$", nth=nth, how="hang")
        assert seal("publish", "taxonomy", file, "--repo", REPO, kill_at=fault).code == -9
        assert ("dataset", REPO) not in hub.repos or set(hub.files("dataset", REPO)) == {".gitattributes"}
        hub.heal()
        assert seal("publish", "taxonomy", file, "--repo", REPO).code == 0
        assert hub.files("dataset", REPO) == whole
