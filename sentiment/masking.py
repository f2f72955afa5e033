"""Mask e-mail addresses, card numbers and telephone numbers in texts."""

import re
from collections.abc import Sequence
from itertools import accumulate

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_DECIMALS = [code for code in range(0x20000) if chr(code).isdecimal()]  # all that \d matches
# runs of digits, with the usual marks between them
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()./-]{0,2}\d){6,18}(?!\w)")
_SEVEN = re.compile(r"\d(?:[ ()./-]{0,2}\d){6}")  # in every such run; fast to search for
_DATE = re.compile(
    r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}"
    r"|(?:1[89]|20)\d\d ?[/-] ?(?:1[89]|20)\d\d"
)
_FIRST_BYTES = {chr(code).encode()[0] for code in _DECIMALS}  # in UTF-8
_OTHER_BYTES = bytes(set(range(256)) - _FIRST_BYTES)
_DOUBLED = [sum(divmod(2 * digit, 10)) for digit in range(10)]
_CARD, _PHONE = range(13, 20), range(7, 16)  # digits: ISO/IEC 7812, and ITU-T E.164


def mask(text: str) -> str:
    """Return the text with ``[email]``, ``[card]`` and ``[phone]`` in place of the data.

    A number is a card number if its digits pass the Luhn check, or the digits of some groups next
    to each other do, because another number may stand beside it. Any other number of seven to
    fifteen digits is taken for a telephone number, unless it is a date or two years.
    """
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    may_be_digits = text.encode("utf-8", "surrogatepass").translate(None, _OTHER_BYTES)
    if len(may_be_digits) < _PHONE.start:
        return text  # most texts; a search takes ten times as long
    return _DIGITS.sub(_mask_number, text) if _SEVEN.search(text) else text


def _mask_number(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    digits = "".join(groups)
    if _has_card(digits, [0, *accumulate(map(len, groups))]):
        return "[card]"
    if len(digits) in _PHONE and not _DATE.fullmatch(match[0]):
        return "[phone]"
    return match[0]


def _has_card(digits: str, bounds: Sequence[int]) -> bool:
    """Tell whether digits between two of the bounds pass the Luhn check.

    The check (ISO/IEC 7812-1, annex B) doubles every second digit before the last, and adds the
    digits of the results. ``sums`` has what the digits up to each place add, doubled or not.
    """
    if len(digits) < _CARD.start:
        return False
    values = [int(digit) for digit in digits]
    sums = []
    for doubled in (0, 1):
        terms = (_DOUBLED[v] if i % 2 == doubled else v for i, v in enumerate(values))
        sums.append([0, *accumulate(terms)])
    for end in bounds:
        total = sums[end % 2]  # the last digit is not doubled, the one before it is
        if any(end - start in _CARD and (total[end] - total[start]) % 10 == 0 for start in bounds):
            return True
    return False
