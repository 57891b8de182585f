"""What the audit of the demo claims is true of the demo: of all its gold labels, half of which the audit does not see."""

import pytest
from datasets import Dataset

from seal_datasets import load_pairs, load_taxonomy
from seal_datasets.audit.run import run_audit
from seal_datasets.data.demo import demo_path, draw_demo_gold
from seal_datasets.report.analyze import analyze
from seal_datasets.report.audited_models import PRE_AND_POST
from seal_datasets.report.files import features_of


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return out, run_audit("demo", out)


@pytest.mark.slow
def test_every_claim_has_the_sign_that_all_gold_labels_give(demo):
    out, report = demo
    pairs = Dataset.from_parquet(str(out / "pairs.parquet"), cache_dir=str(out / "cache"))
    source, _ = load_pairs(str(demo_path()))
    features = features_of(report["run"])
    truth = {row["pair_id"]: row for row in source}
    known = [
        i for i, pair_id in enumerate(pairs["pair_id"]) if truth[pair_id][gold_of(features[0], "chosen")] is not None
    ]
    pairs = pairs.select(known)
    for feature in features:
        for side in ("chosen", "rejected"):
            if gold_of(feature, side) in source.column_names:
                name = f"feature_{feature.name}_{side}"
                values = [truth[pair_id][gold_of(feature, side)] for pair_id in pairs["pair_id"]]
                kind = pairs.features[name]
                pairs = pairs.remove_columns(name).add_column(name, values).cast_column(name, kind)
    whole = analyze(pairs, features, PRE_AND_POST)
    for claim in report["claims"]:
        if claim["quantity"] == "amplification":
            rows = whole["models"][claim["model"]]["amplification"]["features"]
            value = {row["feature"]: row["amplification"] for row in rows}[claim["feature"]]
        else:
            kind = "models" if claim["quantity"] == "imprint" else "changes"
            rows = whole["imprint"]["all_features"]["standardised"]["sd"][kind][claim["model"]]
            value = {row["feature"]: row["estimate"] for row in rows}[claim["feature"]]
        assert claim["estimate"] * value > 0, claim


def gold_of(feature, side):
    return f"gold_{feature.name}_{side}"


@pytest.mark.slow
def test_the_demo_is_labelled_by_a_probe_and_most_features_are_learned(demo):
    _, report = demo
    labeler = report["run"]["labeler"]
    assert (labeler["model"], labeler["gold"]["draw_known"]) == ("probe", True)
    learned = {name: found["status"] for name, found in labeler["learned"].items()}
    assert sum(status == "ok" for status in learned.values()) >= 4, learned
    assert learned["last_response_is_harmless"] == learned["last_response_is_helpful"] == "ok"


def test_half_of_the_prompts_keep_their_gold_labels():
    pairs, _ = load_pairs(str(demo_path()))
    drawn = draw_demo_gold(pairs)
    column = "gold_last_response_is_helpful_chosen"
    kept = [prompt for prompt, value in zip(drawn["prompt_id"], drawn[column], strict=True) if value is not None]
    lost = [prompt for prompt, value in zip(drawn["prompt_id"], drawn[column], strict=True) if value is None]
    assert not set(kept) & set(lost)
    assert abs(len(set(kept)) - len(set(lost))) <= 6  # faulty pairs have no gold labels
    assert len(set(drawn["gold_probability"]) - {None}) == 1
    assert load_taxonomy().select(["last_response_is_helpful"]).names == ("last_response_is_helpful",)
