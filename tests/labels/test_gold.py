import json

import pytest
from datasets import Dataset

from seal_datasets.errors import DataError
from seal_datasets.labels.gold import add_gold
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
