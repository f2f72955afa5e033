"""Compare count, merge and train in shards with one pass over all rows."""

import numpy as np
import pytest

import sentiment.model
import sentiment.store
from components import count, merge, train
from components.errors import UserError
from components.io import matrices, reviews
from components.io.files import read_json, write_json
from sentiment.vectorizer import NgramVectorizer


def test_the_matrix_equals_the_vectorizers(trained):
    matrix = matrices.load(trained.matrix)
    order = [*reviews.shards(trained.train), *reviews.shards(trained.valid)]
    assert len(order) > 3
    texts = [text for shard in order for text in reviews.read(shard)["text"]]
    vectorizer = NgramVectorizer(max_n=2, min_df=2)
    expected = vectorizer.fit_transform(texts)
    np.testing.assert_array_equal(matrix.keys, vectorizer.keys_)
    np.testing.assert_array_equal(matrix.tokens, vectorizer.tokens_)
    shards = [shard()[0] for shard in (*matrix.train, *matrix.valid)]
    assert sum(shard.shape[0] for shard in shards) == expected.shape[0]
    start = 0
    for shard in shards:
        same = expected[start : start + shard.shape[0]]
        assert (same != shard).nnz == 0
        start += shard.shape[0]


def test_merge_of_parts_equals_merge_of_all(trained, tmp_path):
    for number in (1, 2, 3):
        count.count(trained.train, trained.valid, 2, tmp_path / str(number), f"{number}/3")
    parts = [tmp_path / "2", tmp_path / "3", tmp_path / "1"]
    facts = merge.merge(parts, 2, tmp_path / "matrix")
    assert facts == matrices.load(trained.matrix).facts
    for file in trained.matrix.rglob("*.npy"):
        other = tmp_path / "matrix" / file.relative_to(trained.matrix)
        assert other.read_bytes() == file.read_bytes()


def test_missing_or_unequal_parts_are_refused(trained, tmp_path):
    count.count(trained.train, trained.valid, 2, tmp_path / "a", "1/4")
    with pytest.raises(UserError, match="no counts of train and valid"):
        merge.merge([tmp_path / "a"], 2, tmp_path / "matrix")
    with pytest.raises(UserError, match="in more than one"):
        merge.merge([tmp_path / "a", trained.counts], 2, tmp_path / "matrix")
    others = [tmp_path / str(part) for part in (2, 3, 4)]
    for part, other in zip((2, 3, 4), others, strict=True):
        count.count(trained.train, trained.valid, 1, other, f"{part}/4")
    with pytest.raises(UserError, match="not made with the same --max-n"):
        merge.merge([tmp_path / "a", *others], 2, tmp_path / "matrix")
    assert not (tmp_path / "matrix").exists()


def test_the_trained_model_fits_all_rows(trained):
    """Its scores are a linear function of those of a model fitted in memory: the calibration."""
    facts, trials = (read_json(trained.model / f"{name}.json") for name in ("training", "trials"))
    model = sentiment.store.load(trained.model)
    texts, labels = zip(
        *(
            (text, label)
            for split in (trained.train, trained.valid)
            for text, label in reviews.read(split)[["text", "label"]].itertuples(index=False)
        ),
        strict=True,
    )
    assert facts["rows"] == len(texts)
    assert facts["valid"] == trials[0]["valid"]
    parameters = facts["parameters"] | {"max_n": 2}
    whole = sentiment.model.build(**parameters)
    counts = whole["ngrams"].fit_transform(texts)
    whole["classifier"].fit(counts, labels, whole["ngrams"].opposites())
    test = reviews.read(trained.test)["text"]
    scores, others = model.decision_function(test), whole.decision_function(test)
    slope, offset = np.polyfit(others, scores, 1)
    np.testing.assert_allclose(scores, slope * others + offset, atol=1e-9)


def test_trials_of_other_reviews_are_refused(trained, tmp_path):
    selection = read_json(trained.selection)
    for each in selection["trials"]:
        each["data_digest"] = "another"
    write_json(tmp_path / "selection.json", selection)
    with pytest.raises(UserError, match="--selections: not of these reviews"):
        train.train(
            matrices.load(trained.matrix), [tmp_path / "selection.json"], tmp_path / "model"
        )
    assert not (tmp_path / "model").exists()
