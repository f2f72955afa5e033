"""Read the commands that the documentation shows and the targets that the Makefile has."""

import re
from pathlib import Path

REPO = Path(__file__).parent.parent


def pages() -> list[Path]:
    return [REPO / "README.md", *sorted(REPO.glob("docs/**/*.md")), REPO / "benchmarks/README.md"]


def blocks(page: str) -> list[str]:
    """Return the blocks of shell commands on a page; a continued line is joined to its first."""
    texts = re.findall(r"^ *```sh\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [text.replace("\\\n", " ") for text in texts]


def commands(block: str) -> list[str]:
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in block.splitlines())
    return [*filter(None, lines)]


def targets() -> dict[str, str]:
    """Return the help text of each target of the Makefile."""
    lines = (REPO / "Makefile").read_text().splitlines()
    matches = (re.fullmatch(r"([a-z-]+):.*?##+ (.*)", line) for line in lines)
    return dict(match.groups() for match in matches if match)
