import yaml

from seal_datasets.hub.benchmark_file import benchmark_file


def test_the_file_has_the_keys_of_the_documented_schema():
    content = yaml.safe_load(
        benchmark_file("me/pairs: the *best*\n- of all", 160_800, ["alignment_score", "reward_shift"])
    )
    assert set(content) == {"name", "description", "tasks"}  # a framework beyond the Hub's list is refused
    assert content["name"] == "SEAL audit of me/pairs: the *best*\n- of all"
    assert "160,800 preference pairs" in content["description"]
    assert content["tasks"] == [
        {"id": "alignment_score", "config": "pairs", "split": "train"},
        {"id": "reward_shift", "config": "pairs", "split": "train"},
    ]
