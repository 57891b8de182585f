"""A probe learns planted features from some gold labels, and says what it cannot learn."""

import numpy as np
import pytest
from datasets import Dataset
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from seal_datasets import estimate, load_pairs, load_taxonomy
from seal_datasets.errors import DataError
from seal_datasets.labels.agreement import compare_labelers
from seal_datasets.labels.embedding_store import EmbeddingStore
from seal_datasets.labels.featurize import add_features
from seal_datasets.labels.gold import add_gold
from seal_datasets.labels.probe import Probe
from seal_datasets.labels.probe_columns import add_probe_labels
from seal_datasets.labels.probe_heads import N_FOLDS, fit_head
from seal_datasets.labels.probe_texts import folds_of
from seal_datasets.labels.taxonomy import Feature, Taxonomy
from seal_datasets.rewards.sentence_encoder import SentenceEncoder

TAXONOMY = load_taxonomy().select(["last_response_is_refusal", "last_response_sentiment", "topics"])
ARTS, LAW = "arts and culture", "society and social sciences"


class Words:
    """Hashed words: an encoder that needs no weights."""

    name, revision = "words", "1"

    def __init__(self):
        self.n_texts = 0

    def embed(self, texts):
        self.n_texts += len(texts)
        vectors = HashingVectorizer(n_features=64, norm="l2").transform(texts).toarray()
        vectors[[not text.strip("\u200b") for text in texts]] = np.nan
        return vectors


