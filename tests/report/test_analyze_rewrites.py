"""What a report says of rewrites, on a table whose every number can be worked out by hand or by the estimators alone."""

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import estimate
from seal_datasets.cards import render_card
from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import load_taxonomy
from seal_datasets.report.analyze_rewrites import analyze_rewrites
from seal_datasets.report.audit_schema import _validator

N = 200
TAXONOMY = load_taxonomy().select(["last_response_is_harmless", "last_response_is_eloquent", "last_response_sentiment"])


@pytest.fixture(scope="module")
def table():
    """Style rewrites of 200 pairs, 20 of them not drawn; lengthening adds 1 to a reward, and any rewrite takes off 0.5."""
    rng = np.random.default_rng(0)
    columns = {
        "pair_id": [str(i) for i in range(N)],
        "prompt_id": [f"p{i // 2}" for i in range(N)],
        "problems": [[] for _ in range(N)],
        "chosen": ["c"] * N,
        "rejected": ["r"] * N,
        "prompt": ["p"] * N,
    }
    for side in ("chosen", "rejected"):
        drawn = np.arange(N) >= 20
        refused = drawn & (rng.random(N) < 0.1)
        alike = np.where(drawn, rng.uniform(0.6, 1.0, N), np.nan)
        status = np.where(refused, "identical", np.where(alike < 0.7, "below_similarity", "ok"))
        columns[f"rewrite_status_style_{side}"] = np.where(drawn, status, "not_sampled").tolist()
        columns[f"rewrite_similarity_style_{side}"] = [None if np.isnan(each) else each for each in alike]
        rewards = {model: rng.normal(size=N) for model in ("pre", "post")}
        for model, reward in rewards.items():
            after = np.where(drawn & ~refused, reward + rng.normal(scale=0.5, size=N), np.nan)
            columns[f"reward_{model}_{side}"] = reward.tolist()
            columns[f"rewritten_style_reward_{model}_{side}"] = [None if np.isnan(each) else each for each in after]
        for feature in TAXONOMY.names:
            label = rng.integers(0, 2, N)
            changed = rng.random(N) < (0.05 if feature == "last_response_is_harmless" else 0.3)
            columns[f"feature_{feature}_{side}"] = label.tolist()
            columns[f"rewritten_style_feature_{feature}_{side}"] = np.where(changed, 1 - label, label).tolist()
        has = rng.random(N) < 0.5
        columns[f"rewrite_attribute_long_{side}"] = has.tolist()
        for step, value in (("long", ~has), ("long_back", has)):
            columns[f"rewrite_status_{step}_{side}"] = ["ok"] * N
            columns[f"rewrite_similarity_{step}_{side}"] = [0.9] * N
            for model, reward in rewards.items():
                effect = (value.astype(float) - has) - 0.5 + 0.1 * rng.normal(size=N)
                columns[f"rewritten_{step}_reward_{model}_{side}"] = (reward + effect).tolist()
    return Dataset.from_dict(columns)


@pytest.fixture(scope="module")
def found(table):
    return analyze_rewrites(table, TAXONOMY.features, presets=["style"], axes=["long"], min_similarity=0.7)


def kept(table, threshold=0.7):
    frame = table.to_pandas()
    passed = np.ones(N, dtype=bool)
    for side in ("chosen", "rejected"):
        passed &= frame[f"rewrite_status_style_{side}"].isin(["ok", "below_similarity"])
        passed &= frame[f"rewrite_similarity_style_{side}"].fillna(-1) >= threshold
    return frame[passed]


def test_every_text_is_counted_and_only_accepted_pairs_are_compared(table, found):
    style, frame = found["presets"]["style"], kept(table)
    assert style["n_sampled_pairs"] == 180
    assert sum(style["texts"]["chosen"].values()) == sum(style["texts"]["rejected"].values()) == 180
    assert style["n_pairs"] == len(frame)
    post = style["alignment"]["post"]
    assert post["before"] == pytest.approx((frame.reward_post_chosen > frame.reward_post_rejected).mean())
    assert post["after"] == pytest.approx(
        (frame.rewritten_style_reward_post_chosen > frame.rewritten_style_reward_post_rejected).mean()
    )
    assert post["change"] == pytest.approx(post["after"] - post["before"])
    assert post["n_lost"] - post["n_gained"] == pytest.approx(-post["change"] * len(frame))
    low, high = post["confidence_interval"]
    assert low < post["change"] < high


