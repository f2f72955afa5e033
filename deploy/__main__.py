"""Deploy a version of the registry to a cluster, by a watched canary, or roll back to one.

It writes one file of an overlay, model.yaml, and applies the InferenceService of that overlay.
Started again after an interruption, it goes on from what the cluster serves.
"""

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

import mlflow

from components import cli
from components.cli import count, fraction, positive
from components.errors import UnavailableError, UserError
from components.io import registry
from deploy import history, lease, overlay, rollout
from deploy.canary import CanaryLimits, CanaryVerdict
from deploy.cluster import Cluster, render
from deploy.errors import retry
from deploy.overlay import Model, State, service_of, state_of
from deploy.prometheus import Prometheus
from deploy.rollout import RolloutOutcome
from deploy.traffic import watch_canary
from deploy.version import find_version, verified_model

EXIT_CODES = {
    RolloutOutcome.DEPLOYED: 0,
    RolloutOutcome.FAILED: 1,
    RolloutOutcome.ROLLED_BACK: 3,
    RolloutOutcome.UNDECIDED: 5,
}
EPILOG = """\
exit codes:
  0  deployed
  1  fix what the message names: overlay, flag, context, permission; or the new version is
     unfit and no other one was served that could be rolled back to
  2  wrong usage
  3  the new version is unfit, and was rolled back: the stable version is served
  4  the cluster, the registry, Prometheus or the network failed; nothing was rolled back:
     run the same command again, and it goes on from there
  5  undecided: too little traffic or evidence; the stable version is served
"""

log = logging.getLogger("deploy")


def percent(text: str) -> int:
    value = count(text)
    if value > rollout.SHARES[-1]:
        raise argparse.ArgumentTypeError(f"{text} is more than {rollout.SHARES[-1]}")
    return value


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--name", default="sentiment", help="the registered model; default: %(default)s")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--alias", default=registry.CHAMPION, help="default: %(default)s")
    which.add_argument(
        "--version", metavar="N", help="this version instead, such as an earlier one"
    )
    add("--overlay", help=f"a folder of {overlay.FOLDER}, or the path of one")
    add("--context", help="of kubectl; default: the current one")
    add(
        "--canary",
        type=percent,
        metavar="PERCENT",
        help="the first share of the requests that the new version gets and is judged by",
    )
    add("--prometheus", default=os.environ.get("PROMETHEUS_URL"), help="default: PROMETHEUS_URL")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add("--history", action="store_true", help="print the deployments so far instead")
    usual = CanaryLimits()
    add("--min-requests", type=count, default=usual.min_requests, help="default: %(default)s")
    add("--alpha", type=fraction, default=usual.alpha, help="default: %(default)s")
    add("--margin", type=positive, default=usual.margin, help="default: %(default)s")
    for flag, seconds, text in (
        ("--step-seconds", usual.seconds, "how long each rollout step is watched"),
        ("--max-step-seconds", usual.max_seconds, "the same, while there are too few requests"),
        ("--ready-seconds", 600.0, "how long a predictor may take to be ready"),
    ):
        add(
            flag,
            type=positive,
            default=seconds,
            metavar="SECONDS",
            help=f"{text}; default: %(default)g",
        )
    return parser


def deploy(client: mlflow.MlflowClient, args: argparse.Namespace) -> int:
    folder = overlay.find_folder(args.overlay)
    cluster = Cluster(service_of(render(folder)), args.context)
    if not args.dry_run:
        cluster.require_context()  # before the download of a model
    version = find_version(client, args.name, args.alias, args.version)
    model = verified_model(client, version, local=folder.name == "local")
    log.info("%s version %s is at %s", args.name, model.version, model.uri)
    if args.dry_run:
        now = assumed_state(cluster, folder)
        rollout.show(folder, plan(now, model, args))
        return 0
    prometheus = Prometheus(args.prometheus)
    if args.canary:
        retry(lambda: prometheus.ask("vector(1)"))  # no change that could not be judged
    with lease.hold(cluster) as require_lease:
        now = served_state(cluster)
        states = plan(now, model, args)
        record = history.find_open(client, args.name, folder.name, model.version)
        if record is None and now != states[-1]:
            record = history.open_record(client, args.name, folder.name, now, model.version)

        def judge(state: State) -> CanaryVerdict:
            service = cluster.service
            verdict = watch_canary(prometheus, service, state, limits(args), require_lease)
            if record is not None:
                history.log_verdict(client, record, state.percent, verdict)
            return verdict

        result = rollout.roll_out(cluster, folder, states, judge, require_lease, args.ready_seconds)
        if record is not None:
            history.close(client, record, result)
    return report(result, model.version)


def served_state(cluster: Cluster) -> State | None:
    """Return what the cluster serves, or None where no version is served."""
    document = cluster.inference_service()
    state = state_of(document) if document else None
    if document and state is None:
        log.info("what is served has no version (label and STORAGE_URI), and is replaced at once")
    return state


def assumed_state(cluster: Cluster, folder: Path) -> State | None:
    """Return what the cluster serves or, where none answers, what the overlay says."""
    try:
        cluster.require_context()
        return served_state(replace(cluster, pauses=()))
    except (UnavailableError, UserError) as error:
        log.info("assuming that the cluster serves what the overlay says (%s)", error)
        return state_of(render(folder))


def plan(now: State | None, model: Model, args: argparse.Namespace) -> list[State]:
    """Return the states of the rollout, and log them."""
    states = rollout.plan(now, model, args.canary)
    rollout.announce(now, states, args.canary, args.step_seconds)
    return states


def report(result: rollout.RolloutResult, version: str) -> int:
    """Log how a rollout ended and return the exit code."""
    if result.outcome is RolloutOutcome.DEPLOYED:
        log.info("version %s is served: %s", version, result.reason)
    else:
        outcome = result.outcome.value.replace("_", " ")
        log.error("%s, version %s: %s", outcome, version, result.reason)
    return EXIT_CODES[result.outcome]


def limits(args: argparse.Namespace) -> CanaryLimits:
    longest = max(args.max_step_seconds, args.step_seconds)
    return CanaryLimits(args.min_requests, args.alpha, args.margin, args.step_seconds, longest)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if not (args.overlay or args.history):
        parser().error("--overlay is needed")
    if args.canary and not (args.prometheus or args.dry_run):
        parser().error("--canary needs --prometheus, or PROMETHEUS_URL")

    def work() -> int:
        with registry.connected() as client:
            if not args.history:
                return deploy(client, args)
            deployments = history.deployments(client, args.name)
            for each in deployments:
                print(each)
            if not deployments:
                log.info("no deployments yet")
            return 0

    return cli.run("deploy", work)


if __name__ == "__main__":
    raise SystemExit(main())
