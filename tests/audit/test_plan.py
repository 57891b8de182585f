"""The plan of an audit against the audit itself, with real small models and recorded answers."""

import math
from dataclasses import replace

import pytest
from datasets import Dataset

from seal_datasets.audit.given_models import GivenModels, give_models
from seal_datasets.audit.gold_step import draw_for_teacher
from seal_datasets.audit.plan import plan_audit
from seal_datasets.audit.plan_own_rewards import plan_own_rewards
from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.audit.probe_step import open_embeddings, open_encoder
from seal_datasets.audit.rewrite_step import plan_rewriting
from seal_datasets.audit.run import run_audit
from seal_datasets.audit.settings import AuditSettings, RewriteSettings, TeacherSettings
from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path
from seal_datasets.data.load import load_pairs
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.errors import DataError, ModelError
from seal_datasets.labels.featurize import iterate_texts
from seal_datasets.labels.probe import Probe
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.training_settings import TrainingSettings

SETTINGS = AuditSettings(
    limit=24, labeler="local", label_limit=6, features=("last_response_is_harmless", "last_response_is_helpful")
)
SERVER = {"labeler": "http://127.0.0.1:9/v1", "labeler_model": "gpt-4o-mini"}


def content(folder):
    """Names of files, and the answers in the store, whose file changes when it is opened."""
    with ResponseStore(folder / "labels.sqlite") as store:
        answers = list(store.responses())
    return sorted(path.name for path in folder.rglob("*")), answers


@pytest.mark.recorded
def test_a_plan_counts_what_the_audit_then_does_and_adds_nothing(reward_models, recorded, recorded_demo, tmp_path):
    settings = replace(SETTINGS, models=give_models(reward_models))
    out = tmp_path / "audit"
    out.mkdir()
    recorded(out / "labels.sqlite")
    before = content(out)
    plan = plan_audit(recorded_demo, out, settings)
    assert content(out) == before
    assert (plan["labels"].texts, plan["labels"].cached, plan["labels"].requests) == (12, 12, 0)
    for name in reward_models:
        step = plan[f"score {name}"]
        assert (step.pairs, step.texts, step.cached) == (24, 47, 0)  # of 48 texts two are equal
        assert 0.0 < step.seconds < math.inf
    report = run_audit(recorded_demo, out, settings)
    assert report["population"]["n_pairs"] == plan["load"].pairs
    with ScoreStore(out / "rewards") as stored:
        assert len(stored) == sum(plan[f"score {name}"].texts for name in reward_models)
    pairs = Dataset.from_parquet(str(out / "pairs.parquet"))
    texts = {
        (row["rejected_prompt"] or row["prompt"] if side == "rejected" else row["prompt"], row[side]): row[
            f"reward_tokens_post_{side}"
        ]
        for row in pairs
        for side in ("chosen", "rejected")
    }
    assert (len(texts), sum(texts.values())) == (plan["score post"].texts, plan["score post"].tokens)
    assert 0.5 < plan["report"].disk / sum(path.stat().st_size for path in report_files(out)) < 1.5
    again = plan_audit(recorded_demo, out, settings)
    for name in ("labels", "score pre", "score post"):
        step = again[name]
        assert (step.cached, step.tokens, step.seconds) == (step.texts, 0, 0.0)


def report_files(out):
    names = ("pairs.parquet", "report.html", "report.json", "report.md", "run.json", "README.md", "recipe.yaml")
    return [*(out / name for name in names), *(out / "figures").iterdir(), *(out / "tables").iterdir()]


def test_requests_of_a_server_are_counted_and_priced_and_none_is_sent(reward_models, tmp_path):
    """Ten pairs have twenty texts; half of the ten are rewritten, in one style."""
    wanted = RewriteSettings(share=0.5)
    models = give_models({**reward_models, "far": "served:http://127.0.0.1:9#my/rm"})
    settings = replace(SETTINGS, **SERVER, label_limit=10, rewrites=wanted, models=models, doctor=True)
    plan = plan_audit("demo", tmp_path / "audit", settings)
    assert plan["labels"].requests == plan["labels"].texts == 20
    assert 0.0 < plan["labels"].dollars < 0.1
    assert math.isnan(plan["labels"].seconds)
    assert "a server answers, and none is asked" in " ".join(plan["labels"].notes)
    assert plan["rewrites"].requests == plan["label rewrites"].requests == 10
    assert plan["score rewrites"].texts == 30
    assert math.isnan(plan["score far"].tokens)
    assert "a server computes it" in plan["score far"].notes[0]
    assert plan["doctor"].texts == 3 * 48
    assert math.isnan(plan.total("seconds"))
    assert "unknown" in str(plan)
    assert not list(tmp_path.iterdir())


