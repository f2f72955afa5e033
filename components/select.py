"""Keep the candidates that do best on the validation reviews: a rung of successive halving."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components import candidates, cli
from components.arguments import count
from components.io.files import write_json

log = logging.getLogger("select")


def select(trials: Sequence[Path], keep: int) -> dict[str, Any]:
    """Return the names of the ``keep`` best, the best first, and all that was found of each.

    ``trials`` are directories that trial wrote. Source: Jamieson and Talwalkar 2016,
    "Non-stochastic Best Arm Identification and Hyperparameter Optimization".
    """
    found = candidates.trials(trials)
    names = [candidates.name(each["candidate"]) for each in found]
    return {"selected": names[:keep], "trials": found}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.select", description=__doc__)
    parser.add_argument(
        "--trials", required=True, type=Path, nargs="+", help="directories from trial"
    )
    parser.add_argument("--keep", type=count, default=1, help="how many; default: %(default)s")
    parser.add_argument("--selection", required=True, type=Path, help="JSON file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        selection = select(args.trials, args.keep)
        for each in selection["trials"]:
            figures = each["valid"]["log_loss"], each["valid"]["accuracy"]
            name = candidates.name(each["candidate"])
            kept = "kept" if name in selection["selected"] else "dropped"
            log.info("log loss %.4f, accuracy %.4f: %s, %s", *figures, name, kept)
        write_json(args.selection, selection)

    return cli.run("select", work)


if __name__ == "__main__":
    raise SystemExit(main())
