import pytest

from seal_datasets.errors import DataError
from seal_datasets.escape import shareable
from seal_datasets.hub.card_sections import join_card, put_section, split_card, with_tags

CARD = "---\n# a comment\nlicense: mit\ntags: [a]\n---\n\n# Title\n\nText --- with dashes.\n"


def test_a_card_without_a_change_is_the_same_to_the_byte():
    keys, text = split_card(CARD)
    assert keys == {"license": "mit", "tags": ["a"]}
    assert join_card(CARD, keys, text, repo_type="dataset") == CARD
    assert split_card("# No keys\n---\nx\n") == ({}, "# No keys\n---\nx\n")


@pytest.mark.parametrize(
    ("card", "keys"),
    [
        ("---\n# --- about ---\nlicense: mit\n---\n\n# Title\n", {"license": "mit"}),
        ("---\r\ntitle: a ---\r\nlicense: mit\r\n---\r\n# Title\r\n", {"title": "a ---", "license": "mit"}),
        ("---\n---\n\n# Title\n---\nmore\n", {}),
    ],
)
def test_dashes_at_the_end_of_a_line_do_not_end_the_keys(card, keys):
    found, text = split_card(card)
    assert found == keys
    assert text.strip().startswith("# Title")
    assert split_card(join_card(card, with_tags(found, ("seal",)), text, repo_type="dataset"))[0] == {
        **keys,
        "tags": ["seal"],
    }


def test_keys_are_added_and_others_stay():
    keys, text = split_card(CARD)
    joined = join_card(CARD, with_tags(keys, ("seal", "a")), text, repo_type="model")
    assert split_card(joined) == ({"license": "mit", "tags": ["a", "seal"]}, "\n# Title\n\nText --- with dashes.\n")


def test_a_section_is_replaced_where_it_stands_and_others_are_left():
    card = put_section(put_section("Mine.", "dataset", "One."), "report", "Two.")
    assert put_section(card, "dataset", "One.") == card
    changed = put_section(card, "dataset", "New.")
    assert changed == card.replace("One.", "New.")


@pytest.mark.parametrize(
    "text",
    [
        "<!-- seal:begin report -->\nx",
        "<!-- seal:end report -->\n<!-- seal:begin report -->",
        "<!-- seal:begin report --><!-- seal:end report -->" * 2,
    ],
)
def test_broken_markers_are_an_error_and_not_a_guess(text):
    with pytest.raises(DataError, match="mend the card"):
        put_section(text, "report", "Ours.")


def test_a_front_matter_that_is_none_is_an_error():
    with pytest.raises(DataError, match="not YAML"):
        split_card("---\na: [\n---\n")
    with pytest.raises(DataError, match="holds no keys"):
        split_card("---\n- a\n---\n")
    broken = {"model-index": [{"results": 3}]}
    with pytest.raises(DataError, match="the Hub can read"):
        join_card("", broken, "x", repo_type="model")


def test_paths_and_passwords_are_not_shared_and_ids_are():
    assert shareable(["/a/b.jsonl", "~/x", "../up/y", "C:\\Users\\me\\z.csv", "https://u:p@h/v1"]) == [
        "b.jsonl",
        "x",
        "y",
        "z.csv",
        "https://h/v1",
    ]
    assert shareable({"n": 1, "id": "org/name", "who": "a@b.example", "slash": "/"}) == {
        "n": 1,
        "id": "org/name",
        "who": "a@b.example",
        "slash": "/",
    }


@pytest.mark.parametrize("value", [3, "x", [3], {"a": 1}, [["x"]]])
def test_a_key_of_another_form_is_refused_by_name(value):
    from seal_datasets.hub.card_sections import listed

    with pytest.raises(
        DataError, match=r"the card's key 'model-index' holds .* needed is a list of keys with values: mend"
    ):
        listed({"model-index": value}, "model-index", dict)
    assert listed({"model-index": None}, "model-index", dict) == []
