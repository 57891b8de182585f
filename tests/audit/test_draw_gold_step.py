"""The draw of gold labels is made once, and continued for the same data and features only."""

import pytest
from datasets import Dataset

from seal_datasets import load_pairs, load_taxonomy
from seal_datasets.audit.draw_gold_step import keep_draw, keep_second_draw, read_draw
from seal_datasets.errors import DataError

REFUSAL = "last_response_is_refusal"
TAXONOMY = load_taxonomy().select([REFUSAL])


def pairs_of(*names):
    rows = [{"prompt": name, "chosen": f"yes, {name}", "rejected": "no"} for name in names]
    pairs = load_pairs(Dataset.from_list(rows))[0]
    for side in ("chosen", "rejected"):
        pairs = pairs.add_column(f"probability_{REFUSAL}_{side}", [0.4] * len(pairs))
    return pairs


PAIRS = pairs_of(*(f"Question {n}?" for n in range(20)))


def test_a_draw_is_kept_and_continued_once(tmp_path):
    first = keep_draw(PAIRS, tmp_path / "gold", 5, TAXONOMY, source="a", seed=0)
    assert first.rounds == (first.prompts,)
    assert keep_draw(PAIRS, tmp_path / "gold", 9, TAXONOMY, source="a", seed=1) == first == read_draw(tmp_path / "gold")
    both = keep_second_draw(PAIRS, tmp_path / "gold", 5, TAXONOMY)
    assert both.rounds[0] == first.prompts
    assert not set(both.rounds[1]) & set(first.prompts)
    assert keep_second_draw(PAIRS, tmp_path / "gold", 5, TAXONOMY) == both


def test_a_second_round_of_other_features_or_other_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no first round"):
        keep_second_draw(PAIRS, tmp_path, 5, TAXONOMY)
    keep_draw(PAIRS, tmp_path, 5, TAXONOMY, source="a", seed=0)
    with pytest.raises(DataError, match=f"holds a draw for the features {REFUSAL}; give the same --features"):
        keep_second_draw(PAIRS, tmp_path, 5, load_taxonomy().select(["last_response_is_helpful"]))
    with pytest.raises(DataError, match=r"none of the 20 prompts of the first round is in the audit"):
        keep_second_draw(pairs_of("Another?"), tmp_path, 5, TAXONOMY)
    assert len(read_draw(tmp_path).rounds) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*draw\.json"):
        keep_draw(PAIRS, tmp_path / "file" / "gold", 5, TAXONOMY, source="a", seed=0)
