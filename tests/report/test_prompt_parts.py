import numpy as np
import pandas as pd
import pytest

from seal_datasets.errors import DataError
from seal_datasets.estimate import imprint_trajectory, streamed_imprint
from seal_datasets.estimate.synthetic import planted_pairs
from seal_datasets.report.prompt_parts import PromptParts

PAIRS = planted_pairs(900, imprint={"a": 1.0, "b": -0.5}, n_prompts=300, seed=2)
REWARDS, FEATURES = ["pre_{side}", "post_{side}"], ["a_{side}", "b_{side}"]


def _table():
    return pd.DataFrame(
        {
            "prompt_id": PAIRS.prompts,
            "pre_chosen": PAIRS.pre_chosen_rewards,
            "pre_rejected": PAIRS.pre_rejected_rewards,
            "post_chosen": PAIRS.chosen_rewards,
            "post_rejected": PAIRS.rejected_rewards,
            "a_chosen": PAIRS.chosen_features[:, 0] == 1,
            "a_rejected": PAIRS.rejected_features[:, 0] == 1,
            "b_chosen": PAIRS.chosen_features[:, 1] * 0.5,
            "b_rejected": PAIRS.rejected_features[:, 1] * 0.5,
        }
    )


@pytest.mark.parametrize("as_text", [False, True])
def test_a_streamed_table_gives_the_numbers_of_the_whole(tmp_path, as_text):
    table = _table()
    if as_text:
        table["prompt_id"] = "prompt " + table["prompt_id"].astype(str)
    table[:500].to_parquet(tmp_path / "a.parquet", row_group_size=77)
    table[500:].to_parquet(tmp_path / "b.parquet")
    with PromptParts(tmp_path, REWARDS, FEATURES, pairs_per_part=100, progress=False) as parts:
        listed = list(parts)
        found = streamed_imprint(parts, ["pre", "post"], ["a", "b"])
    assert len(listed) == 9
    assert sum(len(each.groups) for each in listed) == 1800
    # Every prompt is whole.
    assert sum(len(set(each.groups)) for each in listed) == 300
    features = PAIRS.features * [1, 0.5]
    whole = imprint_trajectory({"pre": PAIRS.pre_rewards, "post": PAIRS.rewards}, features, PAIRS.groups, ["a", "b"])
    for name, fit in {**found.models, **found.changes}.items():
        for mine, reference in zip(fit.imprint, (whole.models | whole.changes)[name].imprint, strict=True):
            assert mine.coefficient == pytest.approx(reference.coefficient, rel=1e-9)
            assert mine.std_error == pytest.approx(reference.std_error, rel=1e-9)
            assert mine.n_discordant == reference.n_discordant


def test_temporary_files_go_with_the_context_and_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _table().to_parquet(tmp_path / "pairs.parquet")
    with PromptParts(tmp_path / "pairs.parquet", REWARDS, FEATURES, progress=False):
        assert any(path.name.startswith("seal-parts-") for path in tmp_path.iterdir())
    broken = _table().astype({"b_chosen": "Float64"})
    broken.loc[700, "b_chosen"] = None
    broken.to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"column 'b_chosen' has missing values, first in row 700"):
        PromptParts(tmp_path / "broken.parquet", REWARDS, FEATURES, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"pairs.parquet", "broken.parquet"}


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "pairs.parquet"
    _table().assign(b_chosen="high").to_parquet(path)
    with pytest.raises(DataError, match=r"column 'b_chosen' holds (large_)?string, it must hold numbers"):
        PromptParts(path, REWARDS, FEATURES, progress=False)
    with pytest.raises(DataError, match="the table lacks c_chosen, c_rejected; it has prompt_id"):
        PromptParts([path], REWARDS, ["c_{side}"], progress=False)
    _table()[:0].to_parquet(path)
    with pytest.raises(DataError, match="holds no rows"):
        PromptParts(path, REWARDS, FEATURES, progress=False)


def test_values_that_are_not_finite_are_refused(tmp_path):
    table = _table()
    table.loc[3, "post_chosen"] = np.inf
    table.to_parquet(tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match=r"column 'post_chosen' has values that are not finite, first in row 3: inf"):
        PromptParts(tmp_path / "pairs.parquet", REWARDS, FEATURES, progress=False)
