"""Compare our predictor with the reference service and other servers, on the same reviews.

In every round each server runs alone, one after the other. The tables show medians over the
rounds, and in brackets the ratio to the first row. A server is not measured if it cannot be
installed or started, or if its answers are not the model's: its row says why. Needs wrk, and
``data/`` and the champion from ``make train``.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import sentiment.store
from benchmarks.serving import in_process, inputs, tables
from benchmarks.serving.comparison import Comparison, Results
from benchmarks.serving.contenders import CONTENDERS, PIPELINE, REFERENCE, Contender
from benchmarks.serving.load import Workload
from components.errors import UserError

BATCH = 32
REVIEWS = 512


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=int, default=10, help="of each workload; default: 10")
    parser.add_argument(
        "--rate",
        type=float,
        default=100.0,
        help="requests a second of the workload with a fixed rate; default: 100",
    )
    parser.add_argument(
        "--model_uri",
        default="models:/sentiment@champion",
        help="a version in the registry, or a folder in MLflow's format; default: the champion",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="default: data")
    return parser


def workloads(seconds: int, rate: float) -> list[Workload]:
    pausing = f"8 clients that pause: {rate:.0f} requests a second"
    return [
        Workload("One client", 1, seconds),
        Workload("8 clients", 8, seconds),
        Workload("64 clients", 64, seconds),
        Workload(pausing, 8, 2 * seconds, rate=rate),  # longer: first requests come at once
        Workload(f"8 clients, {BATCH} reviews a request", 8, seconds, BATCH),
    ]


def compare(args: argparse.Namespace, selected: list[Contender], scratch: Path) -> Iterator[str]:
    """Measure the selected servers, and yield the tables.

    Raises:
        UserError: the reviews or the model cannot be read.
    """
    texts = inputs.texts(args.data / "test", REVIEWS)
    folder = inputs.model_folder(args.model_uri, scratch)
    folders = {PIPELINE: folder}
    if any(contender.model == REFERENCE for contender in selected):
        folders[REFERENCE] = inputs.reference_model(args.data / "train", scratch)
    model = sentiment.store.load(folder)
    comparison = Comparison(texts, model.predict_proba(texts)[:, 1].tolist(), folders, scratch)
    results, costs = Results(), defaultdict(list)
    planned = workloads(args.seconds, args.rate)
    for number in range(args.rounds):
        for contender in selected:
            busy = os.getloadavg()[0]
            print(f"round {number + 1}: {contender.name}, load {busy:.1f}", file=sys.stderr)
            comparison.run(contender, planned, results)
        for name, milliseconds in in_process.measure(model, texts, BATCH):
            costs[name].append(milliseconds)
    for workload in planned:
        yield tables.of_workload(workload, selected, results)
    yield tables.of_calls(costs)
    yield tables.spread(results)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if shutil.which("wrk") is None:
        parser().error("wrk is not installed; on Debian: apt-get install wrk")
    selected = [server for server in CONTENDERS if not args.only or server.name in args.only]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for table in compare(args, selected, Path(scratch)):
                print(table, flush=True)
        except UserError as error:
            parser().error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
