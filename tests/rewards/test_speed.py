"""Measured speed, with a double of a model whose time per token is known."""

import time

import pytest

from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.speed import Speed, measure_scoring


class Metronome:
    """A double: a model that takes 0.2 ms for every token, so that the speed is known."""

    device = "cpu"

    def __init__(self):
        self.batches = []

    def rewards(self, encoded):
        self.batches.append(len(encoded))
        time.sleep(0.0002 * sum(len(text.inputs["input_ids"]) for text in encoded))
        yield [(position, 0.0) for position in range(len(encoded))]


def pairs_of(n):
    return [[Encoded({"input_ids": [n, side] * (1 + n % 5)}, "ok", 2) for side in (0, 1)] for n in range(n)]


def test_the_measured_speed_is_that_of_the_model_and_the_time_is_kept():
    model = Metronome()
    start = time.perf_counter()
    speed = measure_scoring(model, pairs_of(5000), seconds=0.4)
    assert time.perf_counter() - start < 1.5
    assert speed.seconds_for(5000) == pytest.approx(1.0, rel=0.3)
    assert model.batches == sorted(model.batches)
    assert speed.n_texts == model.batches[-1] > 100


def test_a_small_table_is_scored_whole_and_an_empty_one_not_at_all():
    model = Metronome()
    assert measure_scoring(model, pairs_of(3)).n_texts == 6
    twice = [*pairs_of(3), *pairs_of(3)]
    assert measure_scoring(model, twice).n_texts == 6  # equal texts are scored once
    assert measure_scoring(model, []) == Speed(0, 0, 0.0, "cpu")
    assert str(measure_scoring(model, []).seconds_for(5)) == "nan"
