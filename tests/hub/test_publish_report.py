"""A report on the cards of its dataset and its reward model, on a double of the Hub."""

import json
import shutil

import pytest
import yaml
from datasets import Dataset
from huggingface_hub import DatasetCard, ModelCard

from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.report.tables import NAMES
from tests.hub.conftest import audit_noisy_models
from tests.hub.hub_double import READ_TOKEN, card_problems

DATASET, MODEL = "tester/audit", "tester/rm"
PUBLISH = ("publish", "report")
OPTIONS = ("--repo", DATASET, "--model-repo", MODEL)
MODEL_CARD = """---
library_name: transformers
model-index:
- name: my-rm
  results:
  - task: {type: text-classification}
    dataset: {name: RewardBench, type: allenai/reward-bench}
    metrics:
    - {type: accuracy, value: 0.5}
---
# My model

My words.
"""


@pytest.fixture
def model(hub):
    hub.put("model", MODEL, {"README.md": MODEL_CARD, "config.json": "{}"})


def test_both_cards_hold_the_report_and_what_was_there(hub, seal, model, audit_folder):
    assert seal("publish", "dataset", audit_folder, "--repo", DATASET, "--with-texts").code == 0
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 0, said.said
    files = hub.files("dataset", DATASET)
    assert {"report.md", "figures/table1_regimes.png", "figures/figure3_imprint.png", "run.json"} <= set(files)
    text = files["report.md"].decode()
    assert "report.html" not in text
    for kind in ("csv", "tex"):
        names = set(NAMES) & {name.removeprefix("tables/").removesuffix(f".{kind}") for name in files}
        assert {"resistance", "regimes", "imprint", "labels"} <= names
    assert all(f"(tables/{name}.csv)" in text for name in names)
    card = files["README.md"].decode()
    assert card_problems(card, "dataset") == ([], [])
    assert DatasetCard(card).data.configs[0]["config_name"] == "pairs"
    report = json.loads((audit_folder / "report.json").read_text())
    resistance = report["models"]["post"]["resistance"]["all"]
    low, high = resistance["confidence_interval"]
    figure = f"{100 * resistance['alignment_resistance']:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
    assert card.index("<!-- seal:end dataset -->") < card.index("<!-- seal:begin report -->")
    for words in (
        "Table 1",
        "](figures/table1_regimes.png)",
        "](figures/figure3_imprint.png)",
        "agreement with gold labels",
        "$0.01",
        "Intended use and limits",
        "Content warning",
        "AAAI 2025",
        "taxonomy",
        figure,
    ):
        assert words in card, words
    for content in files.values():
        assert b"/home/somebody" not in content
    text = hub.files("model", MODEL)["README.md"].decode()
    assert card_problems(text, "model") == ([], [])
    assert "My words.\n\n<!-- seal:begin report -->" in text
    assert f"{hub.url}/datasets/{DATASET}/resolve/main/figures/figure3_imprint.png" in text
    assert figure in text
    data = ModelCard(text).data
    assert data.model_name == "my-rm"
    found = {each.metric_name or each.metric_type: each for each in data.eval_results}
    assert found["accuracy"].metric_value == 0.5
    ours = found["Alignment resistance"]
    assert ours.metric_value == resistance["alignment_resistance"]
    assert ours.dataset_type == DATASET
    assert ours.metric_args["confidence_interval"] == [low, high]
    entries = yaml.safe_load(hub.files("model", MODEL)[".eval_results/seal.yaml"])
    assert entries[0]["dataset"] == {"id": DATASET, "task_id": "alignment_resistance"}
    assert entries[0]["value"] == resistance["alignment_resistance"]
    assert entries[0]["source"]["url"] == f"{hub.url}/datasets/{DATASET}"
    assert {each["dataset"]["task_id"] for each in entries} >= {"alignment_score", "alignment_resistance_heldout"}


def test_every_result_of_a_model_is_a_task_of_the_published_dataset(hub, seal, model, audit_folder):
    assert seal("publish", "dataset", audit_folder, "--repo", DATASET, "--source-license", "cc-by-4.0").code == 0
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    tasks = yaml.safe_load(hub.files("dataset", DATASET)["eval.yaml"])["tasks"]
    assert {(each["config"], each["split"]) for each in tasks} == {("pairs", "train")}
    assert "pairs/train-00000-of-00001.parquet" in hub.files("dataset", DATASET)
    entries = yaml.safe_load(hub.files("model", MODEL)[".eval_results/seal.yaml"])
    assert {each["dataset"]["task_id"] for each in entries} <= {each["id"] for each in tasks}


