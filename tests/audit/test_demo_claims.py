"""What the audit of the demo claims is true of the demo: counted from its gold labels, and as its truth says."""

import pytest
from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.run import run_audit
from seal_datasets.data.demo import demo_truth

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    report = run_audit("demo", out)
    pairs = Dataset.from_parquet(str(out / "pairs.parquet"), cache_dir=str(out / "cache"))
    return report, [row for row in pairs if row[schema.PARTITION] == "heldout"]


def wins(rows, feature, model):
    """Among pairs whose responses differ in a feature: how many of the chosen have more, and of those the model prefers."""
    asked, given = [], []
    for row in rows:
        chosen, rejected = (row[schema.gold_column(feature, side)] for side in schema.SIDES)
        if chosen is None or chosen == rejected:
            continue
        asked.append(chosen > rejected)
        more = row[schema.reward_column(model, "chosen")] > row[schema.reward_column(model, "rejected")]
        given.append(more == (chosen > rejected))
    return sum(asked) / len(asked), sum(given) / len(given)


def test_every_claim_is_true(demo):
    report, rows = demo
    truth = demo_truth()["claims"]
    assert report["claims"], "the demo's audit claims something"
    for claim in report["claims"]:
        feature = claim["feature"]
        asked, given = wins(rows, feature, "post")
        if claim["quantity"] == "amplification":
            assert (given - asked) * claim["estimate"] > 0, (claim, asked, given)
            # What the choices ask for can be given too little, and what they do not ask for too much.
            assert truth[feature]["asked"] == ("more" if claim["estimate"] < 0 else "neither"), claim
        elif claim["quantity"] == "imprint":
            assert (given - 0.5) * claim["estimate"] > 0, (claim, given)
        else:
            assert (given - wins(rows, feature, "pre")[1]) * claim["estimate"] > 0, claim


def test_the_demo_is_labelled_by_a_probe_and_corrected_by_its_gold_labels(demo):
    report, _ = demo
    labeler, correction = report["run"]["labeler"], report["correction"]
    assert labeler["model"] == "probe"
    assert correction["status"] == "corrected"
    assert correction["n_gold_prompts"] == correction["n_prompts"] > 100
    learned = {name: found["status"] for name, found in labeler["learned"].items()}
    assert sum(status == "ok" for status in learned.values()) >= 4, learned
    assert learned["last_response_is_harmless"] == learned["last_response_is_helpful"] == "ok"
