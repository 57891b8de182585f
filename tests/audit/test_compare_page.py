"""The page of a comparison: what it claims, what it holds, and how it reads in a browser."""

import json
import re

import numpy as np
import pytest

from seal_datasets.audit.compare import compare_audits
from seal_datasets.audit.compare_figures import robustness_figure
from seal_datasets.audit.compare_page import render_comparison_page
from seal_datasets.audit.compare_verdict import compare_steps, compare_verdict
from seal_datasets.cli import main
from seal_datasets.report.page import pair_columns
from tests.evaluate_modules.test_app import browser  # noqa: F401 - a fixture
from tests.report.page.conftest import HOSTILE, audit
from tests.report.page.test_browser import opened, press, texts
from tests.report.page.test_write import data_of, unpacked


@pytest.fixture(scope="module")
def audits(tmp_path_factory):
    """Four audits of the same hostile pairs under names like any folder's, and one of other pairs."""
    root = tmp_path_factory.mktemp("compared")
    names = ("<b>first", "second & last", "third's", "fourth")
    made = [audit(root / name, seed=seed) for seed, name in enumerate(names)]
    return [*made, audit(root / "elsewhere", seed=9, texts=[f"other {text}" for text in HOSTILE])]


def difference(of, quantity="imprint", *, size=0.4, p=0.001, test="paired, by prompt", models=("one", "two")):
    return {
        "quantity": quantity,
        "of": of,
        "earlier": models[0],
        "later": models[1],
        "difference": size,
        "confidence_interval": [size - 0.1, size + 0.1],
        "p_adjusted": p,
        "test": test,
    }


def compared(*differences, shared=None, **more):
    """A result as small as the verdict reads."""
    names = ("one", "two", "three") if shared and "ranking" in shared else ("one", "two")
    models = [{"name": name, "audit": name, "has_pairs": True, "failed_checks": [], **more} for name in names]
    levels = {
        name: {"estimate": 0.3 + 0.1 * place, "confidence_interval": [0.2, 0.5]} for place, name in enumerate(names)
    }
    estimates = [{"quantity": "resistance", "of": "", "by_model": levels}]
    return {"models": models, "estimates": estimates, "differences": list(differences), "shared": shared}


def said(result):
    return " ".join(sentence.text for sentence in compare_verdict(result))


def test_a_difference_is_said_only_where_its_adjusted_test_supports_it():
    found = said(
        compared(difference("", "resistance", size=0.1, p=0.01), difference("kind"), difference("rude", p=0.2))
    )
    assert "two prefers what people chose in 60.0 % of pairs, one in 70.0 %: 10.0 points less often" in found
    assert "two gives more for kind than one (+0.40 SD of reward, +0.30 to +0.50)." in found
    assert "rude" not in found
    nothing = said(compared(difference("", "resistance", size=0.1, p=0.3), difference("kind", p=0.06)))
    assert "whether they differ cannot be told (-20.0 to +0.0)" in nothing
    assert "No imprint is found to differ, of 1 feature compared." in nothing
    assert "less often" not in nothing


def test_a_smaller_imprint_is_said_of_the_model_that_gives_more():
    assert "one gives more for kind than two (+0.40 SD of reward, +0.30 to +0.50)" in said(
        compared(difference("kind", size=-0.4))
    )


def test_of_several_models_the_largest_difference_found_is_said():
    pairs_of_models = [("one", "two"), ("one", "three"), ("two", "three")]
    rows = [
        difference("", "resistance", size=size, p=p, models=models)
        for models, size, p in zip(pairs_of_models, (0.05, -0.3, 0.2), (0.4, 0.001, 0.01), strict=True)
    ]
    found = said(compared(*rows))
    assert "three prefers what people chose more often than one, by 30.0 points (+20.0 to +40.0)" in found
    assert "the largest of 2 differences found, of 3 tested." in found
    assert "the only difference found, of 3 tested." in said(compared(*rows[:2], rows[2] | {"p_adjusted": 0.2}))
    nothing = said(compared(*(row | {"p_adjusted": 0.2} for row in rows)))
    assert "more often cannot be told: none of 3 differences is found." in nothing


def test_a_rewriting_that_is_worse_for_one_is_said_where_its_test_supports_it():
    imprint, worse = difference("kind", p=0.5), difference("harmless", "robustness", size=0.2)
    found = said(compared(imprint, worse))
    assert "Rewriting (harmless) is worse for one than for two" in found
    assert "its change of alignment is 20.0 points lower (-30.0 to -10.0)." in found
    assert "is worse for two than for one" in said(compared(imprint, worse | {"difference": -0.2}))
    assert "Rewriting" not in said(compared(imprint, worse | {"p_adjusted": 0.06}))


def test_what_was_not_tested_is_not_claimed():
    assert said(compared()) == "No imprint could be compared: no feature was tested in both audits."
    same = difference("", "resistance", size=0.0, p=None)
    assert "cannot be told" in said(compared(same))


def test_robustness_is_said_without_any_imprint():
    worse = difference("style", "robustness", size=-0.2, test="independent estimates")
    assert (
        "Rewriting (style) is worse for two than for one: its change of alignment is 20.0 points lower (-30.0 to -10.0)."
        in said(compared(worse))
    )
    assert "Rewriting" not in said(compared(difference("style", "robustness", size=-0.2, p=0.2)))


def test_a_picture_of_what_was_not_tested_says_so():
    levels = {name: {"estimate": -0.1, "confidence_interval": [-0.2, 0.0]} for name in ("one", "two")}
    result = compared() | {"estimates": [{"quantity": "robustness", "of": "style", "by_model": levels}]}
    assert (
        robustness_figure(result).title == "Whether the models differ in any of the kinds of rewriting was not tested"
    )


