from typing import get_args

import pytest

from seal_datasets import schema
from seal_datasets.data import formats
from seal_datasets.data.formats import FORMAT_NEEDS, SPELLINGS
from seal_datasets.data.pairs import Reader, prompt_digest, row_pairs
from seal_datasets.data.problems import PROBLEMS, UNUSABLE
from tests.turns import assistant, user


def paths_of(row):
    nested = [
        f"{name}.{key}"
        for name, value in row.items()
        for item in (value if isinstance(value, list) else [value])
        if isinstance(item, dict)
        for key in item
    ]
    return {*row, *nested}


def test_every_spelling_is_reachable():
    # Each is the first to fit the columns that it needs, with one of its prompt columns.
    for spelling in SPELLINGS:
        columns = [{*spelling.needed, prompt} for prompt in spelling.prompt or spelling.needed[:1]]
        assert any(next(each for each in SPELLINGS if each.fits(paths)) is spelling for paths in columns), spelling


def test_unusable_problems_are_problems_and_formats_are_described():
    assert set(PROBLEMS) > UNUSABLE
    assert set(FORMAT_NEEDS) == set(get_args(formats.PairFormat))


REAL_ROWS = [
    (("prompt", "chosen", "rejected"), {"prompt": "Q", "chosen": "good", "rejected": "bad"}),
    (("question", "chosen", "rejected"), {"question": "Q", "chosen": "good", "rejected": "bad"}),
    (("instruction", "chosen_response"), {"instruction": "Q", "chosen_response": "good", "rejected_response": "bad"}),
    (("better_response_id",), {"prompt": "Q", "response_0": "bad", "response_1": "good", "better_response_id": 1}),
    (("response_a", "winner"), {"prompt": "Q", "response_a": "good", "response_b": "bad", "winner": "model_a"}),
    (("human_ref_A",), {"history": "Q", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1}),
    (("human_ref_A",), {"history": "Q", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0}),
    (
        ("answer_0", "score_0"),
        {"question": {"full_text": "Q"}, "answer_0": "bad", "answer_1": "good", "score_0": -1.0, "score_1": 1.0},
    ),
    (
        ("summaries", "choice"),
        {"info": {"post": "Q"}, "summaries": [{"text": "good"}, {"text": "bad"}], "choice": 0},
    ),
    (("summaries", "choice"), {"info": {"post": "Q"}, "summaries": {"text": ["bad", "good"]}, "choice": 1}),
    (("responses", "ratings"), {"prompt": "Q", "responses": ["bad", "good"], "ratings": [1, 5]}),
    (("completions", "scores"), {"prompt": "Q", "completions": ["good", "bad"], "scores": [0.5, 0.1]}),
    (
        ("overall_preference",),
        {"context": [user("Q")], "response1": "good", "response2": "bad", "overall_preference": -3},
    ),
    (
        ("overall_preference",),
        {"context": [user("Q")], "response1": "bad", "response2": "good", "overall_preference": 1},
    ),
    (("preference_strength",), {"prompt": "Q", "response_1": "bad", "response_2": "good", "preference_strength": 2}),
    (("helpfulness",), {"prompt": "Q", "response": ["bad", "good"], "helpfulness": [1, 4]}),  # gathered rows
    (
        ("summaries", "choice"),
        {"info": {"post": None, "article": "Q"}, "summaries": [{"text": "good"}, {"text": "bad"}], "choice": 0},
    ),
    (
        ("instruction", "completions"),
        {
            "instruction": "Q",
            "completions": [
                {"response": "bad", "fine-grained_score": 2.25, "overall_score": 10.0},
                {"response": "good", "fine-grained_score": 4.5, "overall_score": 8.0},
            ],
        },
    ),
    (
        ("response_a", "preference"),
        {"prompt": "Q", "response_a": {"text": "bad"}, "response_b": {"text": "good"}, "preference": "b"},
    ),
    (
        ("conversation_a",),
        {"conversation_a": [user("Q"), assistant("bad")], "conversation_b": [user("Q"), assistant("good")]}
        | {"winner": "model_b"},
    ),
]


@pytest.mark.parametrize(("columns", "row"), REAL_ROWS, ids=lambda value: "-".join(value)[:40])
def test_rows_in_the_columns_of_real_datasets_are_read(columns, row):
    spelling = next(each for each in SPELLINGS if each.fits(paths_of(row)))
    assert set(columns) <= set(spelling.columns)
    (pair,) = row_pairs(row, Reader((spelling.within(paths_of(row)),)))
    assert (pair[schema.CHOSEN], pair[schema.REJECTED]) == ("good", "bad")
    assert pair[schema.CONVERSATION] == [user("Q")]
    assert pair[schema.PROMPT_ID] == prompt_digest([user("Q")])
    assert pair[schema.PROBLEMS] == []
