import json
import os
import pickle
import shutil

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


def test_an_encoder_without_a_window_of_tokens_is_refused(tmp_path, minilm):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import AutoTokenizer

    words = StaticEmbedding(AutoTokenizer.from_pretrained(minilm).backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[words]).save(str(tmp_path / "static"))
    with pytest.raises(ModelError, match=r"states no limit of tokens.*'embedded'"):
        SimilarityModel(str(tmp_path / "static"))


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("pickled", r"only pickle files for its body \(pytorch_model\.bin\)"),
        ("pickled module", r"only pickle files for 2_Dense \(2_Dense/pytorch_model\.bin\)"),
        ("index", r"places embeddings in 'weights\.bin'"),
        ("code", r"code of its own \(own\.Pooling\)"),
        ("outside", r"names '\.\./other', which is outside the model"),
        ("pointer", r"Git LFS pointer.*git lfs pull"),
        ("cut", "cut off or damaged"),
        ("no list", "no list of modules"),
    ],
)
def test_no_pickle_and_no_code_of_an_encoder_is_run(tmp_path, minilm, fault, message):
    model, mark = tmp_path / "m", tmp_path / "mark"
    shutil.copytree(minilm, model)
    weights, modules = model / "model.safetensors", json.loads((model / "modules.json").read_text())
    bomb = pickle.dumps(Bomb(mark))
    if fault == "pickled":
        weights.unlink()
        (model / "pytorch_model.bin").write_bytes(bomb)
    elif fault == "pickled module":
        (model / "2_Dense").mkdir()
        (model / "2_Dense" / "pytorch_model.bin").write_bytes(bomb)
        modules[2] = {**modules[2], "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    elif fault == "index":
        weights.unlink()
        (model / "weights.bin").write_bytes(bomb)
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"embeddings": "weights.bin"}}))
    elif fault == "code":
        (model / "own.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Pooling: ...\n")
        modules[1]["type"] = "own.Pooling"
    elif fault == "outside":
        modules[1]["path"] = "../other"
    elif fault == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    (model / "modules.json").write_text("3" if fault == "no list" else json.dumps(modules))
    with pytest.raises(ModelError, match=message):
        SimilarityModel(str(model))
    assert not mark.exists()


def test_a_local_encoder_in_safetensors_is_read(tmp_path, minilm, model):
    shutil.copytree(minilm, tmp_path / "m")
    texts = ["The cat sleeps."], ["A cat is asleep."]
    assert SimilarityModel(str(tmp_path / "m")).compare(*texts) == pytest.approx(model.compare(*texts), abs=1e-6)
