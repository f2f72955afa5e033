"""Which texts are in a language that a model has not seen; the model learned English reviews."""

# ruff: noqa: RUF001

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components.io import reviews
from components.io.files import read_json
from sentiment import unseen
from sentiment.explanation import Explainer
from sentiment.model import parameters
from sentiment.scorer import Scorer
from tests import languages

ENGLISH = [
    "",
    "12345 678 0.5 42",
    "😀 😀 🎬 🍿 👀 ★★★★☆ »«",
    "A wonderful film, well acted. Oui, c'est magnifique, as they say in Paris.",
    "The battery dies after two hours and the touchscreen is dead. I returned it to the shop.",
    "Great hotel, spotless bathroom, friendly staff, and delicious croissants at breakfast.",
    "I went with Zbigniew Kowalczyk to see it, and we both loved every single minute of it.",
]
FOREIGN = {
    "Danish": "Sikke en kedelig film. Historien var god i starten, men efter en time havde jeg"
    " mistet interessen.",
    "Dutch": "Wat een saaie film. Het verhaal was in het begin nog wel leuk, maar na een uur was"
    " ik er klaar mee.",
    "French": "Malheureusement, la série est une déception. Les acteurs ne sont pas convaincants,"
    " les dialogues sonnent faux et la fin est ratée.",
    "German": "Was für ein langweiliger Film. Die Handlung war in der ersten Stunde noch ganz"
    " nett, aber dann wurde es die reine Qual.",
    "Indonesian": "Film yang membosankan. Ceritanya bagus di awal, tetapi setelah satu jam saya"
    " tidak peduli lagi.",
    "Italian": "Che film noioso. La storia comincia bene, ma dopo un'ora non mi importava più"
    " niente dei personaggi.",
    "Polish": "Co za nudny film. Historia zaczyna się dobrze, ale po godzinie nic mnie nie"
    " obchodziło.",
    "Portuguese": "Que filme chato. A história começa bem, mas depois de uma hora eu já não queria"
    " saber de mais nada.",
    "Spanish": "Qué película tan aburrida. La historia empieza bien, pero después de una hora ya"
    " no me importaba nada.",
    "Turkish": "Ne kadar sıkıcı bir film. Hikâye iyi başlıyor ama bir saat sonra hiçbir şey"
    " umurumda değildi.",
    "Arabic": "فيلم رائع مع ممثلين ممتازين.",
    "Chinese": "这是一部精彩的电影。",
    "Greek": "Μια υπέροχη ταινία!",
    "Hebrew": "סרט נפלא עם שחקנים מצוינים.",
    "Hindi": "एक शानदार फ़िल्म।",
    "Japanese": "とても退屈な映画だった。",
    "Korean": "정말 지루한 영화다.",
    "Russian": "Лучший фильм года!",
    "Thai": "หนังเรื่องนี้ยอดเยี่ยมมาก",
}


@pytest.fixture(scope="module")
def model(trained):
    return sentiment.store.load(trained.model)


@pytest.fixture(scope="module")
def limit(trained) -> float:
    return read_json(trained.findings)["unseen_limit"]


@pytest.mark.parametrize("language", FOREIGN)
def test_other_languages_are_unseen(model, limit, language):
    text = FOREIGN[language]
    assert Scorer(parameters(model), limit).score([text]).unseen == [0]
    assert Explainer(parameters(model), limit).explain(text, 0).words.unseen


@pytest.mark.parametrize("text", ENGLISH)
def test_other_english_texts_are_not(model, limit, text):
    assert Scorer(parameters(model), limit).score([text]).unseen == []
    assert not Explainer(parameters(model), limit).explain(text, 0).words.unseen


def test_few_test_reviews_are_above_the_limit(model, limit, trained):
    texts = reviews.read(trained.test)["text"].tolist()
    assert len(Scorer(parameters(model), limit).score(texts).unseen) <= 1 + 0.001 * len(texts)
    assert unseen.LEAST_LIMIT < limit < unseen.DEFAULT_LIMIT


def test_words_are_counted(model):
    words = Explainer(parameters(model)).explain("Zzgrmpf, a film of 1999! Qqqxz ☃", 0).words
    assert words == (5, 3, False)


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_a_model_of_any_script_finds_english_unseen(language):
    texts, labels = languages.reviews(language, 1000)
    model = sentiment.model.build().fit(texts[:900], labels[:900])
    for limit in (unseen.LEAST_LIMIT, unseen.DEFAULT_LIMIT):
        scorer = Scorer(parameters(model), limit)
        assert scorer.score(texts[900:]).unseen == []
        assert scorer.score([ENGLISH[3], ENGLISH[1], ENGLISH[4]]).unseen == [0, 2]


def test_the_limit_is_a_quantile_of_the_test_reviews():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 300, 5000).astype(float)
    unknown = rng.binomial(tokens.astype(int), 0.2)
    found = unseen.limit(tokens, unknown / tokens)
    assert found == pytest.approx(0.2, abs=0.02)  # z of one in a thousand is about 3
    pairs = zip(tokens.astype(int).tolist(), unknown.tolist(), strict=True)
    above = [unseen.is_above(found, size, count) for size, count in pairs]
    assert sum(above) == 5


def test_the_limit_of_odd_test_reviews():
    assert unseen.limit(np.zeros(0), np.zeros(0)) == unseen.DEFAULT_LIMIT
    assert unseen.limit(np.zeros(9), np.zeros(9)) == unseen.DEFAULT_LIMIT
    assert unseen.limit(np.array([0.0, 200]), np.zeros(2)) == unseen.LEAST_LIMIT
    assert unseen.limit(np.array([400.0]), np.ones(1)) < 1


@given(
    limit=st.floats(0.01, 0.99), tokens=st.integers(1, 100_000), share=st.floats(0, 1), z=st.just(3)
)
def test_the_lower_end_is_above_the_limit(limit, tokens, share, z):
    """Wilson's end is where the count is z standard errors from what the end would give."""
    unknown = round(share * tokens)
    p, squared = unknown / tokens, z * z / tokens
    lower = (p + squared / 2 - (squared * p * (1 - p) + squared**2 / 4) ** 0.5) / (1 + squared)
    assume(abs(lower - limit) > 1e-9)
    assert unseen.is_above(limit, tokens, unknown) == (lower > limit)


def test_a_short_text_needs_a_larger_share():
    least = [
        next(u for u in range(n + 2) if unseen.is_above(0.06, n, u)) / n for n in (3, 10, 100, 1000)
    ]
    assert least == sorted(least, reverse=True)
    assert least[0] > 0.5
    assert least[-1] < 0.1
