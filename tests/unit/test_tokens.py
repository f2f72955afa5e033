from hypothesis import example, given
from hypothesis import strategies as st

from sentiment.tokens import locate, tokenize

ODD = ["<b>", "</i >", "<br", "/>", "<", ">", "İ", "ΑΣ", "Σ", "'", ".", "ǅ", "ﬁ", "ß", "e\u0301"]
PIECES = st.sampled_from([*ODD, "😀", "_", " ", "\n", "\u2028", "don't", "Good", "7"])
TEXTS = st.text() | st.lists(PIECES).map("".join)


def lower(text: str) -> str:
    """Lower each character by itself; ``str.lower`` takes Σ by its neighbours."""
    return "".join(map(str.lower, text)).replace("ς", "Σ".lower())


@given(text=TEXTS)
@example("İ<br />İ. İİ")
@example("ΑΣ.Γ ΑΣ<b>Γ")
def test_spans_contain_their_tokens(text):
    located = locate(text)
    assert [token for token, _ in located] == tokenize(text)
    before = 0
    for token, (start, end) in located:
        assert before <= start < end <= len(text)
        written, token = lower(text[start:end]), lower(token)
        assert token in written if "İ" in text[start:end] else token == written
        before = end - (text[end - 1] == "İ")  # İ may be two tokens


def test_spans_of_every_unicode_character():
    """A character with a longer lower case must not shift the spans of those behind it."""
    for first in range(0, 0x110000, 0x400):
        text = "x".join(map(chr, range(first, first + 0x400)))
        assert [token for token, _ in locate(text)] == tokenize(text)
        for token, (start, end) in locate(text):
            assert lower(token) in lower(text[start:end])


def test_spans_count_code_points_without_tags():
    text = "😀 Not<br /><br />BAD, İt"
    assert [(token, text[slice(*span)]) for token, span in locate(text)] == [
        ("😀", "😀"),
        ("not", "Not"),
        ("bad", "BAD"),
        (",", ","),
        ("i", "İ"),
        ("\u0307", "İ"),
        ("t", "t"),
    ]
