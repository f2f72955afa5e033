# ruff: noqa: RUF001

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentiment import characters, tokens_v1
from sentiment.tokens import TOKENIZERS, locate, tokenize

ALL = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
ODD = ["<b>", "</i >", "<br", "/>", "<", ">", "İ", "ΑΣ", "Σ", "'", ".", "ǅ", "ﬁ", "ß", "e\u0301"]
ODD += ["’", "\u00ad", "\u200b", "\u200d", "\ufe0f", "\u0307", "\u0301", "\u0338", "がか\u3099"]
ODD += ["電", "ดี", "में", "\u1112\u1161\u11ab", "K", "½", "\u0e31", "\u2329"]
ODD += ["not", "NEVER", "cannot", "won't", "didnt", "n’t", "not_", "but", "the", "a", "only"]
PIECES = st.sampled_from([*ODD, "😀", "_", " ", "\n", "\u2028", "don't", "Good", "7"])
TEXTS = st.text() | st.lists(PIECES).map("".join)
EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def lower(text: str) -> str:
    """Lower each character by itself; ``str.lower`` takes Σ by its neighbours."""
    return "".join(map(str.lower, text)).replace("ς", "Σ".lower())


@given(text=TEXTS)
@example("İ<br />İ. İİ")
@example("ΑΣ.Γ ΑΣ<b>Γ")
def test_spans_contain_their_first_tokens(text):
    located = list(tokens_v1.locate(text))
    assert [token for token, _ in located] == TOKENIZERS[1].tokenize(text)
    before = 0
    for token, (start, end) in located:
        assert before <= start < end <= len(text)
        written, token = lower(text[start:end]), lower(token)
        assert token in written if "İ" in text[start:end] else token == written
        before = end - (text[end - 1] == "İ")  # İ may be two tokens


@given(text=TEXTS)
@example("İ<br />İ. İİ")
@example("ΑΣ.Γ ΑΣ<b>Γ")
@example("e\u0301\u200b\u00ad <b\u200b> I\u0307 <\u0338")
def test_spans_have_their_tokens_without_marks(text):
    tokenizer = TOKENIZERS[2]
    located = list(tokenizer.locate(text))
    assert [token for token, _ in located] == tokenizer.tokenize(text)
    before = 0
    for token, (start, end) in located:
        assert before <= start < end <= len(text)
        (alone,) = tokenizer.tokenize(text[start:end])
        assert lower(alone) == lower(token)
        before = end


@given(text=TEXTS)
@example("Can’t won\u00ad't shan't isn't <b>not</b> good")
def test_spans_have_their_tokens(text):
    located = list(locate(text))
    assert [token for token, _ in located] == tokenize(text)
    before = 0
    for token, (start, end) in located:
        assert before <= start < end <= len(text)
        written = lower("".join(TOKENIZERS[2].tokenize(text[start:end])))
        rewritten = {"not": ("n't", "'t"), "will": ("won",), "shall": ("shan",)}
        assert written in (lower(token), lower(token[4:]), *rewritten.get(token, ()))
        before = end


@ALL
def test_spans_of_every_unicode_character(tokenizer):
    """A character with a longer lower case must not shift the spans of those behind it."""
    for first in range(0, len(EVERY), 0x400):
        text = "x".join(EVERY[first : first + 0x400])
        located = list(tokenizer.locate(text))
        assert [token for token, _ in located] == tokenizer.tokenize(text)
        for token, (start, end) in located:
            assert lower(token) in lower(text[start:end]) or [token] == tokenizer.tokenize(
                text[start:end]
            )


@pytest.mark.parametrize(
    ("version", "dots"), [(1, [("i", "İ"), ("\u0307", "İ")]), (2, []), (3, [])]
)
def test_spans_count_code_points_without_tags(version, dots):
    text = "😀 Not<br /><br />BAD, İt"
    located = TOKENIZERS[version].locate(text)
    last = [*dots, ("t", "t")] if dots else [("it", "İt")]
    assert [(token, text[slice(*span)]) for token, span in located] == [
        *(("😀", "😀"), ("not", "Not"), ("not_bad" if version > 2 else "bad", "BAD"), (",", ",")),
        *last,
    ]


