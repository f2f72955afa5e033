import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentiment.masking import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail joe.b+x@mail.example.co.uk!", "mail [email]!"),
        ("<Joe_B@example.org>", "<[email]>"),
        ("call (555) 123-4567, or +49 30 1234567.", "call [phone], or [phone]."),
        ("0049.30.1234567", "[phone]"),
        ("card 4111 1111 1111 1111, exp 12/2025", "card [card], exp 12/2025"),
        ("5500000000000004 and 378282246310005", "[card] and [card]"),
        ("4111-1111-1111-1112 fails the check", "4111-1111-1111-1112 fails the check"),
    ],
)
def test_personal_data_are_masked(text: str, masked: str):
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "A 10/10 from me, @ last.",
        "seen 2024-05-17 and 17.5.2024, made 1994-1997",
        "1,000,000 people, 24601, room 237",
        "no digits at all",
        "x@y",
    ],
)
def test_other_numbers_are_kept(text: str):
    assert mask(text) == text


@given(st.text(max_size=200))
def test_text_without_digit_or_at_sign_is_kept(text: str):
    bare = re.sub(r"[\d@]", "", text)
    assert mask(bare) == bare


@given(st.text(), st.text(alphabet="0123456789", min_size=12, max_size=18), st.text())
@example("1", "00000000000000", "")  # another number precedes it
def test_each_number_with_a_check_digit_is_masked(before: str, digits: str, after: str):
    card = next(number for number in (f"{digits}{n}" for n in range(10)) if luhn(number))
    text = f"{before} {card} {after}"
    assert card not in mask(text)


def luhn(number: str) -> bool:
    doubled = "0246813579"  # the sum of the digits of twice each digit
    digits = [int(doubled[int(d)]) if i % 2 else int(d) for i, d in enumerate(number[::-1])]
    return sum(digits) % 10 == 0