def planted(n=120, *, gold=60, seed=0):
    """Pairs whose words tell their labels; the first prompts have gold labels."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        row = {"pair_id": f"p{i}", "prompt": f"Question {i}?"}
        for side in ("chosen", "rejected"):
            refusal, mood, topic = rng.random() < 0.4, int(rng.integers(-1, 2)), (ARTS, LAW)[int(rng.integers(2))]
            words = ["no cannot" if refusal else "yes gladly", ("awful", "plain", "lovely")[mood + 1], topic[:3]]
            row[side] = " ".join([*words, f"word{rng.integers(50)}"])
            labels = (refusal, mood, [topic]) if i < gold else (None, None, None)
            row |= {f"gold_{name}_{side}": label for name, label in zip(TAXONOMY.names, labels, strict=True)}
            row |= {f"truth_{side}": refusal}
        rows.append(row)
    return load_pairs(Dataset.from_list(rows))[0]


def labelled_by(probe, pairs, taxonomy=TAXONOMY):
    probe.fit(pairs, taxonomy)
    return add_probe_labels(pairs, probe, taxonomy)


def test_planted_features_are_learned_from_a_half_and_given_to_all():
    pairs, probe = planted(), Probe(Words())
    labelled = labelled_by(probe, pairs)
    assert {name: found.status for name, found in probe.features.items()} == dict.fromkeys(TAXONOMY.names, "ok")
    assert probe.features["last_response_is_refusal"].n_prompts == 60
    assert probe.features["topics"].not_learned == tuple(
        answer for answer in TAXONOMY["topics"].answers if answer not in (ARTS, LAW)
    )
    for side in ("chosen", "rejected"):
        given = np.array(labelled[f"feature_last_response_is_refusal_{side}"][:], dtype=bool)
        assert (given == np.array(pairs[f"truth_{side}"][:])).mean() > 0.95
        likely = np.array(labelled[f"probability_last_response_is_refusal_{side}"][:])
        assert ((likely >= 0.5) == given).all()
        assert set(labelled[f"feature_last_response_sentiment_{side}"]) == {-1, 0, 1}
        assert {tuple(topics) for topics in labelled[f"feature_topics_{side}"]} <= {(), (ARTS,), (LAW,), (ARTS, LAW)}
        assert labelled[f"labeling_failures_{side}"][:] == [[]] * len(pairs)


def test_the_columns_are_those_of_any_labeler(tiny_pairs):
    from tests.labels.test_featurize import ANSWER, Endpoint, Labeler

    taxonomy = load_taxonomy().select(["last_response_is_helpful", "last_response_sentiment", "topics"])
    with Endpoint((200, ANSWER, "stop")) as endpoint:
        asked = add_features(tiny_pairs, Labeler("m", base_url=endpoint.url), taxonomy)
    columns = {f"gold_{name}_{side}": [None] * 4 for name in taxonomy.names for side in ("chosen", "rejected")}
    given = labelled_by(Probe(Words()), Dataset.from_dict({**tiny_pairs.to_dict(), **columns}), taxonomy)
    added = [column for column in asked.column_names if column not in tiny_pairs.column_names]
    assert {column: given.features[column] for column in added} == {column: asked.features[column] for column in added}
    assert {row["reason"] for row in given["labeling_failures_rejected"][3]} == {"no_text"}
    assert {row["reason"] for row in given["labeling_failures_chosen"][0]} == {"probe_no_gold"}


def test_no_head_sees_the_gold_labels_of_its_own_prompts():
    """Labels of a prompt stay the same whatever its own gold labels are."""
    pairs = planted()
    refusal = TAXONOMY.select(["last_response_is_refusal"])
    before = labelled_by(Probe(Words()), pairs, refusal)
    column = "gold_last_response_is_refusal_chosen"
    fold = folds_of(pairs["prompt_id"][:])
    turned = [
        None if value is None else value != (part == fold[0]) for value, part in zip(pairs[column], fold, strict=True)
    ]
    after = labelled_by(Probe(Words()), pairs.remove_columns(column).add_column(column, turned), refusal)
    probability = "probability_last_response_is_refusal_chosen"
    one, other = np.array(before[probability][:]), np.array(after[probability][:])
    # Scales of surface features come from all gold texts, and those do not change.
    assert one[fold == fold[0]] == pytest.approx(other[fold == fold[0]], abs=1e-12)
    assert np.abs(one - other)[fold != fold[0]].max() > 0.01


def test_cross_fitted_probabilities_equal_those_of_folds_fitted_by_hand():
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(300, 5))
    answers = (inputs[:, 0] + rng.normal(size=300) > 0).astype(int)
    folds = folds_of([str(i // 2) for i in range(300)])
    given = fit_head(inputs, answers, folds, 2).predict(inputs, folds)
    assert given.sum(axis=1) == pytest.approx(np.ones(300))
    by_hand = np.empty(300)
    for fold in range(N_FOLDS):
        rows = folds == fold
        by_hand[rows] = LogisticRegression(C=1.0).fit(inputs[~rows], answers[~rows]).predict_proba(inputs[rows])[:, 1]
    # Another penalty and temperature change probabilities a little, and hardly their order.
    assert np.corrcoef(given[:, 1], by_hand)[0, 1] > 0.98
    assert roc_auc_score(answers, given[:, 1]) == pytest.approx(roc_auc_score(answers, by_hand), abs=0.02)


def test_probabilities_are_calibrated():
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(4000, 20))
    chance = 1 / (1 + np.exp(-1.5 * inputs[:, 0]))
    answers = (rng.random(4000) < chance).astype(int)
    folds = folds_of([str(i) for i in range(4000)])
    given = fit_head(inputs, answers, folds, 2).predict(inputs, folds)[:, 1]
    fit = estimate.calibrate_probabilities(given, answers)
    assert fit.slope == pytest.approx(1.0, abs=0.1)
    assert fit.intercept == pytest.approx(0.0, abs=0.15)


def test_noise_is_not_sold_as_labels():
    pairs = planted(gold=120)
    rng = np.random.default_rng(1)
    columns = {
        f"gold_last_response_is_refusal_{side}": (rng.random(120) < 0.2).tolist() for side in ("chosen", "rejected")
    }
    noise = pairs.remove_columns(list(columns))
    for name, values in columns.items():
        noise = noise.add_column(name, values)
    refusal = TAXONOMY.select(["last_response_is_refusal"])
    probe = Probe(Words())
    labelled = labelled_by(probe, noise, refusal)
    assert probe.features["last_response_is_refusal"].status == "weak"
    assert "commonest answer" in probe.features["last_response_is_refusal"].detail
    assert labelled["feature_last_response_is_refusal_chosen"][:] == [None] * 120
    assert {row[0]["reason"] for row in labelled["labeling_failures_chosen"]} == {"probe_weak"}
    kept = labelled_by(Probe(Words(), keep_weak=True), noise, refusal)
    assert None not in kept["feature_last_response_is_refusal_chosen"][:]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda side, i, value: False if value is not None else None, "one_answer"),
        (lambda side, i, value: value if i < 3 else None, "too_few_gold"),
        (lambda side, i, value: None if value is None else i == 0, "too_few_gold"),
        (lambda side, i, value: None, "no_gold"),
    ],
)
def test_what_cannot_be_learned_is_missing_with_its_reason(change, status):
    pairs = planted(n=40, gold=40)
    for side in ("chosen", "rejected"):
        name = f"gold_last_response_is_refusal_{side}"
        values = [change(side, i, value) for i, value in enumerate(pairs[name])]
        pairs = pairs.remove_columns(name).add_column(name, values)
    probe = Probe(Words())
    labelled = labelled_by(probe, pairs, TAXONOMY.select(["last_response_is_refusal"]))
    assert probe.features["last_response_is_refusal"].status == status
    assert {row[0]["reason"] for row in labelled["labeling_failures_rejected"]} == {f"probe_{status}"}


def test_a_text_without_an_embedding_has_no_label_and_the_others_have():
    pairs = planted()
    rows = pairs.to_list()
    rows[0]["chosen"] = "\u200b\u200b"
    labelled = labelled_by(Probe(Words()), Dataset.from_list(rows, features=pairs.features))
    assert {row["reason"] for row in labelled["labeling_failures_chosen"][0]} == {"not_embedded"}
    assert labelled["labeling_failures_chosen"][1] == []


def test_a_second_run_embeds_nothing(tmp_path):
    pairs = planted()
    first, second = Words(), Words()
    with EmbeddingStore(tmp_path / "e.sqlite") as store:
        one = labelled_by(Probe(first, store=store), pairs)
    with EmbeddingStore(tmp_path / "e.sqlite") as store:
        other = labelled_by(Probe(second, store=store), pairs)
    assert (first.n_texts > 0, second.n_texts) == (True, 0)
    assert one.to_dict() == other.to_dict()


def test_a_feature_that_was_not_learned_is_named():
    with pytest.raises(DataError, match="did not learn 'topics'"):
        add_probe_labels(planted(), Probe(Words()), TAXONOMY.select(["topics"]))
    with pytest.raises(DataError, match="no column 'gold_last_response_is_honest_chosen'"):
        Probe(Words()).fit(planted(), load_taxonomy().select(["last_response_is_honest"]))


def test_a_store_of_another_program_is_left_alone(tmp_path):
    other = tmp_path / "other.sqlite"
    other.write_text("not a store")
    with pytest.raises(DataError, match="cannot store embeddings"):
        EmbeddingStore(other)
    assert other.read_text() == "not a store"


def test_minilm_learns_refusals_from_the_demo(tmp_path):
    from seal_datasets.data.demo import demo_path

    pairs, _ = load_pairs(str(demo_path()))
    probe = Probe(SentenceEncoder())
    taxonomy = load_taxonomy().select(["last_response_is_harmless", "last_response_is_helpful"])
    labelled_by(probe, pairs, taxonomy)
    for found in probe.features.values():
        (accuracy,) = found.accuracy.values()
        assert found.status == "ok"
        assert accuracy["agreement"] > accuracy["majority_share"] + 0.01


def test_gold_labels_bring_the_probability_of_their_draw(tiny_pairs, tmp_path):
    ids = tiny_pairs["pair_id"][:]
    gold = Dataset.from_dict(
        {"pair_id": ids[:2], "gold_last_response_is_refusal_chosen": [True, False], "gold_probability": ["0.25", ""]}
    )
    assert add_gold(tiny_pairs, gold, TAXONOMY)["gold_probability"][:] == [0.25, None, None, None]
    wrong = gold.remove_columns("gold_probability").add_column("gold_probability", [0.5, 1.5])
    with pytest.raises(DataError, match=r"'gold_probability', row 1: 1\.5 is no probability"):
        add_gold(tiny_pairs, wrong, TAXONOMY)


def test_a_scale_of_one_answer_is_not_learned_and_gold_labels_of_the_data_may_be_text():
    scale = Feature("scale", "spoiler", "response", "ordinal", "How?", None, (("only", 0),))
    rows = [
        {"prompt": f"{i}?", "chosen": "yes gladly", "rejected": "no cannot"}
        | {"gold_scale_chosen": 0, "gold_scale_rejected": 0}
        | {"gold_last_response_is_refusal_chosen": "false", "gold_last_response_is_refusal_rejected": "true"}
        for i in range(20)
    ]
    pairs, probe = load_pairs(Dataset.from_list(rows))[0], Probe(Words())
    probe.fit(pairs, Taxonomy("mine", "1", (scale, TAXONOMY["last_response_is_refusal"])))
    assert [found.status for found in probe.features.values()] == ["one_answer", "ok"]
    found = compare_labelers(
        pairs, {"a": probe, "b": Probe(Words())}, TAXONOMY.select(["last_response_is_refusal"])
    ).gold["last_response_is_refusal"]
    assert {name: (each.n, each.agreement) for name, each in found.items()} == {"a": (40, 1.0), "b": (40, 1.0)}
    with pytest.raises(DataError, match="row 0: expected true or false, got 'nope'"):
        probe.fit(
            pairs.map(lambda row: {"gold_last_response_is_refusal_chosen": "nope"}),
            TAXONOMY.select([TAXONOMY.names[0]]),
        )
