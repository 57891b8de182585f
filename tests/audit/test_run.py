"""The pipeline end to end on a small table: real models with untrained heads, the real embedded labeler's answers."""

import json
import math

import pytest
from datasets import Dataset

from seal_datasets.audit.given_models import GivenModels, give_models
from seal_datasets.audit.label_step import EMBEDDED_FEATURES
from seal_datasets.audit.run import run_audit
from seal_datasets.audit.settings import AuditSettings, RewriteSettings
from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path
from seal_datasets.errors import DataError, ModelError
from seal_datasets.labels.taxonomy import load_taxonomy
from seal_datasets.report.write import check_report
from tests.report.page.words import words_of_page
from tests.rewards.models import CHAT_TEMPLATE, save_llama


@pytest.fixture(scope="module")
def settings(reward_models):
    return AuditSettings(
        limit=24,
        labeler="local",
        label_limit=6,
        features=("last_response_is_harmless", "last_response_is_helpful"),
        models=give_models(reward_models),
    )


@pytest.fixture(scope="module")
def audited(settings, recorded, recorded_demo, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    recorded(out / "labels.sqlite")
    return out, run_audit(recorded_demo, out, settings)


@pytest.mark.recorded
def test_an_audit_ends_with_a_report_that_can_be_checked(audited):
    out, report = audited
    assert report["population"]["n_pairs"] == 24
    assert report["run"]["labeler"]["weak"] is True
    assert report["run"]["labeler"]["n_pairs_sampled"] == 6
    assert report["labels"]["last_response_is_helpful"]["missing_by_reason"]["not_sampled"] > 0
    assert report["run"]["models"]["post"]["revision"].startswith("sha256:")
    assert check_report(out) == []


@pytest.mark.recorded
def test_the_parquet_holds_originals_features_rewards_and_results(audited):
    pairs = Dataset.from_parquet(str(audited[0] / "pairs.parquet"))
    expected = {
        "pair_id",
        "gold_last_response_is_helpful_chosen",
        "feature_last_response_is_helpful_rejected",
        "reward_pre_chosen",
        "margin_post",
        "regime_post",
        "reward_shift_degrees_post",
        "labeler_preference",
    }
    assert expected <= set(pairs.column_names)
    assert len(pairs) == 24


@pytest.mark.recorded
def test_running_again_asks_for_nothing_and_changes_nothing(audited, settings, recorded_demo, capsys):
    out, report = audited
    again = run_audit(recorded_demo, out, settings)
    assert "    0 requests;" in capsys.readouterr().err
    assert again == report


@pytest.mark.real_lm
def test_the_labeler_is_asked_where_nothing_is_recorded(reward_models, tmp_path, capsys):
    settings = AuditSettings(
        limit=8,
        labeler="local",
        label_limit=1,
        features=("last_response_is_helpful",),
        models=give_models(reward_models),
    )
    report = run_audit(str(demo_path()), tmp_path, settings)
    assert "    2 requests; the store held 0 responses before; labels missing: none" in capsys.readouterr().err
    assert report["labels"]["last_response_is_helpful"]["missing_by_reason"] == {"not_sampled": 14}


def test_without_a_labeler_the_surface_features_remain(reward_models, tmp_path):
    report = run_audit(
        str(demo_path()), tmp_path, AuditSettings(limit=24, labeler="none", models=give_models(reward_models))
    )
    assert report["comparisons"]["post - pre"]["labeler_agreement"]["status"] == "no target features"
    assert all(name.startswith("surface_") for name in report["labels"])
    assert not (tmp_path / "labels.sqlite").exists()


@pytest.mark.slow
def test_models_are_examined_and_their_jitter_is_the_tie_band(reward_models, tmp_path):
    settings = AuditSettings(limit=24, labeler="none", doctor=True, models=give_models(reward_models))
    report = run_audit(str(demo_path()), tmp_path, settings)
    examined = report["run"]["doctor"]
    assert examined == json.loads((tmp_path / "doctor.json").read_text())
    band = max(found["tie_band"] for found in examined.values())
    assert 0.0 < band < 1e-5
    assert report["run"]["tie_band"] == report["models"]["post"]["resistance"]["all"]["tie_band"] == band
    assert (
        f"pre failed none; post failed none; rewards that differ by at most {band:.3g}"
        in (tmp_path / "report.md").read_text()
    )
    page = words_of_page(tmp_path)
    assert f"Tie band {band:.3g}" in page
    assert "[CLS] what is the capital of france?" in page
    assert "No check of the scores failed" in page
    assert check_report(tmp_path) == []


@pytest.mark.slow
def test_a_tie_band_makes_ties_everywhere(reward_models, tmp_path):
    settings = AuditSettings(limit=24, labeler="none", tie_band=1e6, models=give_models(reward_models))
    report = run_audit(str(demo_path()), tmp_path, settings)
    assert report["models"]["post"]["resistance"]["all"]["n_ties"] == report["population"]["n_used"]
    regimes = Dataset.from_parquet(str(tmp_path / "pairs.parquet"))["regime_post"][:]
    assert set(regimes) <= {"stayed_misaligned", None}
    assert check_report(tmp_path) == []
    with pytest.raises(DataError, match="0 or more points"):
        AuditSettings(tie_band=-1.0)


def test_the_embedded_features_are_of_the_taxonomy_and_hold_its_targets():
    taxonomy = load_taxonomy().select(EMBEDDED_FEATURES)
    assert len(taxonomy.targets) == 2


def test_settings_that_contradict_themselves_are_refused():
    with pytest.raises(DataError, match="head and max_length are of a model that is given"):
        AuditSettings(models=GivenModels(head=1))
    with pytest.raises(DataError, match="rewards of old are columns"):
        AuditSettings(models=give_models({"old": ("a", "b")}), rewrites=RewriteSettings())


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (AuditSettings, {"budget": math.inf}, "got inf; leave it out for no limit"),
        (AuditSettings, {"budget": math.nan}, "0 or more dollars, got nan"),
        (AuditSettings, {"tie_band": math.inf}, "0 or more points of reward, got inf"),
        (AuditSettings, {"request": {"top_p": math.nan}}, "fields of requests must be JSON"),
        (RewriteSettings, {"temperature": math.nan}, "temperature of rewrites must be 0 or more, got nan"),
        (RewriteSettings, {"min_similarity": math.nan}, "must lie between -1 and 1, got nan"),
    ],
)
def test_numbers_that_a_record_cannot_hold_are_refused_before_any_work(kind, settings, message):
    with pytest.raises(DataError, match=message):
        kind(**settings)


