"""Tell which suite of behaviour evaluate uses, so that DVC runs it when the file has changed."""

import logging
from pathlib import Path
from typing import Annotated

from components import stage
from components.behaviour import reading
from components.behaviour.reading import Parameters
from components.io.files import write_json
from components.stage import Artifact

log = logging.getLogger("suite")


def run(
    content: Annotated[Path, Artifact("JSON file to write", output=True)],
    parameters: Parameters,
) -> None:
    suite = reading.read(parameters.behaviour)
    found = {reading.PARAMETER: suite.digest() if suite else reading.NONE}
    log.info("%s: %s", parameters.behaviour, found[reading.PARAMETER])
    write_json(content, found)


def main(argv: list[str] | None = None) -> int:
    return stage.main("suite", run, argv, section="evaluate")


if __name__ == "__main__":
    raise SystemExit(main())
