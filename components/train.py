"""Fit one candidate on the training reviews and say how it does on the validation reviews."""

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import sentiment.model
import sentiment.store
from components import errors, reviews
from components.arguments import count, positive
from components.errors import StageError
from components.files import replacing_directory, write_json
from components.models import FACTS_FILE

log = logging.getLogger("train")


def train(
    train: pd.DataFrame, valid: pd.DataFrame, parameters: dict[str, Any], output: Path
) -> dict[str, Any]:
    """Write the fitted model and the facts of its training to the directory ``output``.

    ``parameters`` are those of :func:`sentiment.model.build`. One BLAS thread, so that sums are
    taken in the same order on any number of cores.
    """
    model = sentiment.model.build(**parameters)
    log.info("fitting on %d reviews", len(train))
    started = time.monotonic()
    with threadpool_limits(1):
        try:
            model.fit(train["text"], train["label"].to_numpy())
        except ValueError as error:  # no text has a token that is frequent enough
            raise StageError(f"--train: {error}") from error
    log.info("fitted in %.1f s; scoring %d reviews", time.monotonic() - started, len(valid))
    p = sentiment.model.probabilities(model, valid["text"])
    with replacing_directory(output) as partial:
        facts = {
            "parameters": parameters,
            "rows": len(train),
            "features": int(model["classifier"].coef_.size),
            "data_digest": reviews.digest(train),
            "model_digest": sentiment.store.save(model, partial),
            "valid": {
                "rows": len(valid),
                "accuracy": float(((p > 0.5) == valid["label"]).mean()),
                "log_loss": float(log_loss(valid["label"], p)),
            },
        }
        write_json(partial / FACTS_FILE, facts)
    return facts


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.train", description=__doc__)
    parser.add_argument("--train", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--valid", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--model", required=True, type=Path, help="directory to write")
    parser.add_argument("--max-n", type=count, default=3, help="longest n-gram; default: 3")
    parser.add_argument("--min-df", type=count, default=2, help="fewest texts; default: 2")
    parser.add_argument("--alpha", type=positive, default=1.0, help="smoothing; default: 1")
    parser.add_argument("--C", type=positive, default=0.4, help="inverse L2 penalty; default: 0.4")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        parameters = {name: getattr(args, name) for name in ("max_n", "min_df", "alpha", "C")}
        fit_on, score_on = (reviews.read_labelled(path) for path in (args.train, args.valid))
        facts = train(fit_on, score_on, parameters, args.model)
        log.info("valid: accuracy %(accuracy).4f, log loss %(log_loss).4f", facts["valid"])
        log.info("model %s in %s", facts["model_digest"][:12], args.model)

    return errors.run("train", work)


if __name__ == "__main__":
    raise SystemExit(main())
