"""Keep the candidate that does best on the validation reviews."""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components import errors
from components.errors import StageError
from components.files import replacing_directory, write_json
from components.models import CANDIDATES_FILE, FACTS_FILE, load_facts

log = logging.getLogger("select")


def select(candidates: Sequence[Path], output: Path) -> list[dict[str, Any]]:
    """Copy the best candidate to ``output`` and return all, the best first.

    ``candidates`` are directories that train wrote. The best has the least log loss, which sees
    differences that accuracy rounds away; of equals, the lower power.
    """
    found = [path.parent for directory in candidates for path in directory.glob(f"*/{FACTS_FILE}")]
    if not found:
        raise StageError(f"{', '.join(map(str, candidates))}: no candidate from train in it")
    facts = {directory: load_facts(directory) for directory in found}
    if len({(each["data_digest"], each["valid"]["rows"]) for each in facts.values()}) > 1:
        raise StageError("the candidates were not made from the same reviews; run train again")

    def rank(directory: Path) -> tuple[float, float]:
        each = facts[directory]
        return each["valid"]["log_loss"], each["parameters"]["idf_power"]

    ranked = sorted(found, key=rank)
    keys = ("parameters", "valid", "model_digest")
    table = [{key: facts[directory][key] for key in keys} for directory in ranked]
    with replacing_directory(output) as partial:
        for file in ranked[0].iterdir():
            shutil.copyfile(file, partial / file.name)
        write_json(partial / CANDIDATES_FILE, table)
    return table


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.select", description=__doc__)
    parser.add_argument(
        "--candidates", required=True, type=Path, nargs="+", help="directories from train"
    )
    parser.add_argument("--model", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        for candidate in select(args.candidates, args.model):
            parameters, valid = candidate["parameters"], candidate["valid"]
            log.info("log loss %.4f, accuracy %.4f: %s", *_figures(valid), parameters)
        log.info("the first of them is in %s", args.model)

    return errors.run("select", work)


def _figures(valid: dict[str, float]) -> tuple[float, float]:
    return valid["log_loss"], valid["accuracy"]


if __name__ == "__main__":
    raise SystemExit(main())
