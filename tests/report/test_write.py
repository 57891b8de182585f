import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.cards import format_rate
from seal_datasets.errors import DataError
from seal_datasets.report.headline import headline
from seal_datasets.report.write import check_report, size_category, write_report
from tests.report.page.words import words_of_page

TABLES = ("resistance", "regimes", "imprint", "memory", "surface", "calibration", "shift", "labels", "balance")
RUN = {
    "schema": 2,
    "seal_datasets": "0",
    "source": "<script>alert(1)</script>|x",
    "diagnosis": {"format": "standard", "problems": {"missing_chosen": {"count": 1, "first_pair_id": "5"}}},
    "models": {
        name: {
            "model": f"rm-{name}",
            "revision": "r",
            "architecture": "A",
            "input_style": "text_pair",
            "dtype": "float32",
            "max_length": 512,
            "over_length": "truncate",
        }
        for name in ("pre", "post")
    },
    "baseline": "pre",
    "training": None,
    "labeler": {
        "model": "tiny",
        "endpoint": "embedded",
        "weak": True,
        "spent": {"responses": "3 requests, $0.01", "prices": "2026-01-01, here"},
    },
    "taxonomy": {"name": "t", "version": "1", "digest": "d"},
    "scoring": {"pre": {"ok": 238, "no_text": 2}, "post": {"ok": 237, "truncated": 1, "no_text": 2}},
    "settings": {"seed": 0},
    "versions": {"python": "3"},
}


@pytest.fixture(scope="module")
def folder(enriched, tmp_path_factory):
    from dataclasses import asdict

    from seal_datasets.audit.finish import with_columns
    from seal_datasets.report.analyze import derived_columns
    from seal_datasets.report.audited_models import PRE_AND_POST

    table, features = enriched
    folder = tmp_path_factory.mktemp("audit")
    with_columns(table, derived_columns(table, features), PRE_AND_POST).to_parquet(str(folder / "pairs.parquet"))
    run = {**RUN, "features": [asdict(feature) for feature in features]}
    (folder / "run.json").write_text(json.dumps(run))
    write_report(folder)
    return folder


def test_the_folder_is_whole(folder):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "pairs.parquet",
        "run.json",
        "report.json",
        "report.html",
        "report.md",
        "README.md",
        *(
            f"figures/{name}.{kind}"
            for name in (
                "table1_regimes",
                "figure2_reward_map",
                "figure3_imprint",
                "figure4_shift_by_regime",
                "spoiler_balance",
            )
            for kind in ("png", "pdf", "csv")
        ),
        *(f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "tex")),
    }
    markdown = (folder / "report.md").read_text()
    assert all(f"](figures/{path.name})" in markdown for path in (folder / "figures").glob("*.png"))
    assert all(f"](tables/{path.name})" in markdown for path in (folder / "tables").glob("*.csv"))
    assert len(markdown.splitlines()) <= 90


def test_numbers_in_the_text_are_those_of_the_json(folder):
    report, markdown = json.loads((folder / "report.json").read_text()), (folder / "report.md").read_text()
    page = words_of_page(folder)
    resistance = report["models"]["post"]["resistance"]["heldout"]
    assert f"| post | {resistance['n_pairs']} | {100 * resistance['alignment_resistance']:.1f} %" in markdown
    regimes = report["comparisons"]["post - pre"]["regimes"]["heldout"]
    for name in ("became_aligned", "reversed_alignment"):
        assert f"| {format_rate(regimes[name], 'share')} |" in markdown
    for name, entry in regimes.items():
        assert f"{name.replace('_', ' ').capitalize()} {entry['count']} {100 * entry['share']:.1f} %" in page
    imprint, feature = report["imprint"]["all_features"], "last_response_is_harmless"
    points = next(row for row in imprint["models"]["post"]["imprint"] if row["feature"] == feature)
    assert f"{points['coefficient']:+.2f} ± {points['std_error']:.2f}" in page
    units = next(row for row in imprint["standardised"]["sd"]["models"]["post"] if row["feature"] == feature)
    assert f"{units['estimate']:+.2f} ± {units['std_error']:.2f}" in page
    # The planted imprint is a claim of the estimate that gold labels correct.
    [claim] = [row for row in report["claims"] if (row["quantity"], row["feature"]) == ("imprint", feature)]
    assert claim["corrected"] is True
    assert f"| harmless | **{claim['estimate']:+.2f}** (" in markdown
    assert "nan" not in markdown.lower().split()


def test_outside_strings_cannot_act(folder):
    for name in ("report.md", "README.md"):
        text = (folder / name).read_text()
        assert "<script>" not in text
        assert "&lt;script&gt;" in text


def test_a_weak_labeler_is_called_weak_beside_its_agreement_with_gold(folder):
    warning = next(line for line in (folder / "report.md").read_text().splitlines() if "Weak labeler" in line)
    assert "last_response_is_harmless 100.0 %" in warning


