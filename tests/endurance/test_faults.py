"""An endpoint that spoils 40 % of its answers, also with what is no HTTP, and kills on top: each text is paid once."""

from __future__ import annotations

import pytest

from seal_datasets import schema
from tests.endpoints.fault_proxy import FAULTS, FaultProxy
from tests.endurance.conftest import ENDURANCE, FEATURES, LABELS, N_PAIRS
from tests.endurance.test_kills import CONCURRENCY, Loop, kills, labelling, paid, undisturbed, whole

MALFORMED = ("bad_status_line", "long_header", "bad_chunk", "bad_length")
MIXES = {
    "all": dict.fromkeys(FAULTS, 0.4 / len(FAULTS)),
    "malformed": dict.fromkeys(MALFORMED, 0.1),
    **{fault: {fault: 0.4} for fault in MALFORMED},
}


@pytest.mark.parametrize(
    "mix", [name if name == "malformed" else pytest.param(name, marks=ENDURANCE) for name in MIXES]
)
def test_every_text_ends_labelled_or_with_a_reason_and_none_is_paid_twice(seal, pairs, tmp_path, mix, record_property):
    work, out = tmp_path / "work", tmp_path / "out.parquet"
    with FaultProxy(None, MIXES[mix], slow_seconds=0.02, hang_seconds=2.0, answer=lambda request: LABELS) as proxy:
        command = ["featurize", pairs, *labelling(proxy.url, "--timeout", 0.5), "--out", out]
        seal.run(command, work)
        n_faults, first = sum(each["fault"] != "ok" for each in proxy.records), len(proxy.records)
        table = whole(out)
        seal.run(command, work)
        counts = paid(proxy)
    assert n_faults > 0.25 * first
    labelled = 0
    for side in schema.SIDES:
        failures = table[schema.failures_column(side)].to_pylist()
        for name in FEATURES:
            values = table[schema.feature_column(name, side)].to_pylist()
            assert all((value is None) == any(each["feature"] in (name, "*") for each in row)
                       for value, row in zip(values, failures, strict=True))  # fmt: skip
            labelled += sum(value is not None for value in values)
    assert labelled >= 0.95 * 2 * N_PAIRS * len(FEATURES)
    assert set(counts.values()) == {1}
    record_property(
        "figures", f"{n_faults} faults in {first} requests; {labelled // 2} of {2 * N_PAIRS} texts labelled at once"
    )


@kills(1, 25)
def test_kills_amid_faults_end_as_an_undisturbed_run(seal, pairs, tmp_path, n_kills, record_property):
    work, out = tmp_path / "work", tmp_path / "out.parquet"
    with FaultProxy(None, {}, answer=lambda request: LABELS) as proxy:
        command = ["featurize", pairs, *labelling(proxy.url, "--timeout", 0.5), "--out", tmp_path / "whole.parquet"]
        seconds = undisturbed(seal, command, work)
    expected = whole(tmp_path / "whole.parquet")
    with FaultProxy(None, MIXES["all"], slow_seconds=0.02, hang_seconds=1.0, answer=lambda request: LABELS) as proxy:
        command = ["featurize", pairs, *labelling(proxy.url, "--timeout", 0.5), "--out", out]
        n_texts = 2 * N_PAIRS
        loop = Loop(seal, command, work, lambda: len(proxy.records), lambda: whole(out))
        amid = loop.run(n_kills, n_texts, 2 * seconds)
        for _ in range(3):  # a text may fail seven times in a row; a re-run asks for it again
            seal.run(command, work)
        counts = paid(proxy)
    assert whole(out) == expected
    assert len(counts) == n_texts
    again = sum(counts.values()) - n_texts
    assert again <= amid * CONCURRENCY
    record_property("figures", f"{n_kills} kills landed, {amid} amid requests; {n_texts} texts, {again} paid again")
