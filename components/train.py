"""Fit candidates on the training reviews and say how each does on the validation reviews."""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

import sentiment.model
import sentiment.store
from components import errors, reviews
from components.arguments import count, positive
from components.errors import StageError
from components.files import replacing_directory, write_json
from components.models import FACTS_FILE, REFERENCE_FILE
from sentiment import drift

log = logging.getLogger("train")


def train(
    train: pd.DataFrame,
    valid: pd.DataFrame,
    C: Sequence[float],
    parameters: dict[str, Any],
    output: Path,
) -> list[dict[str, Any]]:
    """Write one candidate for each value of ``C`` to the directory ``output``.

    A candidate is a directory of its own with the model, the facts of its training and the
    reference for drift. ``parameters`` are the others of :func:`sentiment.model.build`. One BLAS
    thread, so that sums are taken in the same order on any number of cores.
    """
    labels = train["label"].to_numpy()
    with threadpool_limits(1), replacing_directory(output) as partial:
        model = sentiment.model.build(**parameters, C=C[0])
        log.info("reading %d reviews", len(train))
        try:
            features = model[:-1].fit_transform(train["text"], labels)
        except ValueError as error:  # no text has a token that is frequent enough
            raise StageError(f"--train: {error}") from error
        common = {
            "rows": len(train),
            "features": features.shape[1],
            "data_digest": reviews.digest(train),
        }
        facts = []
        for value in C:
            started = time.monotonic()
            model[-1].set_params(C=value).fit(features, labels)
            log.info("C %g: fitted in %.1f s", value, time.monotonic() - started)
            candidate = partial / f"C={value:g}"
            candidate.mkdir()
            facts.append(common | {"parameters": parameters | {"C": value}})
            facts[-1] |= _save(model, valid, candidate)
            write_json(candidate / FACTS_FILE, facts[-1])
    return facts


def _save(model: Pipeline, valid: pd.DataFrame, candidate: Path) -> dict[str, Any]:
    """Write model and reference; return the digest and the figures on the validation reviews."""
    statistics = drift.describe(model, valid["text"].tolist())
    write_json(candidate / REFERENCE_FILE, drift.reference(statistics))
    p = statistics["score"]
    return {
        "model_digest": sentiment.store.save(model, candidate),
        "valid": {
            "rows": len(valid),
            "accuracy": float(((p > 0.5) == valid["label"]).mean()),
            "log_loss": float(log_loss(valid["label"], p)),
        },
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.train", description=__doc__)
    parser.add_argument("--train", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--valid", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--max-n", type=count, default=3, help="longest n-gram; default: 3")
    parser.add_argument("--min-df", type=count, default=2, help="fewest texts; default: 2")
    parser.add_argument("--alpha", type=positive, default=1.0, help="smoothing; default: 1")
    parser.add_argument(
        "--C",
        type=positive,
        nargs="+",
        default=[0.4],
        help="inverse L2 penalty, one candidate each; default: 0.4",
    )
    parser.add_argument("--candidates", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        parameters = {name: getattr(args, name) for name in ("max_n", "min_df", "alpha")}
        fit_on, score_on = (reviews.read_labelled(path) for path in (args.train, args.valid))
        for facts in train(fit_on, score_on, args.C, parameters, args.candidates):
            form = "C %g: valid accuracy %.4f, log loss %.4f, model %s"
            valid = facts["valid"]
            log.info(
                form,
                facts["parameters"]["C"],
                valid["accuracy"],
                valid["log_loss"],
                facts["model_digest"][:12],
            )

    return errors.run("train", work)


if __name__ == "__main__":
    raise SystemExit(main())
