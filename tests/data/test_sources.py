"""What names no dataset, or is none, is an error that says so."""

import pytest

from seal_datasets.data.load import load_pairs
from seal_datasets.errors import DataError


def test_odd_names_of_sources_are_errors_of_the_data():
    for source, said in (("~nobody-of-this-name/a.jsonl", "home"), ("x" * 5000, "too long"), ("/" + "x" * 5000, "too")):
        with pytest.raises(DataError, match=said):
            load_pairs(source)


def test_dicts_of_other_things_than_datasets_are_refused():
    for source, said in (({}, "no splits"), ({"prompt": ["Q"], "chosen": ["a"]}, "source is a dict of list")):
        for split in (None, "prompt"):
            with pytest.raises(DataError, match=f"{said}|there is no split"):
                load_pairs(source, split=split)