@given(text=TEXTS)
def test_composed_and_decomposed_texts_have_the_same_tokens(text):
    # < and a stroke is ≮, which opens no tag; of two dots on an i, one is removed
    text = text.translate(dict.fromkeys(map(ord, "<İ\u0307")))
    expected = tokenize(unicodedata.normalize("NFC", text))
    assert tokenize(unicodedata.normalize("NFD", text)) == expected
    assert all(unicodedata.is_normalized("NFC", token) for token in expected)


SAME = [
    ("it’s ‘it‘s’ itʼs it´s", "it's 'it's' it's it's"),
    ("“so” „so“ «so» ‹so›", '"so" "so" "so" \'so\''),
    ("soft\u00adly good\u200b \ufeffbad \u202bfilm\u202c", "softly good bad film"),
    ("cafe\u0301 Å \u1112\u1161\u11ab", "café å 한"),
    ("❤\ufe0f 1\ufe0f\u20e3", "❤ 1\u20e3"),
    ("👨\u200d👩\u200d👧", "👨👩👧"),
    ("می\u200cخواهم", "میخواهم"),
    ("क्\u200dष", "क्ष"),
    ("İyi I\u0307yi i\u0307yi", "iyi iyi iyi"),
]


@pytest.mark.parametrize(("text", "plain"), SAME)
def test_what_looks_the_same_is_the_same(text, plain):
    assert tokenize(text) == tokenize(plain)


def test_compatibility_forms_are_kept():
    assert tokenize("1½ ﬁn x²") == ["1½", "ﬁn", "x²"]


WORDS = [
    ("फ़िल्म अच्छी है", ["फ़िल्म", "अच्छी", "है"]),
    ("สวัสดี ดี1a", ["ส", "วั", "ส", "ดี", "ดี", "1a"]),
    ("这部电影OK。", ["这", "部", "电", "影", "ok", "。"]),
    ("とても・パーティー", ["と", "て", "も", "・", "パ", "ー", "テ", "ィ", "ー"]),
    ("ດີຫຼາຍ", ["ດີ", "ຫຼ", "າ", "ຍ"]),
    ("ល្អណាស់", ["ល្", "អ", "ណា", "ស់"]),
    ("ကောင်း", ["ကော", "င်း"]),
    ("مُمتاز שָׁלוֹם", ["مُمتاز", "שָׁלוֹם"]),
    ("!\u0301 \u0301a", ["!\u0301", "\u0301", "a"]),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_marks_stay_with_their_letters(text, expected):
    assert tokenize(text) == [unicodedata.normalize("NFC", token) for token in expected]


@given(text=st.text(st.characters(max_codepoint=0x7F)))
def test_ascii_has_the_tokens_of_the_first_version(text):
    assert TOKENIZERS[2].tokenize(text) == TOKENIZERS[1].tokenize(text)
    assert list(TOKENIZERS[2].locate(text)) == list(TOKENIZERS[1].locate(text))


def test_every_mark_is_known():
    marks = [each for each in EVERY if unicodedata.category(each)[0] == "M"]
    words = [f"a{mark}b" for mark in marks if not characters.REMOVED.match(mark)]
    assert tokenize(" ".join(words)) == [unicodedata.normalize("NFC", word) for word in words]


def test_simple_texts_need_no_more_than_simple_tokens():
    """The pattern for all scripts gives the same tokens, and nothing is removed or composed."""
    simple = [each for each in EVERY if characters.is_simple(each.lower()) and each != "<"]
    assert len(simple) > 3_000
    assert not [each for each in simple if characters.REMOVED.match(each)]
    assert not [each for each in simple if unicodedata.category(each)[0] == "M"]
    assert not [each for each in simple if not unicodedata.is_normalized("NFC", each.lower())]
    text = "".join(f"a{each} b{each}b " for each in simple)
    assert tokenize(text) == tokenize(f"{text}\u0301")[:-1]


def test_the_longest_run_of_marks_takes_no_longer_than_other_texts():
    """NFC alone takes 20 seconds for this text."""
    text = "a" + "\u0301" * 50_000 + "\u0323" * 50_000
    assert len(tokenize(text)) == 1 + 99_970 // 30 + 1