def test_a_probe_is_timed_and_what_it_has_embedded_is_counted(tmp_path):
    settings = AuditSettings(limit=24, models=give_models({"far": "served:http://127.0.0.1:9#my/rm"}))
    pairs, _ = load_pairs(str(demo_path()), limit=24, seed=settings.seed)
    n_texts = len({(row["prompt"], row[side]) for row in pairs for side in ("chosen", "rejected")})
    step = plan_audit("demo", tmp_path / "audit", settings)["labels"]
    assert (step.pairs, step.texts, step.cached) == (24, n_texts, 0)
    assert 0.0 < step.seconds < math.inf
    assert "a probe on embedded" in step.notes[0]
    (tmp_path / "audit").mkdir()
    with open_embeddings(tmp_path / "audit" / "labels.sqlite") as store:
        Probe(open_encoder("embedded"), store=store).embed(text for *_, text in iterate_texts(pairs))
    again = plan_audit("demo", tmp_path / "audit", settings)["labels"]
    assert (again.cached, again.seconds) == (n_texts, 0.0)
    served = replace(settings, encoder="http://127.0.0.1:9/v1#my/encoder")
    step = plan_audit("demo", tmp_path / "audit", served)["labels"]
    assert (step.texts, step.notes) == (n_texts, ("time is not measured: a server embeds, and none is asked",))
    assert math.isnan(step.seconds)


def test_a_teacher_is_asked_for_its_share_and_a_probe_labels_the_rest(tmp_path):
    teacher = TeacherSettings(SERVER["labeler"], SERVER["labeler_model"], 0.5)
    features = ("last_response_is_harmless", "last_response_is_helpful")
    models = give_models({"far": "served:http://127.0.0.1:9#my/rm"})
    plan = plan_audit("demo", tmp_path / "audit", AuditSettings(teacher=teacher, features=features, models=models))
    asked = plan["labels of the teacher"]
    pairs, _ = load_pairs(str(demo_path()))
    ids, _ = draw_for_teacher(pairs, teacher, seed=0)
    assert asked.pairs == len(ids) < len(pairs)
    assert 0 < asked.requests == asked.texts <= 2 * asked.pairs
    assert 0.0 < asked.dollars < 1.0
    assert "a probe on embedded" in plan["labels"].notes[0]
    assert plan["labels"].pairs == len(pairs)


@pytest.mark.slow
def test_training_is_planned_and_found_again(tmp_path):
    training = TrainingSettings(max_length=64)
    settings = AuditSettings(limit=24, labeler="none", training=training)
    plan = plan_audit("demo", tmp_path / "audit", settings)
    train = plan["train"]
    assert train.cached == 0
    assert 0.0 < train.seconds < math.inf
    report = run_audit("demo", tmp_path / "audit", settings)
    assert report["run"]["training"]["training pairs"] == train.pairs
    sizes = [(tmp_path / "audit/models" / name / "model.safetensors").stat().st_size for name in ("pre", "post")]
    assert train.disk == pytest.approx(sum(sizes), rel=0.05)
    again = plan_audit("demo", tmp_path / "audit", settings)
    assert (again["train"].cached, again["train"].seconds) == (again["train"].texts, 0.0)
    assert again["score post"].cached == again["score post"].texts == plan["score post"].texts
    with pytest.raises(DataError, match="other data or settings"):
        plan_audit("demo", tmp_path / "audit", replace(settings, training=replace(training, seed=1)))


def test_a_large_table_is_planned_from_a_part_of_it(reward_models, tmp_path, monkeypatch):
    monkeypatch.setattr("seal_datasets.audit.plan_scoring.SAMPLE_PAIRS", 10)
    settings = AuditSettings(limit=40, labeler="none", models=give_models({"post": reward_models["post"]}))
    step = plan_audit("demo", tmp_path, settings)["score post"]
    assert (step.pairs, step.texts) == (40, 80)
    assert step.notes[0].startswith("counted on 10 of 40 pairs and scaled; scored ")


