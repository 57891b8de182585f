"""README and guides are short and plain."""

import pytest

from tests.docs.pages import DOCS, GUIDES, ROOT, sentences_of

PLAIN = [ROOT / "README.md", DOCS / "index.md", DOCS / "start.md", DOCS / "concepts.md", DOCS / "faq.md", *GUIDES]


def test_the_readme_has_at_most_140_lines():
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= 140


@pytest.mark.parametrize("page", PLAIN, ids=lambda path: path.stem)
def test_sentences_have_at_most_25_words(page):
    sentences = list(sentences_of(page))
    assert len(sentences) > 3
    assert [sentence for sentence in sentences if len(sentence.split()) > 25] == []
