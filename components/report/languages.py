"""The languages of texts, found by py3langid, and their names in English.

Its model is a table of numbers in the wheel: nothing is unpickled or downloaded.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from heapq import nsmallest

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from components.io.records import record

SAMPLE = 2_000  # texts; the share of a language is right to two points
LONGEST = 500  # characters of a text that are looked at
LEAST_SURE = 0.5  # probability of the language, below which it is undetermined
LEAST_SHARE = 0.01  # below it a language counts as undetermined: the detector errs about so often
UNDETERMINED, _NO_LANGUAGE = "und", "zxx"  # codes of ISO 639

# by the codes of py3langid: ISO 639-1, or 639-3 where there is none
NAMES = {
    "ace": "Acehnese",
    "af": "Afrikaans",
    "am": "Amharic",
    "an": "Aragonese",
    "ar": "Arabic",
    "ary": "Moroccan Arabic",
    "arz": "Egyptian Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "ba": "Bashkir",
    "bcl": "Central Bikol",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "crh": "Crimean Tatar",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "dz": "Dzongkha",
    "el": "Greek",
    "en": "English",
    "eo": "Esperanto",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "ext": "Extremaduran",
    "fa": "Persian",
    "fi": "Finnish",
    "fo": "Faroese",
    "fr": "French",
    "fuv": "Nigerian Fulfulde",
    "fy": "West Frisian",
    "ga": "Irish",
    "gcf": "Guadeloupean Creole",
    "gcr": "Guianese Creole",
    "gd": "Scottish Gaelic",
    "gl": "Galician",
    "gom": "Goan Konkani",
    "grc": "Ancient Greek",
    "gu": "Gujarati",
    "gug": "Guarani",
    "guw": "Gun",
    "ha": "Hausa",
    "hbo": "Ancient Hebrew",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "ht": "Haitian Creole",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "ig": "Igbo",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "jv": "Javanese",
    "ka": "Georgian",
    "kab": "Kabyle",
    "kik": "Kikuyu",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "ku": "Kurdish",
    "ky": "Kyrgyz",
    "la": "Latin",
    "lb": "Luxembourgish",
    "lg": "Ganda",
    "lij": "Ligurian",
    "ln": "Lingala",
    "lo": "Lao",
    "lt": "Lithuanian",
    "ltg": "Latgalian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "mt": "Maltese",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "nn": "Norwegian Nynorsk",
    "no": "Norwegian",
    "nso": "Northern Sotho",
    "oc": "Occitan",
    "om": "Oromo",
    "or": "Odia",
    "pa": "Punjabi",
    "pcm": "Nigerian Pidgin",
    "pl": "Polish",
    "ps": "Pashto",
    "pt": "Portuguese",
    "qu": "Quechua",
    "ro": "Romanian",
    "ru": "Russian",
    "rw": "Kinyarwanda",
    "sa": "Sanskrit",
    "sdh": "Southern Kurdish",
    "se": "Northern Sami",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sn": "Shona",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "st": "Southern Sotho",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Tajik",
    "th": "Thai",
    "tk": "Turkmen",
    "tl": "Tagalog",
    "tr": "Turkish",
    "tt": "Tatar",
    "ug": "Uyghur",
    "uk": "Ukrainian",
    "und": "undetermined",
    "ur": "Urdu",
    "uz": "Uzbek",
    "uzs": "Southern Uzbek",
    "vec": "Venetian",
    "vi": "Vietnamese",
    "vo": "Volapük",
    "wa": "Walloon",
    "wuu": "Wu Chinese",
    "xh": "Xhosa",
    "yo": "Yoruba",
    "yue": "Cantonese",
    "zh": "Chinese",
    "zu": "Zulu",
}


@record
class Share:
    """The share of texts in a language, from 0 to 1; ``und`` stands for undetermined ones."""

    language: str
    share: float


def shares(texts: Iterable[str]) -> list[Share]:
    """Return the languages of a sample of the texts, the commonest first; the shares add up to 1.

    A hash of the text decides whether it is in the sample, so that neither the order of the texts
    nor their files matter.
    """
    sample = nsmallest(SAMPLE, ((hashlib.sha256(text.encode()).digest(), text) for text in texts))
    found = Counter(detect(text) for _, text in sample)
    least = LEAST_SHARE * len(sample)
    kept = Counter({code: count for code, count in found.items() if count >= least})
    kept[UNDETERMINED] += len(sample) - kept.total()
    ordered = sorted((+kept).items(), key=lambda item: (-item[1], item[0]))
    return [Share(code, count / len(sample)) for code, count in ordered]


def detect(text: str) -> str:
    """Return the code of the language of a text, or that of undetermined ones."""
    code, _ = _detector().classify(text[:LONGEST])
    return UNDETERMINED if code == _NO_LANGUAGE else str(code)


def main(found: Sequence[Share]) -> str:
    """Return the language of at least half of the texts, else the code of undetermined ones."""
    return found[0].language if found and found[0].share >= 0.5 else UNDETERMINED


def describe(found: Iterable[Share]) -> str:
    """Return the languages in words: English (97%), undetermined (3%)."""
    return ", ".join(
        f"{NAMES.get(each.language, each.language)} ({each.share:.0%})" for each in found
    )


@cache
def _detector() -> LanguageIdentifier:
    """Return the detector; reading its model takes half a second."""
    return LanguageIdentifier.from_model_file(
        MODEL_FILE, norm_probs=True, min_confidence=LEAST_SURE
    )
