"""Prove deployments on a cluster with KServe and a gateway, and the pipelines where Kubeflow is.

What was seen is written as evidence. The command works on a copy of the overlay and asks the
Kubernetes API alone, so it does not matter how the cluster was made. While it deploys, requests go
through the gateway, and each that fails is counted.
"""

import argparse
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow

from components import cli
from components.cli import positive
from components.errors import UnavailableError, UserError
from components.io import registry
from deploy.cluster import Cluster, kubectl, render
from deploy.overlay import TEMPLATE, Service, service_of
from tools.cluster import access
from tools.cluster.forward import forwarding
from tools.cluster.kube import Kube, current_context
from tools.cluster_test import faults, kubeflow, receiver, runs
from tools.cluster_test.answers import Asked
from tools.cluster_test.cluster import Route, find_gateway, find_route, gateway_versions, versions
from tools.cluster_test.deployment import OverlayCopy, copy_of
from tools.cluster_test.evidence import Evidence
from tools.cluster_test.load import Caller
from tools.cluster_test.steps import DEPLOYED, Versions, steps
from tools.commands import output

DEPLOYMENTS, PIPELINES = "deployments", "pipelines"
FIRST = "first version, before anything is sent"
log = logging.getLogger("cluster-test")


@contextmanager
def through_gateway(
    caller: Caller, address: str | None, kube: Kube, route: Route
) -> Iterator[None]:
    """Let the caller send to the gateway's address, or through a forward of a port to it."""
    if address:
        caller.address = address.rstrip("/")
        yield
        return
    with forwarding(kube.context, find_gateway(kube, route)) as forward:
        caller.address, caller.forward = forward.address, forward
        yield


def find_versions(name: str, args: argparse.Namespace) -> Versions:
    """Return the versions of a registered model to deploy; those that are missing are made."""
    with registry.connected() as client:
        first = args.first or champion_of(client, name)
        second = args.second or faults.second_version(client, name, first)
        return Versions(first, second, faults.unloadable_version(client, name, first))


def champion_of(client: mlflow.MlflowClient, name: str) -> str:
    champion = registry.alias_version(client, name, registry.CHAMPION)
    if champion is None:
        raise UserError(f"{name} has no champion; promote one: make cluster-up does")
    return str(champion.version)


def prove_deployments(
    evidence: Evidence, kube: Kube, service: Service, args: argparse.Namespace
) -> None:
    """Deploy good and faulty predictors, while a caller sends requests through the gateway."""
    wanted = find_versions(service.registered, args)
    caller = Caller("", "", f"/v1/models/{service.model}:predict", args.rate)
    flags = [f"--context={kube.context}", f"--step-seconds={args.step_seconds:g}"]
    flags += args.deploy_flags
    first = prepare(args, args.overlay, caller, flags)
    evidence.add(first.step(FIRST, wanted.first, DEPLOYED, canary=False, loaded=False))
    route = find_route(Cluster(service, kube.context))
    evidence.versions |= gateway_versions(kube, route)
    with through_gateway(caller, args.gateway, kube, route):
        caller.host = route.host
        asked = Asked(caller.address, caller.host, service.model)
        evidence.add_answers("the first version", asked.ask())
        with caller.calling():
            for step in steps(first, wanted):
                evidence.add(step)
            if args.second_overlay:
                second = prepare(args, args.second_overlay, caller, flags)
                deploy_second(evidence, kube, second)
        evidence.add_answers("the first model in the end", asked.ask())
    if not args.second_overlay:
        evidence.skip("a second model beside the first", "no --second-overlay")


def run(args: argparse.Namespace) -> int:
    kube = Kube(args.context or current_context())
    service = service_of(render(args.overlay))
    git = ("git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    evidence = Evidence(
        args.directory, args.rate, versions(kube) | {"commit": output(*git).strip()}
    )
    only = args.only
    with access.environment(kube, service.namespace, prometheus=only != PIPELINES):
        if only == PIPELINES:
            evidence.skip(DEPLOYMENTS, f"--only {only}")
        else:
            prove_deployments(evidence, kube, service, args)
        if only == DEPLOYMENTS:
            evidence.skip(runs.TRAINING, f"--only {only}")
            evidence.skip(runs.RETRAINING, f"--only {only}")
        else:
            prove_pipelines(evidence, kube, service, args.overlay)
    evidence.write()
    evidence.publish()
    if only == PIPELINES and not evidence.runs:
        raise UserError(f"--only {only}: nothing was proved: {evidence.skipped[runs.TRAINING]}")
    log.info("evidence: %s", evidence.page)
    if failed := evidence.failures:
        raise UserError(f"failed: {', '.join(failed)}; see {evidence.page}")
    return 0


