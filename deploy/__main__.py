"""Bring a version of the registry to a cluster, by a canary that is watched, or back again.

It writes one file of an overlay, model.yaml, and applies the InferenceService that comes of it.
Started again after it was killed, it goes on where it was.
"""

import argparse
import logging
import os
from pathlib import Path

import mlflow

from components import cli
from components.arguments import count, fraction, positive
from components.errors import UserError
from components.io import registry
from deploy import history, lease, overlay, rollout
from deploy.canary import Limits, Verdict
from deploy.cluster import Cluster
from deploy.prometheus import Prometheus
from deploy.state import State, state_of
from deploy.traffic import watch
from deploy.version import find, to_deploy

WENT_BACK = 3  # the exit code where the stable version is served again

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
        epilog=f"Exits with {WENT_BACK} where the new version was not fit to be served and the"
        " stable one is again, with 1 where anything else went wrong.",
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
        help="watch it with this share at first, where another version is served",
    )
    add("--prometheus", default=os.environ.get("PROMETHEUS_URL"), help="default: PROMETHEUS_URL")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--history", action="store_true", help="print the deployments so far instead")
    usual = Limits()
    add("--min-requests", type=count, default=usual.requests, help="default: %(default)s")
    add("--alpha", type=fraction, default=usual.alpha, help="default: %(default)s")
    add("--margin", type=positive, default=usual.margin, help="default: %(default)s")
    for flag, seconds, what in (
        ("--step-seconds", usual.seconds, "of a step"),
        ("--max-step-seconds", usual.most, "of a step with too few requests"),
        ("--ready-seconds", 600.0, "until a predictor must be ready"),
    ):
        add(flag, type=positive, default=seconds, help=f"{what}; default: %(default)g")
    return parser


def present(cluster: Cluster, folder: Path, dry_run: bool) -> State | None:
    """Return what the cluster serves; for a dry run without one, what the overlay says it does."""
    try:
        cluster.chosen()
        service = cluster.service()
    except UserError as error:
        if not dry_run:
            raise
        log.info("the cluster is taken to be as the overlay says (%s)", error)
        service = cluster.render(folder) if (folder / overlay.FILE).exists() else None
        return state_of(service) if service else None
    now = state_of(service) if service else None
    if service and now is None:
        log.info("what is served has no version (label and STORAGE_URI), and is replaced at once")
    return now


def deploy(client: mlflow.MlflowClient, args: argparse.Namespace) -> int:
    folder, cluster = overlay.folder(args.overlay), Cluster(args.context)
    if not args.dry_run:
        cluster.chosen()  # before a model is downloaded for nothing
    version = find(client, args.name, args.alias, args.version)
    model = to_deploy(client, version, local=folder.name == "local")
    log.info("%s version %s is at %s", args.name, model.version, model.uri)
    if args.dry_run:
        now = present(cluster, folder, args.dry_run)
        states = rollout.plan(now, model, args.canary)
        rollout.announce(now, states, args.canary, args.step_seconds)
        rollout.show(cluster, folder, states)
        return 0
    prometheus = Prometheus(args.prometheus)
    if args.canary:
        prometheus.ask("vector(1)")  # nothing is begun that could not be judged
    with lease.held(cluster) as check:
        now = present(cluster, folder, args.dry_run)
        states = rollout.plan(now, model, args.canary)
        rollout.announce(now, states, args.canary, args.step_seconds)
        record = history.resumed(client, args.name, folder.name, model.version)
        if record is None and now != states[-1]:
            record = history.opened(client, args.name, folder.name, now, model.version)

        def judge(state: State) -> Verdict:
            verdict = watch(prometheus, state, limits(args), check)
            if record is not None:
                history.judged(client, record, state.percent, verdict)
            return verdict

        outcome, why = rollout.go(cluster, folder, states, judge, check, args.ready_seconds)
        if record is not None:
            history.close(client, record, outcome, why)
    if outcome == "rolled_back":
        log.error("rolled back, version %s: %s", model.version, why)
        return WENT_BACK
    if outcome == "failed":
        raise UserError(f"failed, version {model.version}: {why}")
    log.info("version %s is served: %s", model.version, why)
    return 0


def limits(args: argparse.Namespace) -> Limits:
    most = max(args.max_step_seconds, args.step_seconds)
    return Limits(args.min_requests, args.alpha, args.margin, args.step_seconds, most)


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
            told = history.history(client, args.name)
            for each in told:
                print("{at} {by}: {overlay} {outcome} {from} -> {to}: {why}".format(**each))
            if not told:
                log.info("no deployments yet")
            return 0

    return cli.run("deploy", work)


if __name__ == "__main__":
    raise SystemExit(main())