def test_a_wrong_model_is_found_before_anything_is_labelled(reward_models, tmp_path):
    settings = AuditSettings(models=give_models({**reward_models, "post": tmp_path / "absent"}))
    with pytest.raises(ModelError, match="no folder"):
        run_audit("demo", tmp_path / "out", settings)
    (tmp_path / "absent").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        run_audit("demo", tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_real_pairs_are_scored_and_described_without_losing_one(hh_rlhf, reward_models, tmp_path):
    settings = AuditSettings(limit=100, labeler="none", models=give_models(reward_models))
    report = run_audit(str(hh_rlhf), tmp_path, settings)
    population = report["population"]
    assert population["n_pairs"] == 100
    assert population["n_used"] + sum(population["excluded"].values()) == 100
    for counts in report["run"]["scoring"].values():
        assert sum(counts.values()) == 200
    json.dumps(report, allow_nan=False)


def test_settings_of_rewriting_name_what_is_not_known():
    with pytest.raises(DataError, match=r"no preset 'funny'.*style"):
        RewriteSettings(presets=("funny",))
    with pytest.raises(DataError, match=r"no axis 'short'.*long"):
        RewriteSettings(axes=("short",))
    with pytest.raises(DataError, match="above 0"):
        RewriteSettings(share=0.0)
    with pytest.raises(DataError, match="rewriter_model"):
        RewriteSettings(rewriter="http://localhost:1/v1")


@pytest.mark.recorded
@pytest.mark.slow
def test_an_audit_with_rewrites_reports_robustness_and_effects(recorded, recorded_demo, settings, tmp_path):
    from dataclasses import replace

    recorded(tmp_path / "labels.sqlite")
    wanted = RewriteSettings(
        share=0.5, presets=("style",), axes=("long",), min_similarity=0.5, similarity_model="embedded"
    )
    report = run_audit(recorded_demo, tmp_path, replace(settings, rewrites=wanted))
    style, axis = report["rewrites"]["presets"]["style"], report["rewrites"]["axes"]["long"]
    assert style["n_sampled_pairs"] == 3  # half of the six that were drawn for labeling
    assert sum(style["texts"]["chosen"].values()) == 3
    assert {row["threshold"] for row in style["thresholds"]} >= {0.5, 0.8, 0.95}
    assert axis["n_texts"] == 6
    assert sum(axis["texts"]["there"].values()) == 6
    assert "- Rewriting (style) by a very small model, a demonstration: " in (tmp_path / "report.md").read_text()
    page = words_of_page(tmp_path)
    assert "Rewriting: alignment robustness (Eq. 4)" in page
    assert "Weak rewriter" in page
    assert check_report(tmp_path) == []


def test_seal_audit_takes_the_options_of_seal_score_for_its_models(tmp_path, minilm, capsys):
    """Two outputs need a head, and 400 tokens are fewer than the model takes."""
    paths = [
        save_llama(tmp_path / name, minilm, seed, classifier=True, n_labels=2, template=CHAT_TEMPLATE, positions=512)
        for seed, name in enumerate(("before", "after"))
    ]
    command = ["audit", "--demo", "--limit", "12", "--labeler", "none", "--out", str(tmp_path / "out")]
    command += ["--pre", paths[0], "--post", paths[1]]
    assert main(command) == 2
    assert "has 2 outputs" in capsys.readouterr().err
    options = [
        "--head",
        "1",
        "--precision",
        "bfloat16",
        "--max-length",
        "400",
        "--tokens-per-batch",
        "64",
        "--merge-system",
    ]
    assert main([*command, *options, "--allow-pickle"]) == 0
    assert "pre: 24 of 24 texts have a reward" in capsys.readouterr().err
    models = json.loads((tmp_path / "out" / "run.json").read_text())["models"]
    for about in models.values():
        assert (about["head"], about["dtype"], about["max_length"], about["merge_system"]) == (1, "bfloat16", 400, True)
    for wrong, message in (
        (["--revision", "other=main"], "--revision names 'other'"),
        (["--backend", "openvino"], "causal model, and OpenVINO scores encoders only"),
    ):
        assert main([*command, "--head", "1", *wrong]) == 2
        assert message in capsys.readouterr().err
    alone = ["audit", "--demo", "--labeler", "none", "--out", str(tmp_path / "none"), "--head", "1"]
    assert main(alone) == 2
    assert "are of a model that is given" in capsys.readouterr().err