def prove_pipelines(evidence: Evidence, kube: Kube, service: Service, overlay: Path) -> None:
    """Train, and retrain on drift, where the cluster has Kubeflow and the receiver of alerts."""
    server = kubeflow.SERVER
    if kube.get("service", server.service, server.namespace) is None:
        why = (
            f"no Service {server.service} in the namespace {server.namespace}: see docs/kubeflow.md"
        )
        evidence.skip(runs.TRAINING, why)
        evidence.skip(runs.RETRAINING, why)
        return
    try:
        image = training_image(overlay)
        with kubeflow.signed_in(kube, service.namespace) as signed_in:
            model = f"{service.registered}-cluster-test"
            evidence.add_run(runs.train(kube, signed_in, image, model))
            try:
                watched = receiver.find(kube, service.namespace, service.name)
                evidence.add_run(runs.retrain(kube, signed_in, watched))
            except receiver.SkippedError as skipped:
                evidence.skip(runs.RETRAINING, str(skipped))
    except (UserError, UnavailableError) as error:
        evidence.add_run(runs.failed("the pipelines on Kubeflow", str(error)))


def training_image(overlay: Path) -> str:
    """Return the image of the training stages that an overlay names."""
    rendered = kubectl("kustomize", str(overlay / TEMPLATE))
    found = re.findall(r"image: (\S+/sentiment-train[@:]\S+)", rendered)
    if not found:
        raise UserError(f"{overlay / TEMPLATE}: it names no image sentiment-train")
    return str(found[0])


def prepare(
    args: argparse.Namespace, overlay: Path, caller: Caller, flags: Sequence[str]
) -> OverlayCopy:
    """Copy an overlay, with the CPUs that the flag asks for."""
    copied = copy_of(overlay, args.directory / "manifests" / overlay.name)
    resources = {"requests": {"cpu": args.cpu}}
    deployment = OverlayCopy(copied, flags, caller, resources)
    deployment.change()
    return deployment


def deploy_second(evidence: Evidence, kube: Kube, second: OverlayCopy) -> None:
    """Deploy another model while the caller asks the first, and ask the other one."""
    service = service_of(render(second.overlay))
    with registry.connected() as client:
        version = champion_of(client, service.registered)
    name = f"{service.registered} beside the first model"
    evidence.add(second.step(name, version, DEPLOYED, canary=False))
    host = find_route(Cluster(service, kube.context)).host
    evidence.add_answers(name, Asked(second.caller.address, host, service.model).ask())


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster_test", description=__doc__)
    add = parser.add_argument
    add("--overlay", type=Path, required=True, help="a folder of manifests/overlays; it is copied")
    add("--second-overlay", type=Path, metavar="FOLDER", help="another model's, beside it")
    add(
        "--only",
        choices=(DEPLOYMENTS, PIPELINES),
        help="leave out the other part; default: both, pipelines where the cluster has Kubeflow",
    )
    add("--first", metavar="N", help="a version in the registry; default: the champion")
    add("--second", metavar="N", help="another one; default: a copy of the first is registered")
    add("--gateway", metavar="ADDRESS", help="default: a forward to Envoy Gateway's Service")
    add("--context", default=os.environ.get("CONTEXT"), help="default: CONTEXT, or the current one")
    add("--rate", type=positive, default=60.0, help="requests a second; default: %(default)g")
    add(
        "--step-seconds",
        type=positive,
        default=60.0,
        help="how long a rollout step is watched; default: %(default)g",
    )
    add("--cpu", default="100m", help="that each predictor requests; default: %(default)s")
    add("--directory", type=Path, default=Path("reports/cluster-test"), help="for the evidence")
    add("deploy_flags", nargs="*", metavar="FLAG", help="of python -m deploy, after --")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    return cli.run("cluster-test", lambda: run(args))


if __name__ == "__main__":
    raise SystemExit(main())
