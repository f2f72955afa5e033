"""Read manifests/kind/versions.yaml, the one file with the versions of what is installed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests/kind"
FILE = FOLDER / "versions.yaml"


@dataclass(frozen=True)
class Chart:
    """A Helm chart: an address of a registry, or a name in the repository ``repo``."""

    chart: str
    version: str
    repo: str | None = None


@dataclass(frozen=True)
class Versions:
    """Go packages of programs, charts and images, each by name."""

    programs: dict[str, str]
    charts: dict[str, Chart]
    images: dict[str, str]


def read(path: Path = FILE) -> Versions:
    """Read the file.

    Raises:
        UserError: a section or a field is missing or unknown.
    """
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        charts = {name: Chart(**fields) for name, fields in document.pop("charts").items()}
        return Versions(charts=charts, **document)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: {error}") from error
