import json
import subprocess
import sys
import zipfile

import pytest

import sentiment.model
import sentiment.store
from sentiment import drift, stems
from sentiment.explanation import Explainer
from sentiment.model import parameters
from sentiment.scorer import Scorer
from sentiment.tokens import CURRENT, TOKENIZERS
from sentiment.vectorizer import NgramVectorizer
from tests.conftest import REPO

GOOD = ["Todella hyvä elokuva", "hyvän elokuvan hyvät näyttelijät", "hyviä elokuvia!", "hyvää 😀"]
BAD = ["Todella huono elokuva", "huonon elokuvan näyttelijä", "huonoja elokuvia.", "huonot 😞"]
TEXTS = ["Hyville näyttelijöille <br/> hyvä", "HUONOILLA elokuvilla", "😀", "", "tuntematon 7"]
# of the version that requirements/ locks: other stems would change what a model says
RECORDED = {
    "arabic": "يكتبون يكتب",
    "danish": "ventede vented",
    "dutch": "lichamelijkheden licham",
    "english": "generously generous",
    "finnish": "elokuvissa elokuv",
    "french": "continuellement continuel",
    "german": "aufeinanderfolgenden aufeinanderfolg",
    "hungarian": "filmeket film",
    "italian": "abbandonavano abbandon",
    "norwegian": "ventende vent",
    "portuguese": "quilométricas quilométr",
    "romanian": "abandonaseră abandon",
    "russian": "красивыми красив",
    "spanish": "chicharrones chicharron",
    "swedish": "jaktkarlarne jaktkarl",
}


@pytest.fixture(scope="module", params=["first-5", "finnish"])
def model(request):
    if request.param in stems.LANGUAGES:
        request.getfixturevalue("nltk")
    model = sentiment.model.build(min_df=1, stemmer=request.param)
    return model.fit(GOOD + BAD, [1] * len(GOOD) + [0] * len(BAD))


@pytest.fixture(scope="session")
def nltk():
    return pytest.importorskip("nltk")


def test_first_letters():
    tokenizer = stems.reduced(CURRENT, "first-5")
    assert tokenizer.tokenize("Hyvästi, näyttelijät!") == ["hyväs", ",", "näytt", "!"]


def test_marks_of_negation_stay():
    assert stems.reduced(CURRENT, "first-5").tokenize("not amazing") == ["not", "not_amazi"]
    assert stems.reduced(2, "first-5").tokenize("not_amazing") == ["not_a"]


def test_without_a_stemmer_tokens_are_the_same():
    assert stems.reduced(CURRENT, "") is TOKENIZERS[CURRENT]


@pytest.mark.parametrize("language", stems.LANGUAGES)
def test_stems_are_those_that_were_recorded(nltk, language):
    word, stem = RECORDED[language].split()
    assert stems.reduced(CURRENT, language).tokenize(word) == [stem]


def test_languages_are_all_of_nltk(nltk):
    from nltk.stem.snowball import SnowballStemmer

    assert {*stems.LANGUAGES, "porter"} == {*SnowballStemmer.languages}


def test_stems_do_not_depend_on_the_words_before(nltk):
    """NLTK's Arabic stemmer remembers: after the first word, the second would lose a letter."""
    first, second = "كسبنا", "موسكو"
    stems.reduction.cache_clear()
    tokenize = stems.reduced(CURRENT, "arabic").tokenize
    (together,) = tokenize(f"{first} {second}")[1:]
    stems.reduction.cache_clear()
    assert stems.reduced(CURRENT, "arabic").tokenize(second) == [together]


def test_only_so_many_stems_are_remembered(nltk, monkeypatch):
    monkeypatch.setattr(stems, "_REMEMBERED", 3)
    stems.reduction.cache_clear()
    text = "elokuvissa elokuvasta elokuvan elokuvat elokuvia"
    tokenize = stems.reduced(CURRENT, "finnish").tokenize
    assert tokenize(text) == tokenize(text) == ["elokuv"] * 5
    assert 0 < len(stems.reduction("finnish", CURRENT).__self__) <= 3


def test_no_stem_is_empty(nltk):
    assert stems.reduced(CURRENT, "arabic").tokenize("ـ") == ["ـ"]


