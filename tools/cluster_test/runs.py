"""Run the pipelines on Kubeflow in the cluster, and find in MLflow what came out of each run."""

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from components.errors import UnavailableError, UserError
from components.io import registry
from components.io.registry import Decision
from monitoring.services import WatchedService
from tools.cluster.kube import Kube
from tools.cluster_test import receiver, samples
from tools.cluster_test.kubeflow import RUN_SECONDS, Server

ACCOUNT = "sentiment-pipeline"  # of the tasks; see manifests/pipelines
LAUNCHER = "kfp-launcher"  # a ConfigMap with the place that tasks may write to
START_SECONDS = 300.0  # from the alert until the receiver's command has submitted a run
POLL_SECONDS = 2.0
TRAINING = "training on Kubeflow"
RETRAINING = "retraining on drift, by an alert posted to the receiver"
_RUN = re.compile(r"^submit: run \S+/runs/details/(\S+)$")
log = logging.getLogger("cluster-test")


@dataclass(frozen=True)
class PipelineRun:
    """A run on Kubeflow, its tasks by name, and the version and the gate's verdict in MLflow.

    ``why`` is the reason of the verdict or, where the run did not pass, of the failure.
    """

    name: str
    passed: bool
    seconds: float
    tasks: dict[str, str]
    model: str
    version: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Ended:
    """How a run ended: its id ("": there was none), and its error ("": it succeeded)."""

    run_id: str
    error: str


def train(kube: Kube, server: Server, image: str, model: str) -> PipelineRun:
    """Submit the training pipeline as a user does, with reviews that were not trained on yet.

    It registers under a name of its own: it must not replace a champion that is served.
    """

    def work() -> Ended:
        launcher = kube.get("configmap", LAUNCHER, server.namespace)
        if launcher is None:
            raise UserError(f"no ConfigMap {LAUNCHER} in the namespace {server.namespace}")
        source = f"{launcher['data']['defaultPipelineRoot']}/cluster-test/reviews.parquet"
        known = _versions(model)
        with samples.uploaded(source, samples.training_reviews()):
            ended = _submit(server, image, f"--param=source={source}", f"--param=name={model}")
        if not ended.error and _versions(model) <= known:
            return Ended(ended.run_id, f"the run registered no version of {model}")
        return ended

    return _proven(TRAINING, "training", server, model, work)


def retrain(kube: Kube, server: Server, service: WatchedService) -> PipelineRun:
    """Make the requests of a service drift, and follow the run that the receiver starts on it.

    The alert is posted to the receiver: the rule in Prometheus would wait for ten minutes. Reviews
    that are at the source of the service already are left alone.

    Raises:
        SkippedError: the receiver has started a run not long ago.
    """
    captured, source = (receiver.parameter(service, name) for name in ("captured", "source"))

    def work() -> Ended:
        requests, reviews = samples.drifted()
        with ExitStack() as stack:
            stack.enter_context(samples.uploaded(f"{captured}cluster-test.jsonl", requests))
            if source.startswith("s3://") and not samples.is_there(source):
                place = f"{source}cluster-test.parquet" if source.endswith("/") else source
                stack.enter_context(samples.uploaded(place, reviews))
            known = server.run_ids(captured)
            receiver.send_alert(kube, service)
            run_id = _await_run(kube, server, captured, known)
            try:
                server.follow("monitoring", run_id)
            except (UserError, UnavailableError) as error:
                return Ended(run_id, str(error))
            return Ended(run_id, "")

    return _proven(RETRAINING, "monitoring", server, service.model, work)


def failed(name: str, why: str) -> PipelineRun:
    """Return a run that could not be started."""
    return PipelineRun(name, False, 0.0, {}, "", "", "", why)


def _proven(
    name: str, pipeline: str, server: Server, model: str, work: Callable[[], Ended]
) -> PipelineRun:
    """Do the work, and return its run with the decision that it has left in MLflow."""
    log.info("%s …", name)
    started, tasks, decision = time.monotonic(), dict[str, str](), None
    try:
        known = len(_decisions(model))
        ended = work()
        why = ended.error
        tasks = server.tasks(pipeline, ended.run_id) if ended.run_id else {}
        if not why:
            decisions = _decisions(model)
            decision = decisions[0] if len(decisions) > known else None
            why = decision.why if decision else f"the run has left no verdict on {model} in MLflow"
    except (UserError, UnavailableError) as error:
        why = str(error)
    version, verdict = (decision.after, decision.outcome) if decision else ("", "")
    seconds = round(time.monotonic() - started, 1)
    return PipelineRun(name, decision is not None, seconds, tasks, model, version, verdict, why)


def _versions(model: str) -> set[str]:
    with registry.connected() as client:
        return {*registry.versions(client, model)}


def _decisions(model: str) -> list[Decision]:
    """Return the decisions on the champion, the newest first."""
    with registry.connected() as client:
        return registry.decisions(client, model)


def _submit(server: Server, image: str, *parameters: str) -> Ended:
    command = [sys.executable, "-m", "pipelines.submit", f"--host={server.address}"]
    command += ["--pipeline=training", f"--image={image}", "--experiment=cluster-test"]
    command += [f"--namespace={server.namespace}", f"--service-account={ACCOUNT}"]
    command += [f"--token-file={server.token_file}", *parameters]
    command += ["--wait", f"--timeout={RUN_SECONDS:g}"]
    run_id, last = "", ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            sys.stderr.write(f"  {line}")
            last = line.strip()
            if match := _RUN.match(last):
                run_id = match[1]
    return Ended(run_id, last.removeprefix("submit: error: ") if process.returncode else "")


def _await_run(kube: Kube, server: Server, captured: str, known: set[str]) -> str:
    """Return the id of the run that the receiver's command has submitted.

    Raises:
        UserError: there is none in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while not (new := server.run_ids(captured) - known):
        if time.monotonic() > deadline:
            why = receiver.last_error(kube, server.namespace)
            raise UserError(f"no run in {START_SECONDS:.0f} s after the alert: {why}")
        time.sleep(POLL_SECONDS)
    return new.pop()
