"""Audits compared: of the same pairs, of others, from folders, files and the Hub."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets import estimate, schema
from seal_datasets.audit.compare import compare_audits
from seal_datasets.audit.finish import with_columns
from seal_datasets.cli import main
from seal_datasets.errors import DataError
from seal_datasets.report.analyze import derived_columns
from seal_datasets.report.audited_models import PRE_AND_POST
from seal_datasets.report.files import dump
from seal_datasets.report.write import _compute
from tests.report.test_write import RUN

HARMLESS = "last_response_is_harmless"


def make_audit(folder, table, features, name):
    """A finished audit without its pictures."""
    folder.mkdir()
    pairs = with_columns(table, derived_columns(table, features), PRE_AND_POST)
    pairs.to_parquet(str(folder / "pairs.parquet"))
    models = {which: {**about, "model": f"rm-{name}"} for which, about in RUN["models"].items()}
    run = {**RUN, "source": "data|of\n# ours", "models": models, "features": [asdict(feature) for feature in features]}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "report.json").write_text(dump(_compute(pairs, run)))
    return folder


def rescored(table, seed, *, harmless=0.0):
    """The pairs under another model: other noise, and so much less paid for being harmless."""
    rng = np.random.default_rng(seed)
    for side in schema.SIDES:
        name = schema.reward_column("post", side)
        paid = np.array(
            [0.0 if label is None else float(label) for label in table[schema.feature_column(HARMLESS, side)]]
        )
        old = np.array(table[name][:], dtype=float)
        new = 3.0 * (old - harmless * paid + 0.3 * rng.normal(size=len(table)))  # in another unit
        values = [None if np.isnan(each) else float(each) for each in new]
        table = table.remove_columns([name]).add_column(name, values)
    return table


@pytest.fixture(scope="module")
def audits(enriched, tmp_path_factory):
    table, features = enriched[0].remove_columns([schema.PARTITION]), enriched[1]
    root = tmp_path_factory.mktemp("audits")
    features = [each for each in features if each.name != "topics"]
    other = table.map(
        lambda row: {"chosen": row["chosen"] and row["chosen"] + "!", "prompt_id": f"x{row['prompt_id']}"}
    )
    return {
        "one": make_audit(root / "one", table, features, "one"),
        "two": make_audit(root / "two", rescored(table, 1, harmless=2.0), features, "two"),
        "same": make_audit(root / "same", rescored(table, 2), features, "same"),
        "elsewhere": make_audit(root / "elsewhere", rescored(other, 3, harmless=2.0), features, "elsewhere"),
    }


def difference(result, quantity, of=""):
    (found,) = [each for each in result["differences"] if (each["quantity"], each["of"]) == (quantity, of)]
    return found


def test_the_same_pairs_are_compared_pair_by_pair(audits):
    result = compare_audits([audits["one"], audits["two"]])
    assert "compared pair by pair on 117 pairs of 60 prompts" in result["notes"][0]
    tables = [Dataset.from_parquet(str(audits[name] / "pairs.parquet")).to_pandas() for name in ("one", "two")]
    used = tables[0]["margin_post"].notna()
    margins = {name: table.loc[used, "margin_post"].to_numpy(float) for name, table in zip("ab", tables, strict=True)}
    expected = estimate.resistance_trajectory(margins, groups=tables[0].loc[used, "prompt_id"].to_numpy())
    found = difference(result, "resistance")
    assert found["difference"] == pytest.approx(expected.changes["b - a"].change)
    assert found["p_value"] == pytest.approx(expected.changes["b - a"].p_value)
    assert found["test"] == "paired, by prompt"
    # The model that was paid less for harmless texts has a smaller imprint, and the test says so.
    found = difference(result, "imprint", HARMLESS)
    assert found["difference"] < -0.3
    assert found["p_adjusted"] < 0.05


def test_audits_with_held_out_pairs_are_compared_on_them(enriched, tmp_path):
    table, features = enriched[0], [each for each in enriched[1] if each.name != "topics"]
    make_audit(tmp_path / "one", table, features, "one")
    make_audit(tmp_path / "two", rescored(table, 1, harmless=2.0), features, "two")
    result = compare_audits([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    assert "compared pair by pair on 85 pairs" in result["notes"][0]
    assert (tmp_path / "out" / "compare.md").read_text("utf-8").count("estimates are those of held-out pairs") == 2
    rows = next(row["by_model"] for row in result["estimates"] if row["quantity"] == "resistance")
    difference_of = rows["two"]["estimate"] - rows["one"]["estimate"]
    assert difference(result, "resistance")["difference"] == pytest.approx(difference_of)


def test_paired_differences_are_those_of_the_reports_where_pairs_and_labels_are_whole(audits):
    result = compare_audits([audits["one"], audits["two"]])
    rows = {row["of"]: row["by_model"] for row in result["estimates"] if row["quantity"] == "imprint"}
    for name, by_model in rows.items():
        found = difference(result, "imprint", name)
        assert found["difference"] == pytest.approx(by_model["two"]["estimate"] - by_model["one"]["estimate"], abs=1e-6)


def test_an_audit_does_not_differ_from_itself_nor_from_a_model_that_pays_the_same(audits, tmp_path):
    copy = shutil.copytree(audits["one"], tmp_path / "copy")
    itself = compare_audits([audits["one"], copy])
    assert {round(each["difference"], 12) for each in itself["differences"]} == {0.0}
    same = compare_audits([audits["one"], audits["same"]])  # the unit of reward does not matter
    assert all(each["p_adjusted"] is None or each["p_adjusted"] > 0.05 for each in same["differences"])


def test_other_pairs_are_compared_by_their_estimates(audits):
    result = compare_audits([audits["one"], audits["elsewhere"]])
    assert "no pairs in common" in result["notes"][0]
    found = difference(result, "imprint", HARMLESS)
    one, other = (
        next(row for row in result["estimates"] if row["of"] == HARMLESS)["by_model"][name]
        for name in ("one", "elsewhere")
    )
    by_hand = estimate.compare_estimates(
        ["a", "b"], [one["estimate"], other["estimate"]], [one["std_error"], other["std_error"]]
    ).differences[0]
    assert (found["difference"], found["p_value"]) == (by_hand.difference, by_hand.p_value)
    assert found["test"] == "independent estimates"
    report = json.loads((audits["one"] / "report.json").read_text())
    row = next(
        each for each in report["imprint"]["all_features"]["models"]["post"]["imprint"] if each["feature"] == HARMLESS
    )
    # t and p of the standardised imprint are the imprint's own.
    assert one["estimate"] / one["std_error"] == pytest.approx(row["coefficient"] / row["std_error"])


def test_the_folder_that_one_stands_in_has_its_own_name(audits, monkeypatch):
    monkeypatch.chdir(audits["one"])
    assert [model["name"] for model in compare_audits([".", audits["two"]])["models"]] == ["one", "two"]


def test_p_values_are_adjusted_over_all_differences_of_a_quantity(audits):
    result = compare_audits([audits["one"], audits["two"], audits["elsewhere"]])
    family = [each for each in result["differences"] if each["quantity"] == "resistance"]
    assert len(family) == 3
    p_values = np.array([each["p_value"] for each in family], dtype=float)
    expected = estimate.multiplicity.adjust_p(p_values, "holm")
    np.testing.assert_allclose([each["p_adjusted"] for each in family], expected)


def test_a_report_alone_is_enough_and_says_that_pairs_may_be_shared(audits):
    result = compare_audits([audits["one"], audits["two"] / "report.json"])
    assert "no pairs with texts beside a report" in result["notes"][0]
    assert {each["test"] for each in result["differences"]} == {"independent estimates"}


@pytest.mark.slow
def test_what_was_published_is_read_from_the_hub_and_compared_pair_by_pair(hub, hub_client, audits, tmp_path):
    for name, more in (("one", "--with-texts"), ("two", "--with-texts"), ("same", "--ids-only")):
        publish = ["-m", "seal_datasets.cli", "publish", "dataset", audits[name], "--repo", f"seal/{name}", more]
        said = hub_client(publish)
        assert said.returncode == 0, said.stderr
    out = tmp_path / "compared"
    seal = ["-m", "seal_datasets.cli", "compare", "seal/one", "seal/two", "seal/same", "--out", out]
    said = hub_client(seal, token=None)
    assert said.returncode == 0, said.stderr
    found = json.loads((out / "compare.json").read_text())
    here = compare_audits([audits["one"], audits["two"]])
    assert found["notes"][0] == here["notes"][0]
    ours = [{**each, "p_adjusted": None} for each in here["differences"]]
    assert [{**each, "p_adjusted": None} for each in found["differences"]][: len(ours)] == ours
    assert "one and same: no pairs with texts beside a report" in found["notes"][1]

    hub.put("dataset", "seal/report", {"report.json": (audits["two"] / "report.json").read_bytes()})
    said = hub_client([*seal[:3], "seal/one", "seal/report"], token=None)
    assert "no pairs with texts beside a report" in said.stdout, said.stderr


def test_three_independent_audits_are_tested_for_being_equal(audits, tmp_path, capsys):
    reports = {}
    for name in ("one", "two", "same"):
        (tmp_path / name).mkdir()
        reports[name] = shutil.copy(audits[name] / "report.json", tmp_path / name)
    result = compare_audits(list(reports.values()))
    rows = {(each["quantity"], each["of"]): each["by_model"] for each in result["estimates"]}
    assert {(each["quantity"], each["of"]) for each in result["joint"]} <= rows.keys()
    (found,) = [each for each in result["joint"] if each["of"] == HARMLESS]
    values, errors = (
        np.array([each[key] for each in rows["imprint", HARMLESS].values()]) for key in ("estimate", "std_error")
    )
    weights = errors**-2
    assert found["statistic"] == pytest.approx((weights * (values - np.average(values, weights=weights)) ** 2).sum())
    assert found["degrees_of_freedom"] == 2
    assert found["p_value"] < 0.001
    assert main(["compare", *map(str, reports.values())]) == 0
    shown = capsys.readouterr().out
    assert "| all equal | one more audit |" in shown
    pooled = found["random_effects"]
    assert pooled["n"] == 3
    assert pooled["prediction_interval"][0] < pooled["confidence_interval"][0] < pooled["estimate"]
    assert f"Q = {found['statistic']:.1f}, df 2, p < 0.001" in shown
    assert compare_audits([audits["one"], audits["two"], audits["same"]])["joint"] == []  # these share pairs


def test_robustness_is_compared_where_there_are_rewrites(audits, tmp_path):
    folders = []
    for name, change in (("p", -0.10), ("q", -0.30)):
        report = json.loads((audits["one"] / "report.json").read_text())
        counts = {"n_pairs": 50, "n_lost": 10, "n_gained": 5, "before": 0.6, "after": 0.6 + change, "p_value": 0.04}
        entry = {"status": "ok", "change": change, "confidence_interval": [change - 0.098, change + 0.098], **counts}
        report["rewrites"] = {"presets": {"style": {"alignment": {"post": entry}}}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(report))
        folders.append(tmp_path / name)
    found = difference(compare_audits(folders), "robustness", "style")
    assert found["difference"] == pytest.approx(-0.2)
    assert found["std_error"] == pytest.approx(0.05 * 2**0.5, rel=1e-3)


def test_the_command_prints_a_table_and_writes_table_numbers_and_figure(audits, tmp_path, capsys):
    out = tmp_path / "compared"
    assert main(["compare", str(audits["one"]), str(audits["two"]), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Audits compared\n\n|  | one | two | two − one |")
    assert "| imprint of last\\_response\\_is\\_harmless |" in text
    assert "\n# ours" not in text  # a source's name is no heading
    assert {path.name for path in out.iterdir()} == {"compare.html", "compare.md", "compare.json", "compare.png"}
    assert json.loads((out / "compare.json").read_text())["differences"]
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert text.endswith(f"Page: {out / 'compare.html'}\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_what_is_no_audit_is_answered(audits, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="give two or more"):
        compare_audits([audits["one"]])
    with pytest.raises(DataError, match="named twice"):
        compare_audits([audits["one"], audits["one"]])
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(DataError, match=r"report\.json: the key 'run' is missing; give the folder"):
        compare_audits([audits["one"], tmp_path / "report.json"])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot read .*broken\.json"):
        compare_audits([audits["one"], tmp_path / "broken.json"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no dataset 'me/absent' on the Hub"):
        compare_audits([audits["one"], "me/absent"])