def test_a_stricter_threshold_keeps_fewer_pairs_and_its_own_alignment(table, found):
    rows = found["presets"]["style"]["thresholds"]
    sizes = [row["n_pairs"] for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    row = next(row for row in rows if row["threshold"] == 0.9)
    frame = kept(table, 0.9)
    assert row["n_pairs"] == len(frame)
    assert row["alignment"]["pre"]["before"] == pytest.approx(
        (frame.reward_pre_chosen > frame.reward_pre_rejected).mean()
    )


def test_robustness_is_the_estimators_on_the_pairs_whose_targets_stood(table, found):
    frame, scores = kept(table), found["presets"]["style"]["robustness"]
    spoilers = ["last_response_is_eloquent", "last_response_sentiment"]
    flips = {
        side: np.column_stack(
            [frame[f"feature_{name}_{side}"] - frame[f"rewritten_style_feature_{name}_{side}"] for name in spoilers]
        )
        for side in ("chosen", "rejected")
    }
    changed = sum(
        frame[f"feature_last_response_is_harmless_{side}"]
        != frame[f"rewritten_style_feature_last_response_is_harmless_{side}"]
        for side in ("chosen", "rejected")
    )
    expected = estimate.alignment_robustness(
        frame.reward_post_chosen > frame.reward_post_rejected,
        frame.rewritten_style_reward_post_chosen > frame.rewritten_style_reward_post_rejected,
        flips["chosen"],
        flips["rejected"],
        spoilers,
        groups=frame.prompt_id.to_numpy(),
        targets_changed=changed > 0,
        min_flips=10,
    )
    assert scores["targets"] == ["last_response_is_harmless"]
    assert scores["n_left_out"] == int((changed > 0).sum()) > 0
    assert scores["scores"] == expected.to_dict()["scores"]


def test_changed_labels_are_counted_by_direction(table, found):
    frame, entry = kept(table), found["presets"]["style"]["labels"]["last_response_is_eloquent"]
    before = np.concatenate([frame[f"feature_last_response_is_eloquent_{side}"] for side in ("chosen", "rejected")])
    after = np.concatenate(
        [frame[f"rewritten_style_feature_last_response_is_eloquent_{side}"] for side in ("chosen", "rejected")]
    )
    assert (entry["n_raised"], entry["n_lowered"]) == (int((after > before).sum()), int((after < before).sum()))
    assert entry["share"] == pytest.approx((after != before).mean())


def test_the_sham_s_changes_stand_beside_with_their_number(table, found):
    assert found["presets"]["style"]["labels"]["last_response_is_eloquent"]["sham"] is None
    named = {name: name.replace("_style_", "_identity_") for name in table.column_names if "_style_" in name}
    wider = table.to_pandas().assign(**{sham: table.to_pandas()[name] for name, sham in named.items()})
    harmless = "rewritten_identity_feature_last_response_is_harmless"
    for side in ("chosen", "rejected"):
        wider[f"{harmless}_{side}"] = wider[f"feature_last_response_is_harmless_{side}"]  # the sham changes none
    pairs = Dataset.from_pandas(wider)
    both = analyze_rewrites(pairs, TAXONOMY.features, presets=["style", "identity"], min_similarity=0.7)["presets"]
    of_style, of_sham = (both[name]["labels"]["last_response_is_harmless"] for name in ("style", "identity"))
    assert of_sham["share"] == 0 == of_style["sham"]["share"]
    assert of_style["sham"] == {name: of_sham[name] for name in ("share", "confidence_interval", "n_texts")}
    assert of_sham["sham"] is None


def test_there_and_back_finds_the_planted_effect_and_one_rewrite_does_not(found):
    axis = found["axes"]["long"]
    assert axis["n_texts"] == 2 * N
    effects = {each["estimand"]: each for each in axis["models"]["post"]["effects"]}
    assert effects["ate"]["estimate"] == pytest.approx(1.0, abs=0.03)
    assert effects["att"]["estimate"] == pytest.approx(1.0, abs=0.03)
    # What any rewrite takes off counts for the attribute on one side of a single comparison and against it on the other.
    assert abs(effects["single_rewrite"]["estimate"] - 1.0) < 0.1
    assert axis["mean_similarity"] == {"long": pytest.approx(0.9), "long_back": pytest.approx(0.9)}


def test_what_is_missing_is_named_and_what_is_empty_has_a_reason(table):
    with pytest.raises(DataError, match="rewritten_style_reward_post_chosen"):
        analyze_rewrites(
            table.remove_columns("rewritten_style_reward_post_chosen"), [], presets=["style"], min_similarity=0.7
        )
    none = analyze_rewrites(table, TAXONOMY.features, presets=["style"], min_similarity=1.1)["presets"]["style"]
    assert none["n_pairs"] == 0
    assert none["alignment"]["post"]["status"] == "no pair has two accepted rewrites"
    assert none["robustness"]["status"] == "no pair has every label and its targets unchanged"
    unlabelled = analyze_rewrites(table, [], presets=["style"], min_similarity=0.7)["presets"]["style"]
    assert unlabelled["robustness"]["status"] == "no labelled feature besides the targets"


class PlainSection:
    """Stands in for the macros of the report that draw a figure or an estimate; it prints neither."""

    figure = estimate = staticmethod(lambda _: "")


def rendered(found):
    settings = {
        **{"model": "m", "endpoint": "e", "temperature": 0.0, "whole_dialogue": False},
        **{"min_similarity": 0.7, "similarity_model": "s", "weak": False},
    }
    report = {"run": {"rewrites": settings}, "rewrites": found}
    return render_card("report_rewrites.md", report=report, section=PlainSection())


def with_axis(table, **columns):
    """The table with one value throughout in columns of the axis."""
    changed = table.to_dict()
    for name, value in columns.items():
        for side in ("chosen", "rejected"):
            changed[f"{name}_{side}"] = [value] * N
    return Dataset.from_dict(changed)


@pytest.mark.parametrize("has", [True, False])
def test_an_axis_on_which_every_text_has_the_attribute_or_none_is_reported(table, has):
    found = analyze_rewrites(
        with_axis(table, rewrite_attribute_long=has), TAXONOMY.features, axes=["long"], min_similarity=0.7
    )
    axis = found["axes"]["long"]
    assert list(_validator("axis").iter_errors(axis)) == []
    effects = {each["estimand"]: each for each in axis["models"]["post"]["effects"]}
    assert (effects["att" if has else "atu"]["status"], effects["atu" if has else "att"]["status"]) == ("ok", "no_rows")
    assert effects["ate"]["status"] == effects["naive"]["status"] == "not_identified"
    assert "on all (ATE)" in rendered(found)


@pytest.mark.parametrize("step", ["long", "long_back"])
def test_an_axis_without_an_accepted_rewrite_is_reported(table, step):
    nothing = {f"rewritten_{step}_reward_{model}": None for model in ("pre", "post")}
    nothing |= {f"rewrite_status_{step}": "refused", f"rewrite_similarity_{step}": None}
    found = analyze_rewrites(with_axis(table, **nothing), TAXONOMY.features, axes=["long"], min_similarity=0.7)
    axis = found["axes"]["long"]
    assert list(_validator("axis").iter_errors(axis)) == []
    assert {each["status"] for each in axis["models"]["post"]["effects"]} == {"no_rows"}
    assert "refused 400" in rendered(found)


def test_robustness_is_reported_for_all_pairs_and_for_aligned_ones(table, found):
    style = found["presets"]["style"]
    assert list(_validator("preset").iter_errors(style)) == []
    joint, conditional = style["robustness"], style["robustness"]["among_aligned"]
    assert (joint["among"], conditional["among"]) == ("all", "aligned")
    assert conditional["n_pairs"] == round(joint["alignment_before"] * joint["n_pairs"])
    assert conditional["n_misaligned_by_rewriting"] == joint["n_misaligned_by_rewriting"]
    text = rendered(found)
    assert "aligned before and not after, by flip of a feature, over all pairs" in text
    assert "The same among aligned pairs: log-odds that a pair aligned before is not after" in text


def test_pairs_of_which_none_was_aligned_have_no_conditional_scores(table):
    never = table.to_dict()
    never["reward_post_chosen"] = [-100.0] * N
    style = analyze_rewrites(Dataset.from_dict(never), TAXONOMY.features, presets=["style"], min_similarity=0.7)
    robustness = style["presets"]["style"]["robustness"]
    assert robustness["status"] == "one_class"
    assert robustness["among_aligned"] == {"status": "no pair was aligned before rewriting"}
    assert "no pair was aligned before rewriting" in rendered(style)