def test_the_page_becomes_a_space_without_texts_and_cards_link_to_it(hub, seal, model, audit_folder):
    said = seal(*PUBLISH, audit_folder, *OPTIONS, "--space", "tester/page")
    assert said.code == 0, said.said
    files = hub.files("space", "tester/page")
    assert set(files) >= {"README.md", "index.html", ".seal.json"}
    assert card_problems(files["README.md"].decode(), "space") == ([], [])
    assert b"sdk: static" in files["README.md"]
    assert f"({hub.url}/spaces/tester/page)" in hub.files("dataset", DATASET)["report.md"].decode()
    page = files["index.html"].decode()
    assert "and no texts; the audit" in page
    for kind, name in (("dataset", DATASET), ("model", MODEL)):
        assert f"{hub.url}/spaces/tester/page" in hub.files(kind, name)["README.md"].decode()
    again = seal(*PUBLISH, audit_folder, *OPTIONS, "--space", "tester/page")
    assert "space tester/page  up to date" in again.said
    with_texts = seal(*PUBLISH, audit_folder, *OPTIONS, "--space", "tester/page", "--with-texts")
    assert with_texts.code == 0, with_texts.said
    assert "and no texts; the audit" not in hub.files("space", "tester/page")["index.html"].decode()
    hub.put("space", "tester/other", {"index.html": "somebody's"})
    refused = seal(*PUBLISH, audit_folder, *OPTIONS, "--space", "tester/other")
    assert refused.code != 0
    assert "holds files of somebody else" in refused.said
    idle = seal(*PUBLISH, audit_folder, *OPTIONS, "--with-texts")
    assert "no --space is given" in idle.said


def test_a_result_without_an_interval_is_published_without_one(hub, seal, model, tmp_path):
    rows = [{"prompt": "q", "chosen": f"yes {n}", "rejected": "no", "a": n - 2, "b": 0} for n in range(8)]
    audit_own_rewards(Dataset.from_list(rows), tmp_path / "audit", {"rm": ("a", "b")})  # one prompt, so no interval
    said = seal(*PUBLISH, tmp_path / "audit", *OPTIONS)
    assert said.code == 0, said.said
    (resistance, score) = yaml.safe_load(hub.files("model", MODEL)[".eval_results/seal.yaml"])
    assert (resistance["value"], score["value"]) == (3 / 8, 5 / 8)
    assert resistance["notes"].startswith("Alignment resistance: 8 pairs; ")
    args = [each.metric_args for each in ModelCard(hub.files("model", MODEL)["README.md"].decode()).data.eval_results]
    assert args[1:] == [{"n_pairs": 8}, {"n_pairs": 8}]


def test_again_commits_nothing_and_a_change_stays_between_the_markers(hub, seal, model, audit_folder):
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    commits = {name: len(repo.commits) for name, repo in hub.repos.items()}
    again = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert again.said == f"dataset {DATASET}  up to date\nmodel {MODEL}  up to date\n"
    assert {name: len(repo.commits) for name, repo in hub.repos.items()} == commits
    text = hub.files("model", MODEL)["README.md"].decode()
    edited = text.replace("My words.", "Newer words.").replace("## SEAL audit", "## Vandalised")
    hub.put("model", MODEL, {**hub.files("model", MODEL), "README.md": edited})
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    assert hub.files("model", MODEL)["README.md"].decode() == text.replace("My words.", "Newer words.")


def test_strangers_read_the_report_back(hub, hub_client, seal, model, audit_folder):
    assert seal(*PUBLISH, audit_folder, *OPTIONS).code == 0
    read = hub_client(
        f"""
import json
from huggingface_hub import DatasetCard, ModelCard, hf_hub_download
report = json.load(open(hf_hub_download("{DATASET}", "report.json", repo_type="dataset")))
print(report["models"]["post"]["resistance"]["all"]["alignment_resistance"])
print(ModelCard.load("{MODEL}").data.eval_results[1].metric_value)
print("seal" in DatasetCard.load("{DATASET}").data.tags)
""",
        token=None,
    )
    before = json.loads((audit_folder / "report.json").read_text())["models"]["post"]["resistance"]["all"][
        "alignment_resistance"
    ]
    assert read.stdout.split() == [str(before), str(before), "True"], read.stderr


