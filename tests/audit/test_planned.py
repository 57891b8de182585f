"""The table of a plan."""

import math

from seal_datasets.audit.planned import AuditPlan, PlannedStep


def test_memory_is_that_of_what_is_held_at_the_same_time():
    """Table 5; training 40 alone; both models 10 + 20 with the rewriter 7 or, after it, the labeler 9: 5 + max(40, 39)."""
    steps = (
        PlannedStep("load", memory=5),
        PlannedStep("labels", memory=9),
        PlannedStep("train", memory=40),
        PlannedStep("score a", memory=10),
        PlannedStep("score b", memory=20),
        PlannedStep("rewrites", memory=7),
        PlannedStep("label rewrites", memory=9),
    )
    assert AuditPlan(steps).total("memory") == 45
    without_training = tuple(step for step in steps if step.name != "train")
    assert AuditPlan(without_training).total("memory") == 5 + 10 + 20 + 9


def test_what_is_unknown_is_said_and_left_out_of_sums():
    plan = AuditPlan(
        (
            PlannedStep("labels", texts=4, requests=4, dollars=0.5, seconds=math.nan, notes=("a server answers",)),
            PlannedStep("score a", texts=4, cached=1, seconds=2.0),
        )
    )
    assert math.isnan(plan.total("seconds"))
    assert plan.total("disk") is None
    assert str(plan).splitlines()[:4] == [
        "step     pairs  texts  cached  tokens  requests  dollars     time  memory  disk",
        "labels       -      4       -       -         4    $0.50  unknown       -     -",
        "score a      -      4       1       -         -        -    2.0 s       -     -",
        "total                               -         4    $0.50   2.0 s+       -     -",
    ]
    assert str(plan).splitlines()[-1] == "labels: a server answers"
