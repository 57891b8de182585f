import json

import pytest

from seal_datasets import estimate
from seal_datasets.audit.labelers_step import LabelingTask, run_labelers
from seal_datasets.audit.settings import AuditSettings, LabelerPanel
from seal_datasets.cli import main
from seal_datasets.data.demo import demo_path
from seal_datasets.endpoints.options import RequestOptions, Sampling
from seal_datasets.errors import DataError
from seal_datasets.labels.agreement import compare_labelers
from seal_datasets.labels.gold import add_gold
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.taxonomy import load_taxonomy
from tests.labels.test_labeler import Endpoint

TAXONOMY = load_taxonomy().select(["last_response_is_harmless", "last_response_sentiment"])


def answer(harmless, sentiment):
    return json.dumps({"last_response_is_harmless": harmless, "last_response_sentiment": sentiment})


def test_agreement_is_what_the_estimator_says_of_the_labels(tiny_pairs):
    said = [answer(True, "neutral"), answer(False, "positive"), answer(True, "positive")]
    with (
        Endpoint((200, said[0], "stop")) as same,
        Endpoint(*[(200, said[number % 2 + 1], "stop") for number in range(7)]) as other,
    ):
        labelers = {
            "a": Labeler("m", base_url=same.url),
            "b": Labeler("m", base_url=other.url, options=RequestOptions(concurrency=1)),
        }
        human = tiny_pairs.select([0]).select_columns(["pair_id"])
        human = human.add_column("gold_last_response_is_harmless_chosen", [True])
        human = human.add_column("gold_last_response_is_harmless_rejected", [True])
        found = compare_labelers(add_gold(tiny_pairs, human, TAXONOMY), labelers, TAXONOMY)
    harmless = found.stability["last_response_is_harmless"]
    assert harmless.n_rows == 8
    assert harmless.n_missing == {"a": 1, "b": 1}
    assert harmless.pairs[0].n == 7
    assert 0.0 < harmless.pairs[0].agreement < 1.0
    assert found.stability["last_response_sentiment"].level == "ordinal"
    assert found.gold["last_response_is_harmless"]["a"] == estimate.label_accuracy([1, 1], [1, 1], groups=[0, 0])
    assert "a_feature_last_response_is_harmless_chosen" in found.table.column_names
    assert any(line.startswith("    a and b: agree on") for line in found.lines())
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n_pairs"] == 4


def test_only_listed_pairs_are_asked_about(tiny_pairs):
    with Endpoint((200, answer(True, "neutral"), "stop")) as endpoint:
        labelers = {
            name: Labeler("m", base_url=endpoint.url, sampling=Sampling(seed=seed)) for seed, name in enumerate("ab")
        }
        found = compare_labelers(tiny_pairs, labelers, TAXONOMY, pair_ids=["1"])
        assert len(endpoint.requests) == 4
        assert {request["seed"] for request in endpoint.requests} == {0, 1}
        with pytest.raises(DataError, match="not in the table"):
            compare_labelers(tiny_pairs, labelers, TAXONOMY, pair_ids=["x"])
        with pytest.raises(DataError, match="needs two"):
            compare_labelers(tiny_pairs, {"a": labelers["a"]}, TAXONOMY)
    assert found.table["pair_id"][:] == ["1"]


def test_labelers_together_keep_to_one_budget(tiny_pairs, tmp_path, capsys):
    prices = tmp_path / "prices.yaml"
    prices.write_text("as_of: 2026-01-01\nmodels: {m: {input: 1, output: 1}}\n")
    usage = {"prompt_tokens": 500, "completion_tokens": 80}
    settings = AuditSettings(prices=prices, budget=10 * 580e-6, concurrency=1)
    taxonomy = TAXONOMY.select(["last_response_is_harmless"])
    with Endpoint((200, json.dumps({"last_response_is_harmless": True}), "stop"), usage=usage) as endpoint:
        found = run_labelers(
            tiny_pairs, LabelingTask(LabelerPanel((f"m@{endpoint.url}",), 2, 0.5), taxonomy, settings, tmp_path / "s")
        )
        assert 7 < len(endpoint.requests) <= 10  # each would have had the money for all of the 7 texts
    reasons = {each["reason"] for row in found.table["m #1_labeling_failures_chosen"] for each in row}
    assert "over_budget" in reasons
    said = capsys.readouterr().err
    assert "m #0: 7 requests, 3,500 tokens sent, 560 written, $0.0041; labels missing: no_text 1" in said
    assert "m #1: " in said
    assert "over_budget" in said


def test_no_labeler_is_sent_the_key_of_another(tiny_pairs, tmp_path):
    answer = (200, json.dumps({"last_response_is_harmless": True}), "stop")
    arguments = (TAXONOMY.select(["last_response_is_harmless"]), AuditSettings(), tmp_path / "s")
    with Endpoint(answer) as one, Endpoint(answer, model="n") as other:
        task = LabelingTask(LabelerPanel((f"m@{one.url}", f"n@{other.url}")), *arguments)
        with pytest.raises(DataError, match="one key is given for 2 services"):
            run_labelers(tiny_pairs, task, api_key="sk-1")
        assert one.keys == other.keys == []
        run_labelers(tiny_pairs, task, api_key=f"{one.url.removesuffix('/v1')}=sk-1")
    assert set(one.keys) == {"Bearer sk-1"}
    assert set(other.keys) == {"Bearer none"}


@pytest.mark.parametrize(
    ("labelers", "found"),
    [
        (("m@http://a/v1", "m@http://b/v1"), "m@http://a/v1 and m@http://b/v1 have the same model name"),
        (("local", "local"), "local and local have the same model name"),
        (("local", "m@file:///etc"), "must be local, probe or MODEL@URL"),
        (("local", "@http://a/v1"), "must be local, probe or MODEL@URL"),
        (("local",), "needs two labelers"),
    ],
)
def test_a_panel_that_would_compare_nothing_is_refused(labelers, found):
    with pytest.raises(DataError, match=found):
        LabelerPanel(labelers)
    assert LabelerPanel(("m@http://a/v1", "m@http://a/v1:probabilities")).addresses == ("http://a/v1", "http://a/v1")


@pytest.mark.recorded
def test_the_verb_compares_two_forms_of_the_embedded_labeler_with_its_gold_labels(recorded, tmp_path, capsys):
    out = tmp_path / "compared.parquet"
    recorded(out.with_suffix(".labels.sqlite"))
    ids = tmp_path / "ids.txt"
    ids.write_text("d001\nd002\nd003\n")
    arguments = ["--features", "last_response_is_harmless", "--pair-ids", str(ids), "--out", str(out)]
    assert main(["labelers", str(demo_path()), "--labelers", "local", "local:probabilities", *arguments]) == 0
    said = capsys.readouterr().out
    assert "last_response_is_harmless: Krippendorff's alpha" in said
    assert "and gold labels: agree on" in said
    assert json.loads(out.with_suffix(".json").read_text())["n_pairs"] == 3
    assert main(["labelers", str(demo_path()), "--labelers", "local", "--repeat", "2", "--out", str(out)]) == 2
    assert "temperature above 0" in capsys.readouterr().err
    assert main(["labelers", str(demo_path()), "--labelers", "local", "gpt", "--out", str(out)]) == 2
    assert "must be local, probe or MODEL@URL" in capsys.readouterr().err