def test_forms_of_a_word_are_one_token(model):
    plain = sentiment.model.build(min_df=1).fit(GOOD + BAD, [1] * 4 + [0] * 4)
    assert len(model["ngrams"].index()) < len(plain["ngrams"].index())
    assert sentiment.model.probabilities(model, ["hyvillä"])[0, 1] != pytest.approx(
        sentiment.model.probabilities(plain, ["hyvillä"])[0, 1]
    )


def test_serving_equals_training(model, tmp_path):
    expected = sentiment.model.probabilities(model, TEXTS)
    sentiment.store.save(model, tmp_path)
    loaded = sentiment.store.load(tmp_path)
    assert loaded["ngrams"].stemmer == model["ngrams"].stemmer
    assert sentiment.model.probabilities(loaded, TEXTS).tolist() == expected.tolist()
    scored = Scorer(parameters(loaded)).score(TEXTS)
    assert scored.probabilities.tolist() == expected.tolist()
    statistics = drift.describe(loaded, TEXTS, expected)
    assert statistics["length"].tolist() == scored.tokens.tolist()
    assert (statistics["unknown"] * scored.tokens).tolist() == pytest.approx(scored.unknown)


def test_spans_are_those_of_the_words(model):
    explanation = Explainer(parameters(model)).explain(TEXTS[0], 20)
    assert [TEXTS[0][start:end] for (start, end), _ in explanation.tokens] == [
        "Hyville",
        "näyttelijöille",
        "hyvä",
    ]
    expected = sentiment.model.probabilities(model, TEXTS[:1])[0].tolist()
    assert explanation.probabilities == pytest.approx(expected, abs=1e-15)
    total = explanation.bias + sum(share for _, share in explanation.tokens)
    assert total == pytest.approx(explanation.log_odds)
    assert {TEXTS[0][start:end] for each in explanation.ngrams for start, end in each.spans}


def test_earlier_releases_refuse_the_file(model, tmp_path):
    """They check that ``tokens`` is a version they know, and the first ones need ``tokens_``."""
    sentiment.store.save(model, tmp_path)
    with zipfile.ZipFile(tmp_path / sentiment.store.MODEL_FILE) as file:
        schema = json.dumps(json.loads(file.read("schema.json")), ensure_ascii=False)
    assert f'\\"{CURRENT}+{model["ngrams"].stemmer}\\"' in schema
    assert '"tokens_"' not in schema
    assert '"stemmer"' not in schema


def test_a_model_without_a_stemmer_has_the_file_that_it_always_had(tmp_path):
    sentiment.store.save(sentiment.model.build(min_df=1).fit(["good", "bad"], [1, 0]), tmp_path)
    with zipfile.ZipFile(tmp_path / sentiment.store.MODEL_FILE) as file:
        assert b"stemmer" not in file.read("schema.json")


@pytest.mark.parametrize("tokens", ["2+klingon", "99+finnish", "+finnish", "-1"])
def test_stemmers_of_a_later_release_are_refused(tokens):
    with pytest.raises(ValueError, match="a newer release made it"):
        NgramVectorizer().__setstate__({"tokens": tokens})


def test_an_unknown_stemmer_is_named():
    with pytest.raises(ValueError, match="'klingon' is none of the stemmers first-4, first-5"):
        NgramVectorizer(stemmer="klingon").fit(["a", "b"])


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False
    )


def test_nltk_is_imported_by_models_with_stems_alone():
    code = (
        "import sys; from sentiment.vectorizer import NgramVectorizer\n"
        "for name in ('', 'first-5'): NgramVectorizer(min_df=1, stemmer=name).fit(['one two'])\n"
        "assert 'nltk' not in sys.modules"
    )
    assert run(code).returncode == 0


def test_a_model_with_stems_needs_nltk():
    code = (
        "import sys; sys.modules['nltk'] = None\n"
        "from sentiment.vectorizer import NgramVectorizer\n"
        "NgramVectorizer().__setstate__({'tokens': '2+finnish'})"
    )
    done = run(code)
    assert done.returncode == 1
    assert "finnish stems need NLTK: pip install nltk" in done.stderr
