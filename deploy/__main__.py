"""Deploy a version of the registry, newer or earlier, to a cluster by a watched canary.

It writes one file of an overlay, model.yaml, and applies the InferenceService of that overlay;
with --git a controller of the cluster applies it. Started again after an interruption, it goes on
from what the cluster serves.
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
from deploy.branch import Branch
from deploy.canary import CanaryLimits, CanaryVerdict
from deploy.cluster import Cluster, render
from deploy.errors import retry
from deploy.gitops import GitOps, require_no_controller
from deploy.inherited import require_own_fields
from deploy.overlay import Predictor, State, service_of, state_of
from deploy.prometheus import Prometheus
from deploy.rollout import IfUndecided, Rollout, RolloutOutcome
from deploy.traffic import watch_canary
from deploy.version import find_version, verified_uri

EXIT_CODES = {
    RolloutOutcome.DEPLOYED: 0,
    RolloutOutcome.FAILED: 1,
    RolloutOutcome.ROLLED_BACK: 3,
    RolloutOutcome.UNDECIDED: 5,
    RolloutOutcome.HELD: 5,
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
  5  undecided: too little traffic or evidence; the stable version is served, and with
     --if-undecided hold the canary beside it
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
    add(
        "--name",
        help="the registered model; default: that of the overlay, or with --history sentiment",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--alias", default=registry.CHAMPION, help="default: %(default)s")
    which.add_argument(
        "--version", metavar="N", help="this version instead, such as an earlier one"
    )
    add("--overlay", help=f"a folder of {overlay.FOLDER}, or the path of one")
    default = os.environ.get("CONTEXT")
    add("--context", default=default, help="of kubectl; default: CONTEXT, or the current one")
    add(
        "--canary",
        type=percent,
        metavar="PERCENT",
        help="the first share of the requests that the new version gets and is judged by",
    )
    add("--prometheus", default=os.environ.get("PROMETHEUS_URL"), help="default: PROMETHEUS_URL")
    add(
        "--if-undecided",
        choices=[each.value for each in IfUndecided],
        default=IfUndecided.BACK.value,
        help="with too few requests to judge a step: go back, hold the canary at its share, or go"
        " on; default: %(default)s",
    )
    add(
        "--gateway-errors",
        default=os.environ.get("GATEWAY_ERRORS", ""),
        metavar="QUERY",
        help="count responses 5xx of the gateway, too: 'traefik', 'envoy', or a query for them"
        " with the label predictor, in which NAMESPACE, NAME and PREDICTORS are filled in;"
        " default: GATEWAY_ERRORS",
    )
    add(
        "--git",
        action="store_true",
        help="apply nothing: commit and push model.yaml, and wait until a controller of the"
        " cluster, such as Flux, has applied the commit",
    )
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add("--history", action="store_true", help="print the deployments so far instead")
    usual = CanaryLimits()
    for flag, kind, value, text in (
        (
            "--min-requests",
            count,
            usual.min_requests,
            "requests that each predictor must have answered at a step",
        ),
        (
            "--alpha",
            fraction,
            usual.alpha,
            "the probability at a step to reject a canary that is as good",
        ),
        ("--margin", positive, usual.margin, "the factor by which the latency may be larger"),
    ):
        add(flag, type=kind, default=value, help=f"{text}; default: %(default)s")
    for flag, seconds, text in (
        ("--step-seconds", usual.seconds, "how long each rollout step is watched"),
        ("--max-step-seconds", usual.max_seconds, "the same, while there are too few requests"),
        (
            "--settle-seconds",
            rollout.SETTLE_SECONDS,
            "how long a gateway may take to use new routes",
        ),
        ("--autoscaler-seconds", rollout.AUTOSCALER_SECONDS, "how long one takes to see a load"),
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
    template = render(folder / overlay.TEMPLATE)
    scaling = overlay.scaling_of(template)
    cluster = Cluster(service_of(render(folder)), args.context)
    if not args.dry_run:
        cluster.require_context()  # before the download of a model
    name = cluster.service.registered
    if args.name not in (None, name):
        raise UserError(
            f"--name {args.name}: {folder} serves {name} (annotation {overlay.REGISTERED}); make an"
            " overlay for another model"
        )
    version = find_version(client, name, args.alias, args.version)
    uri = verified_uri(client, version, local=folder.name == "local")
    new = overlay.new_predictor(template, str(version.version), uri)
    log.info("%s version %s is at %s, and %s with %s", name, new.version, uri, new.name, new.image)
    if args.dry_run:
        now = assumed_state(cluster, folder)
        new = as_served(new, now, args.canary)
        rollout.show(folder, plan(now, new, args), scaling)
        return 0
    prometheus = Prometheus(args.prometheus)
    if args.canary:
        retry(lambda: prometheus.ask("vector(1)"))  # no change that could not be judged
    gitops = None
    if args.git:
        gitops = GitOps(cluster, Branch(folder / overlay.FILE), args.ready_seconds)
    else:
        require_no_controller(cluster, cluster.inference_service())
    with gitops.hold(folder) if gitops else lease.hold(cluster) as require_lease:
        now = served_state(cluster, folder)
        new = as_served(new, now, args.canary)
        states = plan(now, new, args)
        record = history.find_open(client, name, folder.name, new)
        # without --canary nothing is judged, so no judgement of before counts
        unfit = history.find_unfit(client, record) if record and args.canary else None
        if record is None and now != states[-1]:
            record = history.open_record(client, name, folder.name, now, new)

        def judge(state: State) -> CanaryVerdict:
            service = cluster.service
            verdict = watch_canary(
                prometheus, service, state, limits(args), require_lease, args.gateway_errors
            )
            if record is not None:
                with history.optional(f"the verdict at {state.percent}%"):
                    history.log_verdict(client, record, state.percent, verdict)
            return verdict

        steps = Rollout(
            *(cluster, folder, scaling, judge, require_lease),
            *(args.ready_seconds, args.settle_seconds, args.autoscaler_seconds),
            *(IfUndecided(args.if_undecided), gitops),
        )
        if unfit and now and now.stable != new:
            result = steps.finish_going_back(now, unfit)
        else:
            result = steps.run(now, states)
        if record is not None and result.outcome is not RolloutOutcome.HELD:
            with history.optional("the end of this deployment"):
                history.close(client, record, result)
    return report(result, new)


def served_state(cluster: Cluster, folder: Path) -> State | None:
    """Return what the cluster serves, or None where no version is served.

    The overlay has the specs as they were written; those in the cluster have defaults added. A name
    without a digest is of the time when the overlay had one image for all predictors: what the
    overlay would now make of it is not what is served.
    """
    document = cluster.inference_service()
    state = state_of(document) if document else None
    if document and state is None:
        log.info(
            "what is served has no version (STORAGE_URI, MODEL_VERSION), and is replaced at once"
        )
    written = state_of(render(folder))
    if state is None or written is None:
        return state
    own = (each for each in (written.stable, written.canary) if each)
    known = {each.name: each for each in own if overlay.has_digest(each.name)}
    canary = state.canary and known.get(state.canary.name, state.canary)
    return replace(state, stable=known.get(state.stable.name, state.stable), canary=canary)


def as_served(new: Predictor, now: State | None, first: int | None) -> Predictor:
    """Return the predictor with the spec that it is served with, or will be beside the stable.

    Without --canary, the version of the stable predictor is that predictor while another is on
    trial: a rollback ends the trial, and brings no new image. A predictor beside it with none or
    all of the requests may be that of an interrupted deployment without --canary, which goes on.
    """
    if now is not None and now.canary is not None and not first:
        on_trial = now.canary != new or rollout.is_judged(now)
        if on_trial and now.stable.version == new.version:
            return now.stable
    served = [] if now is None else [each for each in (now.stable, now.canary) if each]
    for each in served:
        if each == new:
            return each
    return overlay.with_distinct_uri(new, served[0]) if served else new


def assumed_state(cluster: Cluster, folder: Path) -> State | None:
    """Return what the cluster serves or, where none answers, what the overlay says."""
    try:
        cluster.require_context()
        return served_state(replace(cluster, pauses=()), folder)
    except (UnavailableError, UserError) as error:
        log.info("assuming that the cluster serves what the overlay says (%s)", error)
        return state_of(render(folder))


def plan(now: State | None, new: Predictor, args: argparse.Namespace) -> list[State]:
    """Return the states of the rollout, and log them.

    Raises:
        UserError: the new predictor's pods would differ before and after its promotion.
    """
    if now is not None and now.stable != new:
        require_own_fields(new, now.stable)
    states = rollout.plan(now, new, args.canary)
    rollout.announce(now, states, args.canary, args.step_seconds)
    return states


def report(result: rollout.RolloutResult, new: Predictor) -> int:
    """Log how a rollout ended and return the exit code."""
    if result.outcome is RolloutOutcome.DEPLOYED:
        log.info("version %s is served, by %s: %s", new.version, new.name, result.reason)
    else:
        outcome = result.outcome.value.replace("_", " ")
        log.error("%s, version %s, %s: %s", outcome, new.version, new.name, result.reason)
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
            deployments = history.deployments(client, args.name or "sentiment")
            for each in deployments:
                print(each)
            if not deployments:
                log.info("no deployments yet")
            return 0

    return cli.run("deploy", work)


if __name__ == "__main__":
    raise SystemExit(main())
