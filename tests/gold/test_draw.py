"""Draws have the probabilities that they state, and the second round keeps those of either round."""

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import load_pairs, load_taxonomy
from seal_datasets.errors import DataError
from seal_datasets.gold.draw import draw_gold, draw_more

TAXONOMY = load_taxonomy().select(["last_response_is_helpful"])


def table(n=60, *, probabilities=False, bad=()):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        row = {"prompt": f"Question {i // 2}?", "chosen": "yes " * (i + 1), "rejected": "" if i in bad else f"no {i}"}
        row |= {"kind": "a" if i < 12 else "b"}
        if probabilities:
            row |= {
                f"probability_last_response_is_helpful_{side}": float(rng.random()) for side in ("chosen", "rejected")
            }
        rows.append(row)
    return load_pairs(Dataset.from_list(rows))[0]


@pytest.mark.parametrize("stratify_by", [None, "kind"])
def test_every_prompt_is_drawn_as_often_as_its_probability_says(stratify_by):
    pairs = table()
    draws = [draw_gold(pairs, 9, seed=seed, stratify_by=stratify_by) for seed in range(600)]
    assert {len(draw.drawn) for draw in draws} == {9}
    for prompt, probability in draws[0].probability.items():
        often = np.mean([prompt in draw.drawn for draw in draws])
        assert often == pytest.approx(probability, abs=5 * np.sqrt(probability * (1 - probability) / 600))
    totals = [sum(1 / draw.probability[prompt] for prompt in draw.drawn) for draw in draws]
    assert totals == pytest.approx([30.0] * 600)
    assert draw_gold(pairs, 9, seed=3, stratify_by=stratify_by) == draws[3]


def test_small_strata_are_drawn_and_faulty_prompts_are_not():
    pairs = table(bad=(59,))
    draw = draw_gold(pairs, 3, stratify_by="kind")
    assert draw.left_out == 0  # a blank response is usable
    tiny = draw_gold(pairs, 1, stratify_by="kind")
    assert len(tiny.drawn) == 2  # one of each stratum
    with pytest.raises(DataError, match="no column 'color' to stratify by"):
        draw_gold(pairs, 3, stratify_by="color")
    with pytest.raises(DataError, match="at least 1, got 0"):
        draw_gold(pairs, 0)
    assert len(draw_gold(pairs, 500).drawn) == 30
    assert set(draw_gold(pairs, 500).probability.values()) == {1.0}


def test_the_second_round_prefers_doubtful_prompts_and_states_the_probability_of_either_round():
    pairs = table(probabilities=True)
    seen = {prompt: 0 for prompt in draw_gold(pairs, 9).probability}
    stated = dict.fromkeys(seen, 0.0)
    second = []
    n_seeds = 1500
    for seed in range(n_seeds):
        first = draw_gold(pairs, 9, seed=seed)
        more = draw_more(pairs, 8, first.probability, first.drawn, TAXONOMY, seed=seed)
        assert not set(more.drawn) & set(first.drawn)
        second.append(len(more.drawn))
        for prompt in (*first.drawn, *more.drawn):
            seen[prompt] += 1
        for prompt, probability in more.probability.items():
            stated[prompt] += probability
    assert np.mean(second) == pytest.approx(8, abs=0.5)
    for prompt, count in seen.items():
        assert count / n_seeds == pytest.approx(stated[prompt] / n_seeds, abs=0.05)
    likely = np.array([stated[prompt] / n_seeds for prompt in seen])
    assert likely.max() > 1.3 * likely.min() > 0
    with pytest.raises(DataError, match="no probability_<feature>_<side> columns"):
        draw_more(table(), 8, first.probability, first.drawn, TAXONOMY, seed=0)
    with pytest.raises(DataError, match="none of the 1 prompts of the first round is in the audit"):
        draw_more(pairs, 8, {"of other data": 0.5}, ["of other data"], TAXONOMY, seed=0)
    with pytest.raises(DataError, match="at least 1, got 0"):
        draw_more(pairs, 0, first.probability, first.drawn, TAXONOMY, seed=0)
