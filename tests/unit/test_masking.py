import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.capture.masking import mask


@pytest.mark.parametrize(
    ("text", "kept"),
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
def test_personal_data_go(text: str, kept: str):
    assert mask(text) == kept


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
def test_what_reviews_say_stays(text: str):
    assert mask(text) == text


@given(st.text(max_size=200))
def test_what_has_no_digit_and_no_at_sign_stays(text: str):
    bare = re.sub(r"[\d@]", "", text)
    assert mask(bare) == bare


@given(st.text(), st.text(alphabet="0123456789", min_size=12, max_size=18), st.text())
@example("1", "00000000000000", "")  # another number stands before it
def test_every_number_with_a_right_check_digit_goes(before: str, digits: str, after: str):
    right = next(number for number in (f"{digits}{n}" for n in range(10)) if luhn(number))
    text = f"{before} {right} {after}"
    assert right not in mask(text)


def luhn(number: str) -> bool:
    doubled = "0246813579"  # the sum of the digits of twice each digit
    digits = [int(doubled[int(d)]) if i % 2 else int(d) for i, d in enumerate(number[::-1])]
    return sum(digits) % 10 == 0
