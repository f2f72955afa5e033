"""Fit candidates on the training reviews and say how each does on the validation reviews."""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import sentiment.store
from components import errors, reviews
from components.arguments import count, halves, positive
from components.errors import StageError
from components.files import replacing_directory, write_json
from components.models import FACTS_FILE
from sentiment import model, training
from sentiment.ngrams import MAX_N
from sentiment.rows import cut

log = logging.getLogger("train")


def train(
    train: pd.DataFrame,
    valid: pd.DataFrame,
    idf_power: Sequence[float],
    parameters: dict[str, Any],
    output: Path,
    max_iterations: int = 8,
) -> list[dict[str, Any]]:
    """Write one candidate for each value of ``idf_power`` to the directory ``output``.

    A candidate is a directory of its own with the model and the facts of its training.
    ``parameters`` are the others of :func:`sentiment.model.build`. The
    validation reviews say after which iteration to stop and how to calibrate; then the model is
    fitted to them as well.
    """
    both = pd.concat([train, valid], ignore_index=True)
    labels = both["label"].to_numpy()
    pipeline = model.build(**parameters)
    log.info("reading %d reviews", len(both))
    try:
        counts = pipeline[0].fit_transform(both["text"])
    except ValueError as error:  # no text has a token that is frequent enough
        raise StageError(f"--train: {error}") from error
    learned, held_out = (slice(None, len(train)), slice(len(train), None))
    trial_rows, valid_rows = (cut(counts[part], labels[part]) for part in (learned, held_out))
    all_rows = cut(counts, labels)
    min_df = parameters["min_df"]
    common = {
        "rows": len(both),
        "features": counts.shape[1],
        "data_digest": reviews.digest(both),
    }
    facts = []
    with replacing_directory(output) as partial:
        for power in idf_power:
            started = time.monotonic()
            pipeline[-1].set_params(idf_power=power)
            try:
                trial = training.attempt(
                    pipeline[-1], trial_rows, valid_rows, min_df, max_iterations
                )
            except ValueError as error:
                raise StageError(f"--train: {error}") from error
            candidate = partial / f"idf_power={power:g}"
            candidate.mkdir()
            training.fit(pipeline[-1], all_rows, min_df, trial)
            chosen = {"idf_power": power, "iterations": trial.iterations}
            facts.append(common | {"parameters": parameters | chosen})
            facts[-1]["model_digest"] = sentiment.store.save(pipeline, candidate)
            facts[-1]["valid"] = {
                "rows": len(valid),
                "accuracy": trial.accuracy,
                "log_loss": trial.log_loss,
                "log_losses": trial.losses,
            }
            write_json(candidate / FACTS_FILE, facts[-1])
            log.info("idf power %g: fitted in %.1f s", power, time.monotonic() - started)
    return facts


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.train", description=__doc__)
    parser.add_argument("--train", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--valid", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument(
        "--max-n",
        type=int,
        choices=range(1, MAX_N + 1),
        default=3,
        help="longest n-gram; default: 3",
    )
    parser.add_argument("--min-df", type=count, default=2, help="fewest texts; default: 2")
    parser.add_argument("--alpha", type=positive, default=1.0, help="smoothing; default: 1")
    parser.add_argument(
        "--max-iterations",
        type=count,
        default=8,
        help="the best is found on the validation reviews; default: 8",
    )
    parser.add_argument(
        "--ratio-power", type=halves, default=0.5, help="of the log-count ratio; default: 0.5"
    )
    parser.add_argument(
        "--idf-power",
        type=halves,
        nargs="+",
        default=[1.5],
        help="of the inverse document frequency, one candidate each; default: 1.5",
    )
    parser.add_argument("--candidates", required=True, type=Path, help="directory to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        names = ("max_n", "min_df", "alpha", "ratio_power")
        parameters = {name: getattr(args, name) for name in names}
        fit_on, score_on = (reviews.read_labelled(path) for path in (args.train, args.valid))
        for facts in train(
            fit_on, score_on, args.idf_power, parameters, args.candidates, args.max_iterations
        ):
            log.info(
                "idf power %g: valid accuracy %.4f, log loss %.4f after %d iterations, model %s",
                facts["parameters"]["idf_power"],
                facts["valid"]["accuracy"],
                facts["valid"]["log_loss"],
                facts["parameters"]["iterations"],
                facts["model_digest"][:12],
            )

    return errors.run("train", work)


if __name__ == "__main__":
    raise SystemExit(main())
