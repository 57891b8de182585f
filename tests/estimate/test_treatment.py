import json
import math
from dataclasses import fields

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seal_datasets.errors import DataError
from seal_datasets.estimate.treatment import rewrite_selection, treatment_effect

NAN = math.nan


def _draw(seed=0, n=300, rejected=0.15):
    rng = np.random.default_rng(seed)
    prompts = rng.integers(0, n // 4, n)
    has = rng.random(n) < 0.6
    rewards = rng.normal(size=n // 4)[prompts] + 0.5 * has + rng.normal(size=n)
    once = rewards - np.where(has, 1, -1) * (1 + rng.normal(size=n // 4)[prompts]) + rng.normal(size=n)
    twice = rewards + 0.3 + rng.normal(size=n)
    once[rng.random(n) < rejected / 2] = NAN
    twice[rng.random(n) < rejected / 2] = NAN
    return rewards, once, twice, has, prompts


def _by_name(found):
    return {row.estimand: row for row in found.effects}


def _numbers(row):
    return [row.standard_error, *row.interval, row.p_value]


def _ols(y, x, prompts, row, estimate):
    """Bell and McCaffrey (2002) by definition, one prompt after the other."""
    x = x.reshape(len(y), -1)
    bread = np.linalg.inv(x.T @ x)
    outside = np.eye(len(y)) - x @ bread @ x.T
    influence = []
    for prompt in np.unique(prompts):
        own = prompts == prompt
        values, vectors = np.linalg.eigh(outside[np.ix_(own, own)])
        influence.append(bread[-1] @ x[own].T @ (vectors / np.sqrt(values)) @ vectors.T @ outside[own])
    error = math.sqrt(sum((each @ y) ** 2 for each in influence))
    gram = np.array(influence) @ np.array(influence).T
    freedom = np.trace(gram) ** 2 / (gram**2).sum()
    assert estimate == pytest.approx((bread @ x.T @ y)[-1])
    t = stats.t(freedom)
    half = t.ppf(0.975) * error
    assert _numbers(row) == pytest.approx(
        [error, estimate - half, estimate + half, 2 * t.sf(abs(estimate) / error)], rel=1e-6
    )


def test_effects_by_hand():
    # With the attribute: 7-4 and 9-4 (3 and 5), one rejected; without: 2-1, 3-1, 6-3 (1, 2 and 3), one rejected.
    rewards = [8, 8, 50, 1, 1, 4, -50]
    once = [4, 4, NAN, 2, 3, 6, 1]
    twice = [7, 9, NAN, 1, 1, 3, NAN]
    found = treatment_effect(rewards, once, twice, [1, 1, 1, 0, 0, 0, 0])
    effects = _by_name(found)
    assert list(effects) == ["att", "atu", "ate", "naive", "single_rewrite"]
    assert {name: row.estimate for name, row in effects.items()} == pytest.approx(
        {"att": 4, "atu": 2, "ate": (2 * 4 + 3 * 2) / 5, "naive": 8 - 2, "single_rewrite": (4 + 4 + 1 + 2 + 2) / 5}
    )
    assert {name: row.n for name, row in effects.items()} == {
        "att": 2,
        "atu": 3,
        "ate": 5,
        "naive": 5,
        "single_rewrite": 5,
    }
    # Paired: variance 2 of 3 and 5, 1 of 1, 2 and 3. Naive: variance 0 of 8 and 8, 3 of 1, 1 and 4, with 2 degrees.
    assert effects["att"].standard_error == pytest.approx(1)
    assert effects["atu"].standard_error == pytest.approx(math.sqrt(1 / 3))
    assert effects["naive"].standard_error == pytest.approx(1)
    assert effects["naive"].interval[1] - 6 == pytest.approx(stats.t.ppf(0.975, 2))
    assert effects["att"].p_value == pytest.approx(2 * stats.t.sf(4, 1))
    assert (found.n_texts, found.n_kept, found.n_rejected, found.share_with_attribute) == (7, 5, 2, 2 / 5)
    having, lacking = found.rejections
    assert (having.attribute, having.n, having.n_rejected, having.share_rejected) == (True, 3, 1, 1 / 3)
    assert (having.mean_kept, having.mean_rejected, having.difference) == (8, 50, -42)
    assert (lacking.attribute, lacking.n, lacking.n_rejected, lacking.share_rejected) == (False, 4, 1, 1 / 4)
    assert (lacking.mean_kept, lacking.mean_rejected, lacking.difference) == (2, -50, 52)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_without_groups_is_scipys_paired_and_welch_test(confidence):
    rewards, once, twice, has, _ = _draw(1)
    found = treatment_effect(rewards, once, twice, has, confidence=confidence)
    kept = ~np.isnan(once + twice)
    sign = np.where(has, 1, -1)
    references = {
        "att": stats.ttest_rel(twice[kept & has], once[kept & has]),
        "atu": stats.ttest_rel(once[kept & ~has], twice[kept & ~has]),
        "ate": stats.ttest_1samp((sign * (twice - once))[kept], 0),
        "naive": stats.ttest_ind(rewards[kept & has], rewards[kept & ~has], equal_var=False),
        "single_rewrite": stats.ttest_1samp((sign * (rewards - once))[kept], 0),
    }
    for name, row in _by_name(found).items():
        assert row.status == "ok"
        assert row.p_value == pytest.approx(references[name].pvalue)
        assert row.interval == pytest.approx(tuple(references[name].confidence_interval(confidence)))
        assert row.estimate / row.standard_error == pytest.approx(references[name].statistic)
    for row in found.rejections:
        of = has == row.attribute
        welch = stats.ttest_ind(rewards[kept & of], rewards[~kept & of], equal_var=False)
        assert row.p_value == pytest.approx(welch.pvalue)
        assert row.interval == pytest.approx(tuple(welch.confidence_interval(confidence)))
        assert row.n_rejected == int((~kept & of).sum()) > 5


def test_with_groups_is_cr2_of_a_regression_on_a_constant_or_a_dummy():
    rewards, once, twice, has, prompts = _draw(2)
    found = treatment_effect(rewards, once, twice, has, groups=[f"p{each}" for each in prompts])
    effects, kept = _by_name(found), ~np.isnan(once + twice)
    sign = np.where(has, 1, -1)
    paired = sign * (twice - once), sign * (rewards - once)
    for name, values, part in (
        ("att", paired[0], kept & has),
        ("atu", paired[0], kept & ~has),
        ("ate", paired[0], kept),
        ("single_rewrite", paired[1], kept),
    ):
        row = effects[name]
        _ols(values[part], np.ones(part.sum()), prompts[part], row, row.estimate)
    _ols(rewards[kept], sm.add_constant(has[kept] * 1.0), prompts[kept], effects["naive"], effects["naive"].estimate)
    for row in found.rejections:
        of = has == row.attribute
        _ols(rewards[of], sm.add_constant(kept[of] * 1.0), prompts[of], row, row.difference)
    assert found.n_clusters == len(set(prompts[kept]))


def test_groups_of_one_text_change_no_error():
    rewards, once, twice, has, _ = _draw(3)
    alone = treatment_effect(rewards, once, twice, has)
    single = treatment_effect(rewards, once, twice, has, groups=np.arange(len(has)))
    for name in ("att", "atu", "ate", "single_rewrite"):
        assert _numbers(_by_name(single)[name]) == pytest.approx(_numbers(_by_name(alone)[name]))
    # Welch takes his degrees of freedom from the variances, Satterthwaite's here are those of equal variances.
    assert _by_name(single)["naive"].standard_error == pytest.approx(_by_name(alone)["naive"].standard_error)


def test_every_text_twice_in_its_group_adds_no_information():
    rewards, once, twice, has, prompts = _draw(4)
    doubled = treatment_effect(*(np.tile(each, 2) for each in (rewards, once, twice, has)), groups=np.tile(prompts, 2))
    plain = treatment_effect(rewards, once, twice, has, groups=prompts)
    for name in ("att", "atu", "ate", "single_rewrite"):
        assert _numbers(_by_name(doubled)[name]) == pytest.approx(_numbers(_by_name(plain)[name]))


@given(st.integers(0, 1000), st.booleans(), st.floats(-50, 50), st.floats(0.01, 100))
def test_the_other_attribute_has_minus_the_effect_and_rewards_have_no_origin(seed, grouped, origin, scale):
    rewards, once, twice, has, prompts = _draw(seed, n=80)
    groups = prompts if grouped else None
    plain = _by_name(treatment_effect(rewards, once, twice, has, groups=groups))
    swapped = _by_name(treatment_effect(rewards, once, twice, ~has, groups=groups))
    both = _by_name(treatment_effect(-rewards, -once, -twice, ~has, groups=groups))
    moved = _by_name(treatment_effect(*(origin + scale * each for each in (rewards, once, twice)), has, groups=groups))
    other = {"att": "atu", "atu": "att"}
    for name, row in plain.items():
        mirror = swapped[other.get(name, name)]
        assert mirror.estimate == pytest.approx(-row.estimate)
        assert mirror.interval == pytest.approx((-row.interval[1], -row.interval[0]))
        assert mirror.p_value == pytest.approx(row.p_value)
        same = both[other.get(name, name)]
        assert [same.estimate, *_numbers(same)] == pytest.approx([row.estimate, *_numbers(row)])
        assert moved[name].estimate == pytest.approx(scale * row.estimate, abs=1e-9)
        assert moved[name].standard_error == pytest.approx(scale * row.standard_error)


@given(st.integers(0, 1000))
def test_rejected_texts_do_not_reach_the_effects(seed):
    rewards, once, twice, has, prompts = _draw(seed, n=80)
    kept = ~np.isnan(once + twice)
    found = treatment_effect(rewards, once, twice, has, groups=prompts)
    wild = treatment_effect(np.where(kept, rewards, 1e6), once, np.where(kept, twice, NAN), has, groups=prompts)
    part = treatment_effect(rewards[kept], once[kept], twice[kept], has[kept], groups=prompts[kept])
    assert 0 < found.n_rejected == 80 - part.n_texts
    assert found.effects == wild.effects
    for ours, theirs in zip(found.effects, part.effects, strict=True):
        assert (ours.estimand, ours.n, ours.status) == (theirs.estimand, theirs.n, theirs.status)
        assert [ours.estimate, *_numbers(ours)] == pytest.approx([theirs.estimate, *_numbers(theirs)])
    assert (found.n_clusters, found.share_with_attribute) == (part.n_clusters, part.share_with_attribute)
    shares = {row.attribute: row.n / 80 for row in found.rejections}
    assert sum(row.n_rejected for row in found.rejections) == found.n_rejected
    assert shares[True] == pytest.approx(has.mean())
    names = _by_name(found)
    share = found.share_with_attribute
    assert names["ate"].estimate == pytest.approx(share * names["att"].estimate + (1 - share) * names["atu"].estimate)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_sham_rewrite_has_no_effect_and_no_error(grouped):
    rewards, _, _, has, prompts = _draw(5)
    found = treatment_effect(rewards, rewards, rewards, has, groups=prompts if grouped else None)
    for name, row in _by_name(found).items():
        if name == "naive":
            assert (row.status, row.estimate > 0.1) == ("ok", True)
            continue
        assert (row.estimate, row.status) == (0, "no_residual_variation")
        assert np.isnan(_numbers(row)).all()
    # A rewriter that moves every reward by as much leaves rounding, which is no error either.
    shifted = _by_name(treatment_effect(rewards + 1e3, rewards + 1e3 + 0.1, rewards + 1e3 + 0.3, np.ones(len(has))))
    assert shifted["att"].estimate == pytest.approx(0.2)
    assert (shifted["att"].status, shifted["att"].p_value) == ("no_residual_variation", pytest.approx(NAN, nan_ok=True))


def test_what_is_undefined_is_nan_with_a_reason():
    def statuses(*arrays, **options):
        found = treatment_effect(*arrays, **options)
        for row in found.effects:
            assert math.isnan(row.estimate) == (row.status in ("no_rows", "not_identified"))
            assert np.isnan(_numbers(row)).all() == (row.status != "ok")
        return [row.status for row in found.effects], [row.status for row in found.rejections], found

    missing = ["not_identified"] * 3
    rewards, once, twice = [3.0, 4.0, 6.0], [1.0, 2.0, 2.0], [2.0, 5.0, 4.0]
    effects, rejections, found = statuses(rewards, once, twice, [1, 1, 1])
    assert (effects, rejections) == (["ok", "no_rows", *missing], ["not_identified", "no_rows"])
    assert math.isnan(found.rejections[1].share_rejected)
    assert np.isnan(found.rejections[1].share_interval).all()
    effects, rejections, _ = statuses(rewards, [1.0, 2.0, NAN], twice, [1, 1, 0])
    assert (effects, rejections) == (["ok", "no_rows", *missing], ["not_identified"] * 2)
    effects, rejections, found = statuses(rewards, [NAN] * 3, twice, [1, 1, 0])
    assert (effects, rejections) == (["no_rows"] * 5, ["not_identified"] * 2)
    assert (found.n_kept, found.n_clusters) == (0, 0)
    assert math.isnan(found.share_with_attribute)
    assert (found.rejections[0].mean_rejected, found.rejections[0].share_rejected) == (3.5, 1)
    assert math.isnan(found.rejections[0].mean_kept)
    effects, rejections, _ = statuses([*rewards, 9.0], [*once, NAN], [*twice, 1.0], [1, 1, 0, 1])
    assert effects == ["ok", "too_few_texts", "ok", "too_few_texts", "ok"]
    assert rejections == ["too_few_texts", "not_identified"]
    effects, rejections, _ = statuses([*rewards, 9.0], [*once, NAN], [*twice, 1.0], [1, 1, 0, 1], groups=list("aabc"))
    assert effects == ["too_few_clusters", "too_few_clusters", "ok", "too_few_clusters", "ok"]
    assert rejections == ["too_few_clusters", "not_identified"]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(plain) == {field.name for field in fields(found)}
    assert plain["effects"][0]["estimate"] is None
    assert plain["rejections"][0]["interval"] == [None, None]


# The world of the tests below: 3 texts in 4 have the attribute, worth 1 in these and 0.4 in the others. Typos cost 1.5 and
# are commoner among texts without it; the rewriter, asked for the attribute only, also mends every typo.
ATT, ATU, SHARE = 1.0, 0.4, 0.75
ATE = SHARE * ATT + (1 - SHARE) * ATU
TYPO, TYPOS = 1.5, {True: 0.4, False: 0.8}
SINGLE = SHARE * (ATT - TYPO * TYPOS[True]) + (1 - SHARE) * (ATU + TYPO * TYPOS[False])


def _world(seed, n_prompts=60, per_prompt=5, spread=0.8):
    rng = np.random.default_rng(seed)
    prompts = np.repeat(np.arange(n_prompts), per_prompt)
    n = len(prompts)
    has = rng.random(n) < SHARE
    typos = rng.random(n) < np.where(has, TYPOS[True], TYPOS[False])
    effect = np.where(has, ATT, ATU) + spread * rng.normal(size=n_prompts)[prompts]
    rest = rng.normal(size=n_prompts)[prompts] + rng.normal(size=n)
    noise = 0.5 * rng.normal(size=(2, n))
    rewards = rest + effect * has - TYPO * typos
    return rewards, rest + effect * ~has + noise[0], rest + effect * has + noise[1], has, prompts


def test_the_second_rewrite_takes_out_what_the_first_puts_in():
    draws = [_by_name(treatment_effect(*_world(seed)[:4])) for seed in range(200)]
    means = {name: np.mean([draw[name].estimate for draw in draws]) for name in draws[0]}
    errors = {name: np.std([draw[name].estimate for draw in draws]) / math.sqrt(200) for name in draws[0]}
    # The naive difference: by hand, the effect where there is one, and the typos of either side.
    naive = ATT - TYPO * (TYPOS[True] - TYPOS[False])
    truth = {"att": ATT, "atu": ATU, "ate": ATE, "naive": naive, "single_rewrite": SINGLE}
    for name, value in truth.items():
        assert abs(means[name] - value) < 4 * errors[name] < 0.08
    # Neither of the two simpler estimates is anywhere near the effect.
    assert abs(means["single_rewrite"] - ATE) > 0.1
    assert abs(means["naive"] - ATE) > 0.5


def test_intervals_cover_with_prompts_and_not_without_and_never_cover_by_one_rewrite():
    truth = {"att": ATT, "atu": ATU, "ate": ATE}
    clustered, plain, single = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0), 0
    for seed in range(400):
        *arrays, prompts = _world(seed, spread=0.8)
        for counts, groups in ((clustered, prompts), (plain, None)):
            effects = _by_name(treatment_effect(*arrays, groups=groups))
            for name, value in truth.items():
                low, high = effects[name].interval
                counts[name] += low <= value <= high
            if groups is not None:
                low, high = effects["single_rewrite"].interval
                single += low <= ATE <= high
    assert all(0.92 <= count / 400 <= 0.98 for count in clustered.values())
    assert plain["ate"] / 400 < 0.85
    assert single / 400 < 0.85


def test_rejection_by_reward_is_found_and_rejection_by_chance_is_not():
    found = {"chance": 0, "reward": 0, "chance, no groups": 0}
    for seed in range(300):
        rewards, once, twice, has, prompts = _world(seed)
        rng = np.random.default_rng(10_000 + seed)
        # By chance, but whole prompts at a time, as a rewriter that will not touch a subject does.
        chance = rng.random(prompts.max() + 1)[prompts] < 0.3
        low = rng.random(len(has)) < 1 / (1 + np.exp(1 + rewards))
        for kind, rejected, groups in (
            ("chance", chance, prompts),
            ("chance, no groups", chance, None),
            ("reward", low, prompts),
        ):
            row = treatment_effect(rewards, np.where(rejected, NAN, once), twice, has, groups=groups).rejections[0]
            found[kind] += row.p_value < 0.05
            if kind == "reward":
                assert row.difference > 0
    assert 0.02 <= found["chance"] / 300 <= 0.09
    assert found["chance, no groups"] / 300 > 0.15
    assert found["reward"] / 300 > 0.95


def test_bad_input_is_named():
    good = [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1, 0]
    for position, bad, message in (
        (0, [1.0, NAN], "rewards has 1 value"),
        (1, [1.0, math.inf], "rewritten has 1 value"),
        (2, [-math.inf, 1.0], "twice_rewritten has 1 value"),
        (3, [1, 2], "attribute must be true or false"),
        (3, [1, NAN], "attribute has 1 value"),
        (1, [1.0], "rewards has 2, rewritten has 1"),
        (3, [1, 0, 1], "attribute has 3"),
        (0, [], "rewards is empty"),
        (2, [[1.0, 2.0]], "twice_rewritten must be one number per row"),
        (1, ["a", 1.0], "rewritten row 0 is 'a'"),
    ):
        with pytest.raises(DataError, match=message):
            treatment_effect(*good[:position], bad, *good[position + 1 :])
    with pytest.raises(DataError, match="groups has 3"):
        treatment_effect(*good, groups=["a", "b", "c"])
    with pytest.raises(DataError, match="groups row 1 is None"):
        treatment_effect(*good, groups=["a", None])
    with pytest.raises(DataError, match="confidence must lie between 0 and 1"):
        treatment_effect(*good, confidence=95)


def test_selection_is_what_the_treatment_estimator_says_of_texts_left_out():
    rng = np.random.default_rng(3)
    rewards, kept, groups = rng.normal(size=80), rng.random(80) < 0.7, np.arange(80) // 2
    alone = rewrite_selection(rewards, kept, groups=groups)
    rewritten = np.where(kept, 0.0, np.nan)
    within = treatment_effect(rewards, rewritten, rewritten, np.ones(80, dtype=bool), groups=groups).rejections[0]
    assert alone == within
    plain = rewrite_selection(rewards, kept)
    expected = stats.ttest_ind(rewards[kept], rewards[~kept], equal_var=False)
    assert plain.p_value == pytest.approx(expected.pvalue)
    with pytest.raises(DataError, match="kept"):
        rewrite_selection(rewards, kept[:-1])
