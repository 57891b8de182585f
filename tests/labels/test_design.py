import numpy as np
import pytest

from seal_datasets.estimate import feature_imprint
from seal_datasets.labels.design import Design

NAMES = ("topic: art", "topic: law", "topic: math", "long")
BLOCKS = {"topic": NAMES[:3]}


def _design(several=False):
    rng = np.random.default_rng(0)
    topics = np.eye(3)[rng.choice(3, size=(2, 120), p=[0.2, 0.5, 0.3])]
    if several:
        topics[0, :5, 0] = 1
        topics[0, :5, 1] = 1
    long = rng.integers(0, 2, (2, 120, 1))
    return Design(NAMES, *np.concatenate([topics, long], axis=2).astype(float), BLOCKS)


def test_one_answer_per_text_has_the_commonest_as_reference():
    design = _design()
    reduced = design.without_references()
    assert reduced.names == ("topic: art", "topic: math", "long")
    assert reduced.references == {"topic": "topic: law"}
    assert reduced.blocks == {"topic": ("topic: art", "topic: math")}
    y, prompts = np.random.default_rng(1).normal(size=240), np.tile(np.arange(120), 2)
    all_of_them = feature_imprint(y, np.vstack([design.chosen, design.rejected]), prompts, design.names)
    assert [row.status for row in all_of_them.imprint] == [*["collinear"] * 3, "ok"]
    rows = np.vstack([reduced.chosen, reduced.rejected])
    fit = feature_imprint(y, rows, prompts, reduced.names, blocks=reduced.blocks)
    assert {row.status for row in fit.imprint} == {"ok"}
    # The joint test does not depend on the reference.
    other = [0, 1, 3]
    again = feature_imprint(
        y,
        np.vstack([design.chosen, design.rejected])[:, other],
        prompts,
        [NAMES[i] for i in other],
        blocks={"topic": NAMES[:2]},
    )
    assert again.blocks[0].p_value == pytest.approx(fit.blocks[0].p_value)


def test_answers_that_occur_together_need_no_reference():
    design = _design(several=True)
    assert design.without_references().names == NAMES
    assert design.without_references().references == {}


def test_texts_without_a_label_do_not_decide_on_the_reference():
    design = _design()
    design.chosen[3, :3] = np.nan
    assert design.without_references().references == {"topic": "topic: law"}


def test_a_part_of_a_block_is_no_block():
    kept = _design().select(np.array([True, False, True, True]))
    assert (kept.names, kept.blocks) == (("topic: art", "topic: math", "long"), {})
