"""Which models of two audits are compared: the same by weights, by id and revision, or else by name."""

from seal_datasets.audit.match_models import Audit, match_models, subjects_of


def audit(name, models, baseline=None):
    return Audit(name, {"run": {"models": models, "baseline": baseline}}, None)


def matched(*audits):
    first, second = ([each for each in subjects_of(audits) if each.audit is one] for one in audits)
    return [(one.model, other.model) for one, other in match_models(first, second)]


def columns(name):
    return {"model": f"columns {name}_chosen and {name}_rejected", "revision": "sha256:of the table"}


def weights(path, digest):
    return {"model": path, "revision": f"sha256:{digest}", "architecture": "BertForSequenceClassification"}


def test_columns_of_one_table_are_models_of_their_own():
    one = audit("one", {"rm": columns("rm")})
    two = audit("two", {"sft": columns("sft"), "rm": columns("rm")}, baseline="sft")
    assert matched(one, two) == [("rm", "rm")]


def test_equal_weights_are_one_model_in_whatever_folder_and_under_whatever_name():
    one = audit("one", {"old": weights("a", "1"), "rm": weights("b", "2")}, baseline="old")
    two = audit("two", {"before": weights("c", "2"), "after": weights("d", "3")}, baseline="before")
    assert matched(one, two) == [("rm", "before")]


def test_without_a_common_revision_names_decide_and_then_the_only_two():
    assert matched(audit("one", {"rm": weights("a", "1")}), audit("two", {"rm": weights("b", "2")})) == [("rm", "rm")]
    assert matched(audit("one", {"x": weights("a", "1")}), audit("two", {"y": weights("b", "2")})) == [("x", "y")]
