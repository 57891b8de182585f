"""Best of n, Ties and the style matrix of rows as RewardBench 2 and RM-Bench publish them."""

import json
import math

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets.data.load import load_pairs
from seal_datasets.report.analyze_groups import grouping_columns
from seal_datasets.report.analyze_responses import analyze_responses


def results(rows, scores, left_out=()):
    """Results of rows whose responses have the scores given, the chosen ones first; models score alike."""
    pairs, _ = load_pairs(Dataset.from_list(rows))
    frame = pairs.to_pandas()
    places = [frame[f"response_index_{side}"] for side in ("chosen", "rejected")]
    chosen, rejected = (
        np.array([scores[int(row)][place] for row, place in zip(frame["source_row"], side, strict=True)], dtype=float)
        for side in places
    )
    used = ~frame["pair_id"].isin(left_out).to_numpy()
    return analyze_responses(frame, used, {"m": (chosen, rejected), "n": (-chosen, -rejected)}, grouping_columns(pairs))


def row(id, subset, n_chosen, n_rejected):
    texts = [f"{id} answer {place}" for place in range(n_chosen + n_rejected)]
    return {
        "id": id,
        "prompt": f"Question {id}",
        "chosen": texts[:n_chosen],
        "rejected": texts[n_chosen:],
        "subset": subset,
    }


REWARDBENCH = [
    row("0", "Math", 1, 3),
    row("1", "Math", 1, 3),
    row("2", "Focus", 1, 3),
    row("3", "Focus", 1, 3),
    row("tied:7", "Ties", 2, 2),
    row("ref:7", "Ties", 1, 2),
    row("tied:8", "Ties", 2, 2),
    row("ref:8", "Ties", 1, 2),
]
SCORES = [
    [4, 3, 2, 1],  # 1
    [3, 3, 1, 0],  # 1/2
    [2, 3, 1, 0],  # 0
    [2, 2, 2, 2],  # 1/4
    [5, 4, 1, 0],  # gap 3, spread 1
    [4, 2, 1],  # gap 2
    [6, 3, 2, 1],  # gap 1, spread 3
    [1, 1, 0],  # gap 0
]


def test_rewardbench_2_worked_by_hand():
    found = results(REWARDBENCH, SCORES)
    json.dumps(found, allow_nan=False)
    assert (found["status"], found["n_items"], found["n_items_left_out"], found["n_responses"]) == ("ok", 8, 0, 30)
    model = found["models"]["m"]
    assert set(model) == {"best_of_n", "ties"}
    assert model["best_of_n"]["accuracy"] == pytest.approx((1 + 1 / 2 + 0 + 1 / 4) / 4)
    assert model["best_of_n"]["chance"] == 0.25
    by = model["best_of_n"]["by"]["subset"]
    assert {name: group["accuracy"] for name, group in by["groups"].items()} == {"Math": 0.75, "Focus": 0.125}
    assert (by["test"]["p_value"], by["test"]["status"]) == (None, "too_few_groups")
    margins = (math.tanh(2 / 1 - 1) + math.tanh(0 / 3 - 1)) / 2
    assert model["ties"]["score"] == pytest.approx(0.3 + 0.3 / 2 + 0.2 / 2 + 0.2 / 2 + 0.01 * margins)
    assert model["ties"]["status"] == "ok"


def test_the_worst_response_of_one_model_is_the_best_of_its_opposite():
    model = results(REWARDBENCH, SCORES)["models"]["n"]
    assert model["best_of_n"]["accuracy"] == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)
    assert model["ties"]["tied_accuracy"] == 0.0


def test_a_row_with_a_pair_left_out_is_left_out_whole():
    found = results(REWARDBENCH, SCORES, left_out=["1.2", "5.0"])
    assert (found["n_items"], found["n_items_left_out"]) == (6, 2)
    assert found["models"]["m"]["best_of_n"]["accuracy"] == pytest.approx((1 + 0 + 1 / 4) / 3)
    assert (found["models"]["m"]["ties"]["n_reference"], found["models"]["m"]["ties"]["n_tied"]) == (1, 2)


def test_no_whole_row_is_said():
    found = results(REWARDBENCH[:2], SCORES, left_out=["0.0", "1.0"])
    assert found == {"status": "no row with all its pairs", "n_items": 0}


def test_ties_of_another_form_are_said():
    found = results([row("7", "Ties", 2, 2), row("8", "Math", 1, 3)], [[2, 1, 0, 0], [1, 0, 0, 0]])
    assert found["models"]["m"]["ties"] == {
        "status": "an item's id is not ref:<number> or tied:<number>, as in RewardBench 2"
    }
    one = results([row("tied:7", "Ties", 1, 2), row("8", "Math", 1, 3)], [[2, 1, 0], [1, 0, 0, 0]])
    assert "whose tied item has one response that is correct" in one["models"]["m"]["ties"]["status"]


def rm_bench(id, domain):
    return {
        "id": id,
        "prompt": f"Question {id}",
        "chosen": [f"{id} good {style}" for style in range(3)],
        "rejected": [f"{id} bad {style}" for style in range(3)],
        "domain": domain,
    }


def test_rm_bench_worked_by_hand():
    scores = [[1, 2, 3, 0, 2, 2.5], [3, 3, 3, 1, 4, 2]]
    found = results([rm_bench("0", "chat"), rm_bench("1", "code")], scores)
    json.dumps(found, allow_nan=False)
    matrix = found["models"]["m"]["style_matrix"]
    assert matrix["styles"] == ["concise", "detailed", "markdown"]
    assert [[cell["accuracy"] for cell in cells] for cells in matrix["matrix"]] == [
        [1.0, 0.0, 0.5],
        [1.0, 0.0, 0.5],
        [1.0, 0.5, 1.0],
    ]
    assert [matrix[name]["accuracy"] for name in ("hard", "normal", "easy")] == pytest.approx([1 / 3, 2 / 3, 5 / 6])
    assert matrix["by"]["chat"]["hard"]["accuracy"] == 0.0
    assert matrix["by"]["code"]["hard"]["accuracy"] == pytest.approx(2 / 3)
    assert found["models"]["m"]["best_of_n"]["accuracy"] == 0.5  # 3 beats 2.5; 4 is wrong
    assert found["models"]["m"]["best_of_n"]["chance"] == 0.5


def test_lists_of_other_lengths_have_no_style_matrix():
    found = results([rm_bench("0", "chat"), {**row("1", None, 1, 3), "domain": "chat"}], [[1] * 6, [1] * 4])
    assert set(found["models"]["m"]) == {"best_of_n"}


def test_the_best_ranks_are_correct():
    answers = [{"answer": text, "rank": rank} for text, rank in (("b", 2.0), ("a", 1.0), ("c", 3.0), ("A", 1.0))]
    found = results([{"prompt": "Q", "answers": answers}], [[1, 3, 2, 0]])
    model = found["models"]["m"]["best_of_n"]
    assert (model["accuracy"], model["chance"], model["n_responses"]) == (1.0, 0.5, 4)  # two share the first rank


def test_pairs_alone_have_no_part():
    pairs, _ = load_pairs(Dataset.from_dict({"prompt": ["Q"], "chosen": ["a"], "rejected": ["b"]}))
    reward = (np.ones(1), np.zeros(1))
    assert analyze_responses(pairs.to_pandas(), np.ones(1, dtype=bool), {"m": reward}, {}) == {}
