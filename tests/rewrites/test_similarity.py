import numpy as np
import pytest

from seal_datasets.errors import ModelError
from seal_datasets.rewrites.similarity import SimilarityModel


@pytest.fixture(scope="module")
def model():
    return SimilarityModel("embedded")


def test_cosines_are_those_of_the_library_for_texts_that_fit(model):
    from sentence_transformers import util

    one, other = ["The cat sleeps.", "Taxes are due."], ["A cat is asleep.", "Payment of tax is due."]
    expected = util.pairwise_cos_sim(model._model.encode(one), model._model.encode(other)).numpy()
    np.testing.assert_allclose(model.compare(one, other), expected, atol=1e-5)
    np.testing.assert_allclose(model.compare(one, one), 1.0)


def test_nothing_of_a_long_text_is_cut_off(model):
    long = "The cat sleeps on the mat. " * 200
    tail = long + "Then the bank raised interest rates and the market fell sharply. " * 60
    assert model.compare([long], [tail])[0] < 0.95
    windows = list(model._windows(tail))
    assert len(windows) > 5
    assert max(n_tokens for _, n_tokens in windows) <= model.window
    assert "".join(text for text, _ in windows).replace(" ", "") == tail.replace(" ", "")


def test_a_blank_text_is_like_nothing(model):
    assert np.isnan(model.compare(["", "a"], ["a", "  "])).all()
    assert model.compare([], []).shape == (0,)


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent.*'embedded'"):
        SimilarityModel(str(tmp_path / "absent"))
