"""merge reduces the forms of words where the validation reviews gain by it, and nowhere else."""

import random
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sentiment.store
from components import count, forms, merge, prepare, select, train, trial
from components.errors import UserError
from components.io import candidates, matrices, records, reviews
from sentiment import ngram_keys, stems
from sentiment.model import probabilities
from sentiment.tokens import CURRENT, tokenize

ROOTS = [f"{first}{second}" for first in ("kuva", "talo", "ilta", "pulu") for second in "bdfgh"]
ENDINGS = ["", *(a + b for a in ("ssa", "lla", "n", "t", "ksi", "tta") for b in ("", "ko", "kin"))]
TRIED = ("none", "first-5")


def made(rows: int, inflected: bool) -> pd.DataFrame:
    """Return reviews of five words: the roots of two tell the class, each in any of its forms."""
    rng = random.Random(0)
    found = []
    for number in range(rows):
        label = number % 2
        words = [rng.choice(ROOTS[:10] if label else ROOTS[10:]) for _ in range(2)]
        words += [rng.choice(ROOTS) for _ in range(3)]
        if inflected:
            words = [word + rng.choice(ENDINGS) for word in words]
        found.append((" ".join([*words, str(number)]), label, "made"))
    table = pd.DataFrame(found, columns=["text", "label", "source"])
    return table.astype({"label": "int8"})


def counted(directory: Path, inflected: bool) -> Path:
    reviews.write(directory / "reviews.parquet", made(1200, inflected))
    splits = {name: directory / name for name in prepare.SPLITS}
    prepare.prepare(directory / "reviews.parquet", splits, 0.3, 0.1, 200)
    count.count(splits["train"], splits["valid"], 3, directory / "counts")
    return directory / "counts"


@pytest.fixture
def inflected(tmp_path: Path) -> Path:
    return counted(tmp_path, inflected=True)


def test_forms_are_reduced_where_validation_gains(inflected, tmp_path):
    facts = merge.merge([inflected], 2, tmp_path / "matrix", stemmers=TRIED)
    assert facts.stemmer == "first-5"
    assert facts.stemmers["first-5"] < facts.stemmers["none"]
    matrix = matrices.load(tmp_path / "matrix")
    assert set(ngram_keys.unpack(matrix.tokens)) == set(ROOTS)


def test_the_matrix_is_that_of_the_reduced_tokens(inflected, tmp_path, monkeypatch):
    merge.merge([inflected], 2, tmp_path / "matrix", stemmers=["first-4"])
    shorten = stems.reduction("first-4", CURRENT)
    monkeypatch.setattr(count, "prepare", lambda text: [*map(shorten, tokenize(text))])
    count.count(tmp_path / "train", tmp_path / "valid", 3, tmp_path / "short")
    merge.merge([tmp_path / "short"], 2, tmp_path / "expected")
    found, expected = (matrices.load(tmp_path / name) for name in ("matrix", "expected"))
    assert found.keys.tolist() == expected.keys.tolist()
    assert found.tokens.tolist() == expected.tokens.tolist()
    pairs = zip(chain(found.train, found.valid), chain(expected.train, expected.valid), strict=True)
    for one, other in pairs:
        assert (one()[0] != other()[0]).nnz == 0
        assert np.array_equal(one()[1], other()[1])


def test_nothing_changes_where_validation_does_not_gain(tmp_path):
    plain = counted(tmp_path, inflected=False)
    facts = merge.merge([plain], 2, tmp_path / "tried", stemmers=TRIED)
    assert (facts.stemmer, set(facts.stemmers)) == (None, set(TRIED))
    merge.merge([plain], 2, tmp_path / "alone")
    for name in ("tokens.npy", "keys.npy"):
        assert (tmp_path / "tried" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_model_of_reduced_words_knows_new_forms(inflected, tmp_path):
    merge.merge([inflected], 2, tmp_path / "matrix", stemmers=TRIED)
    matrix = matrices.load(tmp_path / "matrix")
    trial.trial(matrix, [candidates.parse("default")], tmp_path / "trials")
    records.write(tmp_path / "selection.json", select.select([tmp_path / "trials"], keep=1))
    facts = train.train(matrix, [tmp_path / "selection.json"], tmp_path / "model")
    assert facts.parameters["stemmer"] == "first-5"
    model = sentiment.store.load(tmp_path / "model")
    known, unheard = f"{ROOTS[0]} {ROOTS[1]}", f"{ROOTS[0]}zzzz {ROOTS[1]}qq"
    p = probabilities(model, [known, unheard])
    assert p[0, 1] == p[1, 1] > 0.9


def test_trials_of_other_tokens_are_not_kept(inflected, tmp_path, caplog):
    caplog.set_level("INFO", "trial")
    default = [candidates.parse("default")]
    for stemmers in (["first-5"], ["first-5"], ["none"]):
        merge.merge([inflected], 2, tmp_path / "matrix", stemmers=stemmers)
        (found,) = trial.trial(matrices.load(tmp_path / "matrix"), default, tmp_path / "trials")
        assert found.stemmer == (None if stemmers == ["none"] else "first-5")
    assert sum("done before" in each for each in caplog.messages) == 1


@pytest.mark.parametrize("names", [["finish"], ["none", "first-9"]])
def test_an_unknown_stemmer_is_named(inflected, tmp_path, names):
    with pytest.raises(UserError, match=f"--stemmers: '{names[-1]}' is none of the stemmers first"):
        merge.merge([inflected], 2, tmp_path / "matrix", stemmers=names)
    assert not (tmp_path / "matrix").exists()


def test_a_trial_uses_a_bounded_number_of_reviews(inflected, monkeypatch):
    monkeypatch.setattr(forms, "MOST_ROWS", 150)
    paths = sorted(inflected.glob("train-*"))
    given = forms.Reviews(paths, sorted(inflected.glob("valid-*")), 2, 2, 1000)
    assert len(paths) > 2
    assert len(forms._open("none", given.train)) == 1
