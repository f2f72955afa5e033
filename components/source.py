"""Tell what the content of the sources is, so that DVC runs ingest when it has changed."""

import logging
from pathlib import Path
from typing import Annotated

from components import stage
from components.io.files import write_json
from components.reading.content import identify
from components.reading.options import Options
from components.stage import Artifact

log = logging.getLogger("source")


def run(
    content: Annotated[Path, Artifact("JSON file to write", output=True)],
    options: Options,
) -> None:
    found = identify(options)
    for name, each in found.items():
        log.info("%s: %s", name, each)
    write_json(content, found)


def main(argv: list[str] | None = None) -> int:
    return stage.main("source", run, argv, section="ingest")


if __name__ == "__main__":
    raise SystemExit(main())