def test_each_of_several_models_gets_its_own_results(hub, seal, enriched, tmp_path):
    audit_noisy_models(enriched[0], "abc", tmp_path / "audit")
    report = json.loads((tmp_path / "audit" / "report.json").read_text())
    for name in "abc":
        hub.put("model", f"tester/{name}", {"README.md": f"# {name}\n"})
    repos = ["--model-repo", "a=tester/a", "--model-repo", "tester/c", "--repo", DATASET]
    said = seal(*PUBLISH, tmp_path / "audit", *repos)
    assert said.code == 0, said.said
    for name, tasks in (("a", set()), ("c", {"reward_shift"})):  # a is the baseline
        entries = yaml.safe_load(hub.files("model", f"tester/{name}")[".eval_results/seal.yaml"])
        found = {entry["dataset"]["task_id"]: entry["value"] for entry in entries}
        resistance = report["models"][name]["resistance"]["all"]["alignment_resistance"]
        assert found["alignment_resistance"] == resistance
        assert {"reward_shift"} & set(found) == tasks
        assert f"This model is {name} in a SEAL audit" in hub.files("model", f"tester/{name}")["README.md"].decode()
    assert ".eval_results/seal.yaml" not in hub.files("model", "tester/b")
    for repo, message in ((["d=tester/a"], "the audit's models are a, b, c"), (["c=x/y", "x/z"], "more than once")):
        wrong = seal(*PUBLISH, tmp_path / "audit", "--repo", DATASET, *(f"--model-repo={each}" for each in repo))
        assert (wrong.code, message in wrong.said) == (2, True)


def test_a_dry_run_changes_nothing(hub, seal, model, audit_folder):
    said = seal(*PUBLISH, audit_folder, *OPTIONS, "--dry-run").said
    assert "~ README.md" in said
    assert "+ .eval_results/seal.yaml" in said
    assert list(hub.repos) == [("model", MODEL)]
    assert len(hub.repos["model", MODEL].commits) == 1


def test_a_missing_model_stops_before_anything_is_written(hub, seal, audit_folder):
    said = seal(*PUBLISH, audit_folder, *OPTIONS)
    assert said.code == 2
    assert f"the model {MODEL} does not exist" in said.said
    assert not hub.repos


def test_other_content_a_read_token_and_broken_markers_stop_it(hub, seal, model, audit_folder):
    assert "is read-only" in seal(*PUBLISH, audit_folder, *OPTIONS, token=READ_TOKEN).said
    hub.put("model", MODEL, {"README.md": MODEL_CARD + "<!-- seal:begin report -->\n"})
    assert "mend the card" in seal(*PUBLISH, audit_folder, *OPTIONS).said
    assert ("dataset", DATASET) not in hub.repos
    hub.put("dataset", DATASET, {"train.csv": "a"})
    assert "not of an audit (train.csv)" in seal(*PUBLISH, audit_folder, *OPTIONS).said


@pytest.mark.parametrize(
    "name",
    ["figures/table1_regimes.png", "doctor.json", "recipe.yaml", "report.json", "run.json", "pairs.parquet", "figures"],
)
def test_a_link_is_never_followed_to_what_it_points_at(hub, seal, audit_folder, tmp_path, name):
    folder = tmp_path / "audit"
    shutil.copytree(audit_folder, folder)
    secret = tmp_path / "secret"
    if (folder / name).exists():
        shutil.move(folder / name, secret)
    else:
        secret.write_text('{"password": "1234"}')
    (folder / name).symlink_to(secret)
    said = seal(*PUBLISH, folder, "--repo", DATASET)
    assert said.code == 2, said.said
    assert f"{folder / name} is a link; only files of the audit itself are published" in said.said
    assert hub.repos == {} or set(hub.files("dataset", DATASET)) <= {".gitattributes"}


def test_only_what_a_report_has_is_published(hub, seal, audit_folder, tmp_path):
    folder = tmp_path / "audit"
    shutil.copytree(audit_folder, folder)
    for name in ("figures/notes.png", "figures/.netrc", "keys.json", "labels.sqlite"):
        (folder / name).write_text("mine")
    (folder / "doctor.json").write_text('{"post": {"model": "/home/me/secret/rm", "jitter": 0.0}}')
    said = seal(*PUBLISH, folder, "--repo", DATASET)
    assert said.code == 0, said.said
    files = hub.files("dataset", DATASET)
    assert not {"figures/notes.png", "figures/.netrc", "keys.json", "labels.sqlite"} & set(files)
    assert json.loads(files["doctor.json"]) == {"post": {"model": "rm", "jitter": 0.0}}
