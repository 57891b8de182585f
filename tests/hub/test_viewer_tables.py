"""Flat tables hold what the audit's table holds, in types a viewer can filter, and are read and written in parts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_dataset

from seal_datasets.errors import DataError
from seal_datasets.hub import viewer_tables as flat
from seal_datasets.hub.viewer_tables import restore_table, write_flat

RUN = {"models": {"pre": {}, "post": {}}, "settings": {"gold": None}, "rewrites": None}
REWRITES = {"presets": ["style"], "axes": ["long"]}


@pytest.fixture(scope="module")
def audited(enriched, tmp_path_factory):
    """The enriched pairs with results, a column of the source and columns of rewrites; and the features."""
    from seal_datasets.audit.finish import with_columns
    from seal_datasets.report.analyze import derived_columns
    from seal_datasets.report.audited_models import PRE_AND_POST

    table, features = enriched
    table = with_columns(table, derived_columns(table, features), PRE_AND_POST)
    n = len(table)
    table = table.add_column("annotator", [f"a{row % 3}" for row in range(n)])
    drawn = [row % 4 == 0 for row in range(n)]
    added = {
        "rewrite_style_chosen": [f"new {row}" if each else None for row, each in enumerate(drawn)],
        "rewrite_status_style_chosen": ["ok" if each else "not_sampled" for each in drawn],
        "rewrite_similarity_style_chosen": [0.9 if each else None for each in drawn],
        "rewritten_style_reward_post_chosen": [float(row) if each else None for row, each in enumerate(drawn)],
        "rewritten_style_feature_topics_chosen": [[] if each else None for each in drawn],
        "rewrite_attribute_long_rejected": [True if each else None for each in drawn],
    }
    types = Features(
        {
            "rewrite_style_chosen": Value("string"),
            "rewrite_status_style_chosen": Value("string"),
            "rewrite_similarity_style_chosen": Value("float64"),
            "rewritten_style_reward_post_chosen": Value("float32"),
            "rewritten_style_feature_topics_chosen": List(Value("string")),
            "rewrite_attribute_long_rejected": Value("bool"),
        }
    )
    from datasets import concatenate_datasets

    table = concatenate_datasets([table, Dataset.from_dict(added, features=types)], axis=1)
    path = tmp_path_factory.mktemp("flat") / "pairs.parquet"
    table.to_parquet(str(path))
    return path, features


@pytest.fixture(scope="module")
def shards(audited, tmp_path_factory):
    path, features = audited
    return write_flat(path, {**RUN, "rewrites": REWRITES}, features, tmp_path_factory.mktemp("out") / "all")


def rows(path):
    return Dataset.from_parquet(str(path))


def same(before, after):
    """Equal cell by cell, nan like nan, whatever the order of the columns."""
    assert set(before.column_names) == set(after.column_names)
    for name in before.column_names:
        assert after.features[name] == before.features[name], name
        assert repr(after[name][:]) == repr(before[name][:]), name


def test_each_table_is_flat_and_typed(shards):
    assert list(shards) == ["pairs", "labels", "rewards", "rewrites"]
    tables = {name: rows(paths[0]) for name, paths in shards.items()}
    for table in tables.values():
        assert table.column_names[0] == "pair_id"
        nested = [name for name, kind in table.features.items() if not isinstance(kind, Value | ClassLabel)]
        assert set(nested) <= {"conversation", "rejected_conversation"}
    assert tables["pairs"].features["regime_post"].names == [
        "stayed_aligned",
        "became_aligned",
        "stayed_misaligned",
        "reversed_alignment",
    ]
    assert tables["pairs"].features["partition"] == ClassLabel(names=["heldout", "train"])
    assert tables["pairs"]["problems_missing_chosen"][5] is True
    assert tables["pairs"].features["annotator"] == Value("string")
    assert tables["rewards"].features["reward_status_post_chosen"] == ClassLabel(names=["no_text", "ok"])
    assert tables["rewards"].features["reward_pre_chosen"] == Value("float32")
    assert tables["labels"].features["feature_topics_chosen_arts_and_culture"] == Value("bool")
    assert tables["labels"]["labeling_failures_chosen_last_response_is_helpful"][:2] == ["cut_off", None]
    assert tables["rewrites"].features["rewrite_status_style_chosen"] == ClassLabel(names=["not_sampled", "ok"])


def test_the_audits_table_comes_back_cell_by_cell(audited, shards, tmp_path):
    path, features = audited
    restore_table(shards, {**RUN, "rewrites": REWRITES}, features, tmp_path / "pairs.parquet")
    same(rows(path), rows(tmp_path / "pairs.parquet"))


def test_ids_only_keeps_no_text_and_nothing_of_the_source(audited, tmp_path):
    path, features = audited
    run = {**RUN, "rewrites": REWRITES}
    shards = write_flat(path, run, features, tmp_path / "out", ids_only=True)
    written = {name for paths in shards.values() for name in rows(paths[0]).column_names}
    assert not written & {
        "prompt",
        "chosen",
        "rejected",
        "conversation",
        "annotator",
        "rewrite_style_chosen",
        "labeling_failures_chosen",
        "gold_last_response_is_helpful_chosen",
    }
    assert {
        "pair_id",
        "prompt_id",
        "regime_post",
        "feature_last_response_is_helpful_chosen",
        "reward_pre_chosen",
    } <= written
    texts = [text for name in ("prompt", "chosen", "rejected") for text in rows(path)[name] if text]
    content = b"".join(shard.read_bytes() for paths in shards.values() for shard in paths)
    assert not [text for text in texts if text.encode() in content]
    restore_table(shards, run, features, tmp_path / "pairs.parquet")
    back = rows(tmp_path / "pairs.parquet")
    assert back["problems"][:] == rows(path)["problems"][:]
    assert [[each["reason"] for each in row] for row in back["labeling_failures_chosen"]] == [
        [each["reason"] for each in row] for row in rows(path)["labeling_failures_chosen"]
    ]
    own = write_flat(path, {**run, "settings": {"gold": "mine.csv"}}, features, tmp_path / "gold", ids_only=True)
    assert "gold_last_response_is_helpful_chosen" in rows(own["labels"][0]).column_names


def test_tables_in_several_shards_are_read_in_order_however_they_are_cut(audited, tmp_path, monkeypatch):
    path, features = audited
    monkeypatch.setattr(flat, "_ROWS", 17)
    monkeypatch.setattr(flat, "_SHARD_BYTES", 5000)
    shards = write_flat(path, RUN, features, tmp_path / "out")
    assert len(shards["pairs"]) > len(shards["rewards"]) >= 1
    assert shards["pairs"][0].name == f"train-00000-of-{len(shards['pairs']):05d}.parquet"
    restore_table(shards, RUN, features, tmp_path / "pairs.parquet")
    same(rows(path), rows(tmp_path / "pairs.parquet"))
    with pytest.raises(DataError, match="same pairs in the same order"):
        restore_table({**shards, "labels": shards["labels"][::-1]}, RUN, features, tmp_path / "wrong.parquet")


@pytest.mark.parametrize(
    ("config", "column", "value", "message"),
    [
        ("pairs", "regime_post", -1, "column 'regime_post' holds the class -1, and its classes are 0 to 3"),
        ("pairs", "regime_post", 4, "column 'regime_post' holds the class 4"),
        ("labels", "labeling_failures_chosen", "{", "the published tables are not those of an audit"),
        ("labels", "labeling_failures_chosen", "5", "the published tables are not those of an audit"),
        ("rewards", "pair_id", None, "the published tables are not those of an audit .*pair_id"),
        ("rewards", None, None, "the published tables are not those of an audit"),
    ],
)
def test_what_no_audit_publishes_is_refused(audited, tmp_path, config, column, value, message):
    path, features = audited
    shards = write_flat(path, RUN, features, tmp_path / "out")
    table = pq.read_table(shards[config][0])
    if column is None:
        table = table.slice(0, 0)
    elif value is None:
        table = table.drop_columns([column])
    else:
        place, field = table.column_names.index(column), table.schema.field(column)
        table = table.set_column(place, field, pa.array([value] * len(table), field.type))
    pq.write_table(table, shards[config][0])
    with pytest.raises(DataError, match=message):
        restore_table(shards, RUN, features, tmp_path / "pairs.parquet")


def test_the_same_table_makes_the_same_bytes(audited, shards, tmp_path):
    path, features = audited
    again = write_flat(path, {**RUN, "rewrites": REWRITES}, features, tmp_path / "again")
    for config, paths in shards.items():
        assert [each.read_bytes() for each in again[config]] == [each.read_bytes() for each in paths]


def test_datasets_reads_the_types_from_the_files_alone(shards):
    loaded = load_dataset("parquet", data_files=[str(each) for each in shards["pairs"]], split="train")
    assert loaded.features == rows(shards["pairs"][0]).features
    stream = load_dataset("parquet", data_files=[str(each) for each in shards["pairs"]], split="train", streaming=True)
    assert next(iter(stream))["pair_id"] == loaded[0]["pair_id"]


def test_a_column_of_the_source_cannot_take_the_place_of_a_flat_one(audited, tmp_path):
    path, features = audited
    rows(path).add_column("problems_missing_chosen", [0] * 120).to_parquet(str(tmp_path / "pairs.parquet"))
    with pytest.raises(DataError, match="problems_missing_chosen"):
        write_flat(tmp_path / "pairs.parquet", RUN, features, tmp_path / "out")
    pq.write_table(pq.read_table(path, columns=["pair_id"]), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="lacks prompt_id, problems"):
        write_flat(tmp_path / "other.parquet", RUN, features, tmp_path / "out")
