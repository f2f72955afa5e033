"""Mask e-mail addresses, card numbers and telephone numbers in texts."""

import re
from itertools import combinations

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
# runs of digits, with the usual marks between them
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()./-]{0,2}\d){6,18}(?!\w)")
_SEVEN = re.compile(r"\d(?:[ ()./-]{0,2}\d){6}")  # in every such run; fast to search for
_DATE = re.compile(
    r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}"
    r"|(?:1[89]|20)\d\d ?[/-] ?(?:1[89]|20)\d\d"
)
_ASCII_DIGITS = "0123456789"
_CARD, _PHONE = range(13, 20), range(7, 16)  # digits: ISO/IEC 7812, and ITU-T E.164


def mask(text: str) -> str:
    """Return the text with ``[email]``, ``[card]`` and ``[phone]`` in place of the data.

    A number is a card number if its digits pass the Luhn check, or the digits of some groups next
    to each other do, because another number may stand beside it. Any other number of seven to
    fifteen digits is taken for a telephone number, unless it is a date or two years.
    """
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    if text.isascii() and sum(map(text.count, _ASCII_DIGITS)) < _PHONE.start:
        return text  # most texts; a search takes ten times as long
    return _DIGITS.sub(_mask_number, text) if _SEVEN.search(text) else text


def _mask_number(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    places = range(len(groups) + 1)
    if any(_is_card("".join(groups[i:j])) for i, j in combinations(places, 2)):
        return "[card]"
    digits = "".join(groups)
    if len(digits) in _PHONE and not _DATE.fullmatch(match[0]):
        return "[phone]"
    return match[0]


def _is_card(digits: str) -> bool:
    return len(digits) in _CARD and _luhn(digits)


def _luhn(digits: str) -> bool:
    """Tell whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0