def test_texts_of_the_dataset_are_not_shown(folder, enriched):
    markdown = (folder / "report.md").read_text()
    assert not any(text in markdown for text in enriched[0]["chosen"] if text and len(text) > 12)


def test_the_report_stands_and_a_changed_number_is_named(folder, tmp_path):
    assert check_report(folder) == []
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "report.json"
    report = json.loads(path.read_text())
    report["models"]["post"]["resistance"]["all"]["n_ties"] += 1
    path.write_text(json.dumps(report))
    assert check_report(tmp_path / "copy") == ["models.post.resistance.all.n_ties"]


def test_the_report_is_the_same_each_time(folder):
    before = (folder / "report.json").read_bytes(), (folder / "report.md").read_bytes()
    write_report(folder)
    assert ((folder / "report.json").read_bytes(), (folder / "report.md").read_bytes()) == before


def test_the_dataset_card_loads_with_its_front_matter(folder):
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(folder / "README.md")
    assert card.data.configs == [{"config_name": "pairs", "data_files": "pairs.parquet"}]
    assert card.data.size_categories == ["n<1K"]


def test_headline_speaks_of_held_out_pairs_and_of_claims_alone(folder):
    report = json.loads((folder / "report.json").read_text())
    lines = headline(report)
    assert "on 85 held-out pairs" in lines[0]
    assert "on the 32 pairs trained on" in lines[2]
    rewarded = next(line for line in lines if line.startswith("The post-training model rewards"))
    claimed = {claim["feature"] for claim in report["claims"] if claim["quantity"] == "imprint"}
    assert claimed == {"last_response_is_harmless", "last_response_is_helpful"}
    assert all(f"{feature} (+" in rewarded for feature in claimed)
    assert not any("surface_" in line for line in lines)


def test_a_folder_without_an_audit_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"pairs\.parquet does not exist; give the folder of a finished"):
        write_report(tmp_path)


def test_rows_without_an_estimate_are_folded_into_a_sentence(folder):
    report = json.loads((folder / "report.json").read_text())
    rows = report["models"]["post"]["amplification"]["features"]
    silent = [row["feature"] for row in rows if row["status"] == "not_identified"]
    assert len(silent) > 1
    said = f"{len(silent)} features never differ"
    assert f"{said}: {', '.join(silent)}." in words_of_page(folder)
    assert said in (folder / "report.md").read_text()


def test_tables_and_figures_of_an_earlier_report_do_not_stay_beside_a_new_one(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("ranking.csv", "mine.csv"):
        (tmp_path / "copy" / "tables" / name).write_text("of an earlier audit")
    for name in ("figure5_robustness.png", "figure5_robustness.pdf", "mine.png"):
        (tmp_path / "copy" / "figures" / name).write_text("of an earlier audit")
    write_report(tmp_path / "copy")
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert {path.name for path in (tmp_path / "copy" / "figures").iterdir()} == drawn | {"mine.png"}
    left = {path.name for path in (tmp_path / "copy" / "tables").iterdir()}
    assert left == {"mine.csv", *(f"{name}.{kind}" for name in TABLES for kind in ("csv", "tex"))}


def test_an_audit_again_leaves_no_figures_and_tables_of_the_one_before(tmp_path):
    rows = Dataset.from_list(
        [
            {"prompt": f"{i}", "chosen": "a b", "rejected": f"c{i}", "x": i % 5, "y": i % 3, "z": i % 2}
            for i in range(40)
        ]
    )
    audit_own_rewards(rows, tmp_path, {"one": ("x", "y"), "two": ("x", "z")})
    names = ("figures/table1_regimes.png", "tables/regimes.csv", "tables/shift.tex")
    assert all((tmp_path / name).is_file() for name in names)
    audit_own_rewards(rows, tmp_path, {"two": ("x", "z")})
    assert not any((tmp_path / name).exists() for name in names)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "feature_surface_has_code_chosen",
            "yes",
            "column 'feature_surface_has_code_chosen' holds string; needed is num",
        ),
        ("gold_last_response_is_harmless_chosen", "yes", "column 'gold_last_response_is_harmless_chosen' holds string"),
        ("margin_post", None, "lacks the column 'margin_post', which an audit writes"),
    ],
)
def test_pairs_that_no_audit_wrote_are_refused_by_their_column(folder, tmp_path, name, value, message):
    shutil.copytree(folder, tmp_path / "copy")
    table = pq.read_table(folder / "pairs.parquet").drop_columns([name])
    if value is not None:
        table = table.append_column(name, pa.array([value] * len(table)))
    pq.write_table(table, tmp_path / "copy" / "pairs.parquet")
    with pytest.raises(DataError, match=message):
        write_report(tmp_path / "copy")


def test_a_size_category_is_one_of_the_hub_s():
    assert [size_category(10**power) for power in (2, 3, 7, 8, 9)] == [
        *("n<1K", "1K<n<10K", "10M<n<100M", "100M<n<1B", "1B<n<10B"),
    ]