def test_columns_of_rewards_are_planned_without_a_model(tmp_path):
    rows = [{"prompt": f"q{i}", "chosen": f"yes {i}", "rejected": "no", "a": i / 7, "b": -i / 5} for i in range(60)]
    pairs, rewards = Dataset.from_list(rows), {"rm": ("a", "b")}
    plan = plan_own_rewards(pairs, tmp_path / "audit", rewards)
    assert [step.name for step in plan.steps] == ["load", "surface features", "report"]
    assert plan["surface features"].texts == 120
    assert not list(tmp_path.iterdir())
    audit_own_rewards(pairs, tmp_path / "audit", rewards)
    assert 0.7 < plan["report"].disk / sum(path.stat().st_size for path in report_files(tmp_path / "audit")) < 1.4
    with pytest.raises(DataError, match="no column 'c' of rewards"):
        plan_own_rewards(pairs, tmp_path / "audit", {"rm": ("a", "c")})
    path = tmp_path / "pairs.jsonl"
    pairs.to_json(path)
    assert main(["audit", str(path), "--rewards", "rm=a,b", "--out", str(tmp_path / "new"), "--dry-run"]) == 0
    assert not (tmp_path / "new").exists()


def test_a_plan_says_what_it_cannot_find_out_without_the_hub(reward_models, tmp_path):
    models = give_models({"far": "someone/reward-model", "post": reward_models["post"]})
    plan = plan_audit("demo", tmp_path / "audit", AuditSettings(limit=12, labeler="none", models=models))
    assert math.isnan(plan["score far"].tokens)
    assert "the Hub cannot be reached" in plan["score far"].notes[0]
    assert plan["score post"].tokens > 0
    assert math.isnan(plan.total("tokens"))
    assert not list(tmp_path.iterdir())


def test_a_rewriter_elsewhere_is_not_asked_in_batches(tmp_path):
    """Half the price of a request is that of the Batch API, which is the labeler's service."""
    here = RewriteSettings(share=0.5)
    elsewhere = replace(here, rewriter="http://127.0.0.1:8/v1", rewriter_model="gpt-4o-mini")
    settings = AuditSettings(limit=12, labeler=SERVER["labeler"], labeler_model="gpt-4o-mini", batch=True)
    pairs, _ = load_pairs(str(demo_path()), limit=12)
    costs = []
    for rewrites in (here, elsewhere):
        plan, _ = plan_rewriting(pairs, replace(settings, rewrites=rewrites), tmp_path / "labels.sqlite")
        costs.append(plan.price.cost(plan.usage))
    assert costs[1] == pytest.approx(2 * costs[0])


def test_what_an_audit_refuses_its_plan_refuses(reward_models, tmp_path):
    missing = replace(SETTINGS, models=give_models({"a": tmp_path / "absent"}))
    with pytest.raises(ModelError, match="no folder"):
        plan_audit("demo", tmp_path, missing)
    long = replace(SETTINGS, labeler="none", over_length="error")
    options = replace(GivenModels().options, max_length=8)
    models = replace(give_models({"a": reward_models["pre"]}), options=options)
    with pytest.raises(DataError, match="the model takes 8"):
        plan_audit("demo", tmp_path, replace(long, models=models))


@pytest.mark.real_lm
@pytest.mark.slow
def test_the_embedded_labeler_is_timed(reward_models, tmp_path):
    settings = replace(SETTINGS, models=give_models({"post": reward_models["post"]}))
    labels = plan_audit("demo", tmp_path / "audit", settings)["labels"]
    assert (labels.texts, labels.cached, labels.requests) == (12, 0, 12)
    assert 1.0 < labels.seconds < 600.0
    assert not (tmp_path / "audit").exists()


def test_the_plan_is_printed(reward_models, tmp_path, capsys):
    command = [
        "audit",
        str(demo_path()),
        "--limit",
        "12",
        "--labeler",
        "none",
        "--model",
        f"rm={reward_models['post']}",
    ]
    assert main([*command, "--out", str(tmp_path / "audit"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:7]] == [
        "step",
        "load",
        "surface features",
        "labels",
        "score rm",
        "report",
        "total",
    ]
    assert not list(tmp_path.iterdir())
