import json
import math

import pyarrow as pa
import pytest
from datasets import Dataset

from seal_datasets.errors import DataError
from seal_datasets.labels.gold import add_gold, parse_label, parse_labels
from seal_datasets.labels.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy().select(["last_response_is_harmless", "last_response_sentiment", "topics"])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_labels_of_a_file_stand_beside_their_pairs(tiny_pairs, tmp_path, kind):
    path = tmp_path / f"human.{kind}"
    if kind == "csv":
        path.write_text(
            "pair_id,gold_last_response_is_harmless_chosen,gold_last_response_sentiment_rejected\n2,true,negative\n0,false,\n"
        )
    else:
        rows = [
            {
                "pair_id": "2",
                "gold_last_response_is_harmless_chosen": True,
                "gold_last_response_sentiment_rejected": "negative",
            },
            {
                "pair_id": "0",
                "gold_last_response_is_harmless_chosen": False,
                "gold_last_response_sentiment_rejected": None,
            },
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
    found = add_gold(tiny_pairs, path, TAXONOMY)
    assert found["gold_last_response_is_harmless_chosen"][:] == [False, None, True, None]
    assert found["gold_last_response_sentiment_rejected"][:] == [None, None, -1, None]
    assert found.column_names[: len(tiny_pairs.column_names)] == tiny_pairs.column_names


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pair_id": ["0"], "harmless": [True]}, r"columns such as 'gold_last_response_is_harmless_chosen'.*harmless"),
        ({"gold_topics_chosen": [[]]}, "needs the column 'pair_id'"),
        ({"pair_id": ["9"], "gold_last_response_is_harmless_chosen": [True]}, "1 of the 1 pair ids.*'9'"),
        ({"pair_id": ["0", "0"], "gold_last_response_is_harmless_chosen": [True, True]}, "more than once"),
        ({"pair_id": ["0"], "gold_last_response_is_harmless_chosen": ["maybe"]}, r"harmless_chosen', row 0"),
        ({"pair_id": ["0"], "gold_last_response_sentiment_chosen": ["glad"]}, r"sentiment_chosen', row 0.*'glad'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tiny_pairs, columns, message):
    with pytest.raises(DataError, match=message):
        add_gold(tiny_pairs, Dataset.from_dict(columns), TAXONOMY)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, None, False, True], [True, None, False, True]),
        ([1, 0, None, 1], [True, False, None, True]),
        (["", "TRUE", None, "false"], [None, True, None, False]),
        ([None, None], [None, None]),
    ],
)
def test_a_column_of_labels_is_parsed_as_its_values_are(values, expected):
    feature = load_taxonomy("seal")["last_response_is_helpful"]
    pairs = Dataset.from_dict({"x": values})
    assert parse_labels(pairs, "x", feature).to_pylist() == expected
    assert [parse_label(value, feature, "x", 0) for value in values] == expected


@pytest.mark.parametrize(("name", "value"), [("last_response_sentiment", True), ("topics", "[" * 100_000)])
def test_what_is_no_answer_is_refused_however_it_is_read(name, value):
    with pytest.raises(DataError, match="column 'x', row 3: expected"):
        parse_label(value, TAXONOMY[name], "x", 3)


def test_the_first_row_of_a_wrong_label_is_named():
    feature = load_taxonomy("seal")["last_response_is_helpful"]
    for values, row in ((["true", None, "maybe", "perhaps", "maybe"], 2), ([0.0, 1.0, math.nan, 0.5, 0.5], 2)):
        with pytest.raises(DataError, match=f"column 'x', row {row}:"):
            parse_labels(Dataset(pa.table({"x": values})), "x", feature)
