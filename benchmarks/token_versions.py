"""Compare the CPU time of the versions of the tokens on test reviews, in turn in one process.

Prints medians over the rounds. Needs ``data/`` from ``make train``.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from components.io import reviews
from sentiment.tokens import CURRENT, TOKENIZERS

TEXTS: dict[str, Callable[[str], str]] = {
    "as they are": str,
    "with typographic apostrophes": lambda text: text.replace("'", "\u2019"),
    "with an emoji": lambda text: f"{text} \U0001f600",
    "with an emoji and its selector": lambda text: f"{text} \u2764\ufe0f",
    "with a letter that is not composed": lambda text: f"{text} cafe\u0301",
}


def microseconds(function: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return the CPU time for a text."""
    started = time.process_time()
    for text in texts:
        function(text)
    return (time.process_time() - started) / len(texts) * 1e6


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.token_versions", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=500, help="number of reviews; default: 500")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    args = parser.parse_args(argv)
    original = reviews.read(Path("data", "test"))["text"].tolist()[: args.rows]
    print("| reviews | call | first, us a review | now | ratio |\n|---|---|---|---|---|")
    for name, change in TEXTS.items():
        texts = [change(text) for text in original]
        for call in ("tokenize", "locate"):
            pair = [getattr(TOKENIZERS[version], call) for version in (1, CURRENT)]
            rounds = [[microseconds(each, texts) for each in pair] for _ in range(args.rounds)]
            first, now = (statistics.median(values) for values in zip(*rounds, strict=True))
            ratio = statistics.median(now / first for first, now in rounds)
            print(f"| {name} | `{call}` | {first:.1f} | {now:.1f} | {ratio:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
