import pytest

from seal_datasets.errors import DataError
from seal_datasets.labels.taxonomy import InvalidLabel, load_taxonomy

# Names from the paper, Appendix E.
PAPER_KEYS = {
    "assistant_is_anthropomorphic",
    "assistant_is_coherent",
    "human_vocabulary_quality",
    "topics",
    "last_response_is_anthropomorphic",
    "last_response_is_coherent",
    "last_response_is_refusal",
    "last_response_is_helpful",
    "last_response_is_harmless",
    "last_response_is_honest",
    "last_response_sentiment",
    "last_response_contains_insult",
    "last_response_is_sexually_explicit",
    "last_response_breaks_privacy",
    "last_response_is_discriminatory",
    "last_response_is_discriminating_against",
    "last_response_is_manipulative",
    "last_response_is_creative",
    "last_response_is_eloquent",
}

MINIMAL = """
name: mine
version: "2"
features:
  - {name: polite, role: target, priority: 1, level: response, type: bool, question: 'Polite?'}
  - {name: tone, role: spoiler, level: response, type: ordinal, question: 'Tone?', values: {cold: -1, warm: 1}}
"""


def test_default_taxonomy_has_the_papers_keys_and_targets():
    taxonomy = load_taxonomy()
    assert set(taxonomy.names) == PAPER_KEYS
    assert [each.name for each in taxonomy.targets] == ["last_response_is_harmless", "last_response_is_helpful"]
    assert len(taxonomy["topics"].answers) == 12
    assert len(taxonomy["last_response_is_discriminating_against"].answers) == 12
    assert dict(taxonomy["last_response_sentiment"].values) == {"negative": -1, "neutral": 0, "positive": 1}


def test_user_file_is_read_and_its_content_decides_the_digest(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    taxonomy = load_taxonomy(path)
    assert (taxonomy.name, taxonomy.version, taxonomy.names) == ("mine", "2", ("polite", "tone"))
    path.write_text(MINIMAL.replace("Polite?", "Is it polite?"))
    edited = load_taxonomy(path)
    assert edited.version == taxonomy.version
    assert edited.digest != taxonomy.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("role: target, priority: 1", "role: target"), "'polite'.*whole-number priority"),
        (("type: bool", "type: number"), "'polite'.*type must be one of"),
        (("role: spoiler", "role: spoilt"), "'tone'.*role must be one of"),
        (("values: {cold: -1, warm: 1}", "values: [cold, warm]"), "'tone'.*answer: whole-number code"),
        (("name: tone", "name: polite"), "repeated feature names: polite"),
        (("question: 'Polite?'", "query: 'Polite?'"), r"unknown keys \['query'\]"),
        (("name: polite", "name: not polite"), "letters, digits"),
        (("name: polite", "name: true"), "letters, digits"),
        (("question: 'Polite?'", "1: a, query: b"), r"unknown keys \[1, 'query'\]"),
        (("question: 'Polite?'", "question: ''"), "needs a question"),
        (("features:", "feature:"), "needs the keys name, version and features"),
        (("priority: 1", "priority: true"), "'polite'.*whole-number priority"),
        (("warm: 1", "warm: -1"), "'tone': two answers have the same code"),
        (("warm: 1", "cold: 1"), "the key 'cold' is given twice"),
        (("warm: 1", "1: 1"), "'tone': the answer 1 is no text; put it in quotes"),
        (("{cold: -1, warm: 1}", "{}"), "'tone'.*answer: whole-number code"),
        (("type: ordinal", "type: labels, values: [a, b, a]"), "given twice"),
    ],
)
def test_broken_file_is_refused_by_feature_and_key(tmp_path, change, message):
    path = tmp_path / "broken.yaml"
    path.write_text(MINIMAL.replace(*change))
    with pytest.raises(DataError, match=message):
        load_taxonomy(path)


def test_words_and_decimals_of_a_file_stay_text(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text(
        MINIMAL.replace("{cold: -1, warm: 1}", "{no: 0, Yes: 1, on: 2, 2024-01-01: 3}").replace('"2"', "1.10")
    )
    taxonomy = load_taxonomy(path)
    assert taxonomy["tone"].values == (("no", 0), ("Yes", 1), ("on", 2), ("2024-01-01", 3))
    assert taxonomy.version == "1.10"
    labels = "type: labels, question: 'Tone?', values: [yes, no]}"
    path.write_text(MINIMAL.replace("type: ordinal, question: 'Tone?', values: {cold: -1, warm: 1}}", labels))
    assert load_taxonomy(path)["tone"].values == (("yes", 0), ("no", 1))


def test_a_hostile_file_ends_at_once(tmp_path):
    path = tmp_path / "hostile.yaml"
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    path.write_text(bomb + MINIMAL)
    with pytest.raises(DataError, match=r"not valid YAML: an alias \(\*a0\)"):
        load_taxonomy(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="not valid YAML"):
        load_taxonomy(path)
    path.write_text(MINIMAL + "#" * 1_000_000)
    with pytest.raises(DataError, match="at most 1,000,000 are read"):
        load_taxonomy(path)
    path.write_bytes(MINIMAL.replace("Polite?", "H\u00f6flich?").encode("latin-1"))
    with pytest.raises(DataError, match=r"is not UTF-8 text .*; save it in UTF-8 encoding"):
        load_taxonomy(path)
    with pytest.raises(DataError, match="no taxonomy at"):
        load_taxonomy(tmp_path)


def test_missing_or_malformed_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no taxonomy at"):
        load_taxonomy(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("features: [")
    with pytest.raises(DataError, match="not valid YAML"):
        load_taxonomy(tmp_path / "bad.yaml")


def test_select_keeps_the_named_order_and_refuses_unknown_and_repeated_names():
    taxonomy = load_taxonomy()
    assert taxonomy.select(["topics", "assistant_is_coherent"]).names == ("topics", "assistant_is_coherent")
    with pytest.raises(DataError, match="no feature 'politeness'; it has: assistant_is_anthropomorphic"):
        taxonomy.select(["politeness"])
    with pytest.raises(DataError, match="more than once"):
        taxonomy.select(["topics", "topics"])


@pytest.mark.parametrize(
    ("feature", "answer", "value"),
    [
        ("last_response_is_helpful", False, False),
        ("last_response_sentiment", "negative", -1),
        ("topics", [], []),
        (
            "topics",
            ["people and self", "history and events", "people and self"],
            ["history and events", "people and self"],
        ),
    ],
)
def test_valid_answers_become_values(feature, answer, value):
    assert load_taxonomy()[feature].parse(answer) == value


@pytest.mark.parametrize(
    ("feature", "answer", "reason"),
    [
        ("last_response_is_helpful", "true", "wrong_type"),  # a string is not a truth value
        ("last_response_is_helpful", 0, "wrong_type"),  # nor is a number
        ("last_response_is_helpful", None, "wrong_type"),
        ("last_response_sentiment", 1, "wrong_type"),
        ("last_response_sentiment", "Positive", "unknown_value"),
        ("topics", "history and events", "wrong_type"),
        ("topics", ["gossip"], "unknown_value"),
        ("topics", [["history and events"]], "wrong_type"),
    ],
)
def test_other_answers_are_refused_with_a_reason(feature, answer, reason):
    with pytest.raises(InvalidLabel) as caught:
        load_taxonomy()[feature].parse(answer)
    assert caught.value.reason == reason
