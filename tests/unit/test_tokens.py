from hypothesis import example, given
from hypothesis import strategies as st

from sentiment.tokens import locate, tokenize

ODD = ["<b>", "</i >", "<br", "/>", "<", ">", "İ", "ΑΣ", "Σ", "'", ".", "ǅ", "ﬁ", "ß", "e\u0301"]
PIECES = st.sampled_from([*ODD, "😀", "_", " ", "\n", "\u2028", "don't", "Good", "7"])
TEXTS = st.text() | st.lists(PIECES).map("".join)


def lower(text: str) -> str:
    """Lower each character alone, and a Σ the same everywhere; ``str.lower`` looks around it."""
    return "".join(map(str.lower, text)).replace("ς", "Σ".lower())


@given(text=TEXTS)
@example("İ<br />İ. İİ")
@example("ΑΣ.Γ ΑΣ<b>Γ")
def test_located_tokens_are_the_tokens_and_each_is_where_it_is_said_to_be(text):
    located = locate(text)
    assert [token for token, _ in located] == tokenize(text)
    before = 0
    for token, (start, end) in located:
        assert before <= start < end <= len(text)
        written, token = lower(text[start:end]), lower(token)
        assert token in written if "İ" in text[start:end] else token == written
        before = end - (text[end - 1] == "İ")  # of which there may be two tokens


def test_every_character_keeps_its_place():
    """One after another, so that a character that lower-cases to more moves none behind it."""
    for first in range(0, 0x110000, 0x400):
        text = "x".join(map(chr, range(first, first + 0x400)))
        assert [token for token, _ in locate(text)] == tokenize(text)
        for token, (start, end) in locate(text):
            assert lower(token) in lower(text[start:end])


def test_spans_count_code_points_and_leave_out_tags():
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