def test_independent_audits_carry_a_caution():
    unpaired = difference("kind", test="independent estimates")
    assert "a difference may come from the data as well as the model" in said(compared(unpaired))
    assert "if they rest on the same pairs, these tests are off" in said(compared(unpaired, has_pairs=False))


def test_failed_checks_come_first():
    result = compared(difference("kind"), failed_checks=["order"])
    assert compare_verdict(result)[0].text.startswith("The scores of one and two failed checks")


def test_the_best_of_several_is_named_only_where_ranks_tell():
    def shared(*intervals):
        rows = [
            {"model": name, "rank_interval": interval}
            for name, interval in zip(("one", "two", "three"), intervals, strict=True)
        ]
        resistance = {
            name: {"alignment_resistance": 0.25, "confidence_interval": [0.2, 0.3]} for name in ("one", "two", "three")
        }
        return {
            **{"ranking": {"ranking": rows}, "resistance": resistance, "models": ["one", "two", "three"]},
            **{"n_pairs": 10, "n_prompts": 10, "audits": ["one", "two", "three"]},
            "disagree": {"count": 3, "share": 0.3, "confidence_interval": [0.1, 0.6]},
        }

    sure = said(compared(shared=shared((1, 1), (2, 3), (2, 3))))
    assert "Of 3 models one prefers what people chose most often: in 75.0 % of pairs (70.0–80.0)." in sure
    assert "The models disagree on 3 of 10 shared pairs (30.0 %, 10.0–60.0)" in sure
    unsure = said(compared(shared=shared((1, 2), (1, 2), (3, 3))))
    assert "Which of 3 models is best cannot be told: it may be any of one, two." in unsure
    assert "75.0" not in unsure


def test_the_page_holds_the_shared_pairs_with_every_model_s_rewards(audits):
    result = compare_audits(audits[:4])
    page = render_comparison_page(result, result.shared_pairs)
    data, shared = data_of(page), result["shared"]
    assert data["models"] == [path.name for path in audits[:4]] == shared["models"]
    assert data["n"] == shared["n_pairs"] == 60
    margins = result.shared_pairs.margins
    aligned = np.stack([margins[name] > 0 for name in shared["models"]])
    assert shared["disagree"]["count"] == (aligned.any(axis=0) & ~aligned.all(axis=0)).sum() > 0
    first = next(row for row in shared["splits"] if (row["prefers"], row["not"]) == tuple(shared["models"][1::-1]))
    assert first["count"] == (aligned[1] & ~aligned[0]).sum()
    assert len(unpacked(data["texts"]["chosen"])) == 60
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "<b>first" not in page.split('<script type="application/json"')[0]


def test_of_many_shared_pairs_a_sample_is_shown_and_said(audits, monkeypatch):
    monkeypatch.setattr(pair_columns, "MOST_SAMPLED", 20)
    result = compare_audits(audits[:2])
    page = render_comparison_page(result, result.shared_pairs)
    assert len(data_of(page)["texts"]["rows"]) == 20
    assert "the texts of 20, half of them pairs on which the models disagree" in page


def test_audits_without_shared_pairs_say_so_in_one_line(audits):
    result = compare_audits([audits[0], audits[4]])
    page = render_comparison_page(result, result.shared_pairs)
    assert result["shared"] is None
    assert data_of(page) == {"n": 0}
    assert "These audits have no pairs in common." in page
    assert 'id="reader"' not in page
    assert compare_steps(result)[0][0].startswith("Audit the same pairs with each model")


def test_an_audit_of_other_pairs_does_not_take_the_shared_ones_away(audits):
    result = compare_audits([audits[4], *audits[:3]])
    assert result["shared"]["audits"] == [path.name for path in audits[:3]]
    assert [row["model"] for row in result["shared"]["ranking"]["ranking"]]


def test_open_needs_a_folder_and_shows_the_page(audits, tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    two = [str(path) for path in audits[:2]]
    assert main(["compare", *two, "--open"]) == 2
    assert "give a folder with --out" in capsys.readouterr().err
    assert main(["compare", *two, "--out", str(tmp_path / "out"), "--open"]) == 0
    assert shown == [(tmp_path / "out" / "compare.html").as_uri()]
    assert "There is no browser here" in capsys.readouterr().out


@pytest.mark.slow
def test_hostile_names_are_text_and_disagreement_is_read_in_a_browser(browser, audits, tmp_path):  # noqa: F811
    result = compare_audits(audits[:4], tmp_path / "out")
    (tmp_path / "out" / "compare.html").rename(tmp_path / "out" / "report.html")
    page = opened(browser, tmp_path / "out")
    assert "✓" in texts(page, "#check")[0]
    counted = result["shared"]["disagree"]["count"]
    assert texts(page, "#count")[0].startswith(f"{counted} of 60 pairs")
    press(page, "b", "j", "m")
    why = texts(page, "#pair .meta")[0]
    assert "<b>first prefers the" in why
    assert "fourth prefers the" in why
    page.execute_script("location.hash = '#split=0.1'")
    split = next(
        row for row in result["shared"]["splits"] if [row["prefers"], row["not"]] == result["shared"]["models"][:2]
    )
    assert "<b>first prefers chosen, second & last does not" in texts(page, "#chips .chip")[0]
    assert texts(page, "#count")[0].startswith(f"{split['count']} of 60 pairs")
    page.execute_script("document.querySelector('#chips button').click()")
    assert texts(page, "#count")[0].startswith("60 of 60 pairs")
    assert page.execute_script("return document.querySelectorAll('#pair img, #pair script, h1 b').length") == 0
    assert page.title == "4 models compared on a Dataset"
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_the_numbers_of_the_file_are_those_of_the_result(audits, tmp_path):
    result = compare_audits(audits[:2], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == json.loads(json.dumps(result))
