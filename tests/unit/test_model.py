import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import sentiment.model
import sentiment.store
from tests.conftest import REPO

SMALL = {"max_n": 2, "min_df": 2}
TEXTS = ["good good film", "a bad film", "good fun", "bad and long"]
LABELS = np.array([1, 0, 1, 0])


@pytest.fixture
def model() -> Pipeline:
    return sentiment.model.build(**SMALL).fit(TEXTS * 2, np.tile(LABELS, 2))


def test_a_loaded_model_gives_the_same_bits(model, tmp_path):
    sentiment.store.save(model, tmp_path)
    loaded = sentiment.store.load(tmp_path)
    texts = [*TEXTS, "", "never heard"]
    assert np.array_equal(
        sentiment.model.probabilities(loaded, texts), sentiment.model.probabilities(model, texts)
    )


def test_model_bytes_are_equal_across_processes(model, tmp_path):
    digest = sentiment.store.save(model, tmp_path)
    program = f"""
import pathlib, tempfile, numpy as np, sentiment.model, sentiment.store
texts, labels = {TEXTS * 2!r}, np.tile({LABELS.tolist()!r}, 2)
model = sentiment.model.build(**{SMALL!r}).fit(texts, labels)
with tempfile.TemporaryDirectory() as directory:
    print(sentiment.store.save(model, pathlib.Path(directory)))
"""
    for seed in "12":
        other = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPO,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.strip() == digest


def test_the_digest_changes_with_the_model(model, tmp_path):
    first = sentiment.store.save(model, tmp_path)
    model["classifier"].weights_[0] = np.nextafter(model["classifier"].weights_[0], 1)
    assert sentiment.store.save(model, tmp_path) != first


def test_the_model_file_has_only_arrays_and_json(model, tmp_path):
    sentiment.store.save(model, tmp_path)
    with zipfile.ZipFile(tmp_path / sentiment.store.MODEL_FILE) as archive:
        assert all(name.endswith((".npy", ".json")) for name in archive.namelist())


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_damaged_model_file_is_refused(model, tmp_path, keep):
    sentiment.store.save(model, tmp_path)
    path = tmp_path / sentiment.store.MODEL_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.skops"):
        sentiment.store.load(tmp_path)


def test_a_foreign_type_is_refused(tmp_path):
    foreign = Pipeline([("code", FunctionTransformer(os.system))])
    skops.io.dump(foreign, tmp_path / sentiment.store.MODEL_FILE)
    with pytest.raises(ValueError, match=r"posix\.system|os\.system"):
        sentiment.store.load(tmp_path)


def test_probability_follows_the_sentiment(model):
    p = sentiment.model.probabilities(model, ["good fun", "bad and long"])
    positive, negative = p[:, 1]
    assert positive > 0.5 > negative
