"""Classes of characters, and characters that stand for others.

Unicode has several characters for one apostrophe and characters that show nothing. A reader sees no
difference, so the model must see none.
"""

# ruff: noqa: RUF001

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

# İ is here since str.lower makes two characters of it, i and a dot above
_VARIANTS = {"'": "‘’‚‛‹›ʻʼ´′＇", '"': "“”„‟«»″＂", "i": "İ"}
# Unicode's Default_Ignorable_Code_Point: soft hyphen, zero-width spaces and joiners, directions,
# variation selectors and tags, but not the fillers of Hangul, which are letters
INVISIBLE = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff"
)
# an invisible character, or the dot of an İ that was written as two characters or made lower
REMOVED = re.compile(f"[\u0307{INVISIBLE}](?:(?<!\u0307)|(?<=i\u0307))")
# the blocks of scripts that are written without spaces; of Han and Kana without the punctuation
UNSPACED = (
    "\u0e00-\u0e7f"  # Thai
    "\u0e80-\u0eff"  # Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Kana
    "\U0001aff0-\U0001b16f"  # Kana
)


def _ranges(codes: Iterable[int]) -> str:
    """Return code points, in ascending order, as ranges in a class of a regular expression."""
    runs = [[*run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)


# Unicode's category M, the combining marks; those beyond U+1FFFF are invisible
MARKS = _ranges(code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")


def plain(text: str) -> str:
    """Return a text of the same length with the quotes and apostrophes of a keyboard."""
    if not text.isascii():
        for character, variants in _VARIANTS.items():
            for variant in variants:
                text = text.replace(variant, character)
    return text


_NOT_SIMPLE = re.compile(
    "[^\0-\u00ac\u00ae-\u02ff\u0388-\u03ff\u0400-\u0482\u048a-\u052f\u1e00-\u1eff\u2010-\u2027"
    "\u2030-\u205f\u20a0-\u20bf\u2150-\u2328\u232b-\u2adb\u2add-\u2bff\U0001f000-\U0001faff]"
)


def is_simple(lowered: str) -> bool:
    """Tell whether a text has none but letters of Europe, punctuation, symbols and plain emoji.

    None of these is removed, a mark, of a script without spaces, or changed by NFC.
    """
    return lowered.isascii() or _NOT_SIMPLE.search(lowered) is None
