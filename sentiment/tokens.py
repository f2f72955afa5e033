"""Text to tokens: the one place where text is cleaned, for training and for serving.

A token is a run of letters, digits and underscores in lower case, or a single other mark;
mark-up such as ``<br />`` goes. What was measured and left out stands in
``benchmarks/README.md``.
"""

import re

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenize(text: str) -> list[str]:
    return _TOKEN.findall(_TAG.sub(" ", text).lower())
