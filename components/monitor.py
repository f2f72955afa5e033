"""Compare captured requests with the test reviews of the champion."""

import logging
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from components import stage
from components.errors import UserError
from components.io import records, registry
from components.io.files import read_json, replacing
from components.io.models import load_model
from components.io.records import record
from components.reading import formats
from components.reading.options import Format, Options
from components.reading.sources import fetch
from components.stage import Artifact, parameters
from sentiment import confidence, drift
from sentiment.model import probabilities
from sentiment.model_file import FINDINGS_FILE

log = logging.getLogger("monitor")

MEANING = {
    "score": "probability of the second of two classes, or of the likeliest of more",
    "class": "the likeliest class",
    "length": "tokens in a text",
    "unknown": "share of tokens that the model does not know",
}


@record
class Drift:
    """The comparison of requests with the reference of a version: drift or not, why, the figures.

    ``stability`` and ``means`` are the population stability index and the mean of each statistic;
    a class has no mean. ``expected_accuracy`` is that of :mod:`sentiment.confidence`, which
    is believed where there are no ``doubts``; None if too few texts were compared, and in
    files of earlier releases.
    """

    name: str
    version: str
    rows: int
    drifted: bool
    why: str
    stability: dict[str, float]
    means: dict[str, float]
    expected_accuracy: float | None = None
    believed: bool | None = None
    doubts: tuple[str, ...] = ()


def monitor(name: str, texts: Sequence[str], max_psi: float, min_rows: int) -> Drift:
    """Compare the texts with the champion's reference.

    The texts have drifted when the population stability index of any statistic is above
    ``max_psi``. Fewer than ``min_rows`` texts show nothing: their index is large by chance alone.

    Raises:
        UserError: the model has no champion, or the champion cannot be read.
    """
    with registry.connected() as client, tempfile.TemporaryDirectory() as scratch:
        champion = registry.champion(client, name)
        if champion is None:
            raise UserError(f"{name} has no champion to compare with; run the training pipeline")
        folder = registry.download(client, champion, Path(scratch))
        model, reference = load_model(folder), read_json(folder / FINDINGS_FILE)["reference"]
    version, rows = str(champion.version), len(texts)
    if rows < min_rows:
        why = f"{rows} captured requests, too few to tell; {min_rows} are needed"
        return Drift(name, version, rows, False, why, {}, {})
    log.info("scoring %d texts with version %s", rows, version)
    p = probabilities(model, texts)
    statistics = drift.describe(model, texts, p)
    stability = drift.stability(reference, statistics)
    above = [f"{key} {value:.3f}" for key, value in stability.items() if value > max_psi]
    limit = f"a population stability index of {max_psi}"
    why = f"{', '.join(above)}: above {limit}" if above else f"nothing is above {limit}"
    means = {key: float(values.mean()) for key, values in statistics.items() if key != "class"}
    expected = confidence.expected_accuracy(statistics["score"], p.shape[1])
    doubts = confidence.doubts(stability)
    return Drift(
        name, version, rows, bool(above), why, stability, means, expected, not doubts, doubts
    )


def markdown(found: Drift) -> str:
    """Return the comparison as Markdown."""
    rows = "\n".join(
        f"| {key} | {MEANING[key]} | {value:.4f} | {mean} |"
        for key, value in found.stability.items()
        for mean in [f"{found.means[key]:.4f}" if key in found.means else ""]
    )
    return f"""# {"Drift" if found.drifted else "No drift"}: {found.name} {found.version}

{found.why}

{found.rows} captured requests, against the champion's test reviews:

| | | stability index | mean |
|---|---|---|---|
{rows}
{_expectation(found)}"""


def _expectation(found: Drift) -> str:
    if found.expected_accuracy is None:
        return ""
    belief = "to be believed, unless such texts now have other labels"
    if found.doubts:
        belief = f"not to be believed, by the stability index of {'; '.join(found.doubts)}"
    return f"""
By the model's confidence its accuracy on them is {found.expected_accuracy:.4f}: {belief}.
"""


def read_texts(source: str, column: str, format: Format) -> list[str]:
    """Return the texts of captured requests, in the order of files and rows.

    Feedback is below the folder ``feedback`` of the source, and has no texts.
    """
    # a request has no label: the text is read in its place, too
    options = Options(source=source, text_column=column, label_column=column, format=format)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for origin in fetch(options, Path(scratch)):
            for path, address in formats.plain(origin.path, options, origin.address, Path(scratch)):
                if address.startswith(f"{source.removesuffix('/')}/feedback/"):
                    continue
                for batch in formats.read(path, options, address, Counter()):
                    for number, text in zip(batch.numbers, batch.texts, strict=True):
                        if text is None:
                            raise UserError(f"{address}: {batch.unit} {number} has no text")
                        found.append(text)
    return found


@parameters
class Parameters:
    captured: str = Field(
        min_length=1,
        description="Captured requests: a file or folder, s3://bucket/key, s3://bucket/prefix/ or"
        " https://host/path.",
    )
    text_column: str = Field(
        default="data.text",
        description="Column of their text; the default fits the predictor's capture files.",
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = Field(
        default="auto", description="Format of the files; auto: by the ending of the name."
    )
    name: str = Field(
        default="sentiment", description="Registered model, whose champion is monitored."
    )
    max_psi: float = Field(
        default=0.2, gt=0, description="Population stability index above which requests drifted."
    )
    min_rows: int = Field(default=200, ge=1, description="Fewest requests to compare.")
    newest: int = Field(
        default=20_000, ge=1, description="Number of newest captured requests to compare."
    )


def run(
    drift: Annotated[Path, Artifact("JSON file to write", output=True)],
    report: Annotated[Path, Artifact("Markdown file to write", "Markdown", output=True)],
    parameters: Parameters,
) -> None:
    captured = read_texts(parameters.captured, parameters.text_column, parameters.format)
    texts = captured[-parameters.newest :]
    found = monitor(parameters.name, texts, parameters.max_psi, parameters.min_rows)
    with replacing(report) as partial:
        partial.write_text(markdown(found))
    records.write(drift, found)
    log.info("%s: %s", "drift" if found.drifted else "no drift", found.why)


def main(argv: list[str] | None = None) -> int:
    return stage.main("monitor", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
