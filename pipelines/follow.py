"""Follow a run on a Kubeflow Pipelines server to its end.

The server lists the nodes of Argo's workflow: besides tasks also drivers, groups and pods, each as
``name`` and as ``name(0)``, and no reasons. It shows no more of a workflow whose status has grown
beyond 1 MiB.
"""

import logging
import time

import kfp
import kfp_server_api
import urllib3
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from components.errors import UnavailableError, UserError
from pipelines import reasons
from pipelines.client import require_id, run_state

log = logging.getLogger("submit")

POLL_SECONDS = 5
REQUEST_SECONDS = 30
SILENCE_SECONDS = 300  # without an answer of the server, before following ends
STALL_SECONDS = 120  # without a change of a task, before a pod that waits is reported
FINAL_STATES = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def run_url(host: str, run_id: str) -> str:
    return f"{host}/#/runs/details/{run_id}"


def follow(
    client: kfp.Client,
    run_id: str,
    url: str,
    timeout: float,
    tasks: dict[str, str],
    namespace: str | None,
) -> None:
    """Log the state of each task of a run until the run has succeeded.

    ``tasks`` has display names by the names in the IR, ``timeout`` is in seconds.

    Raises:
        UserError: the run failed, was canceled, or did not end within ``timeout``.
        UnavailableError: the server did not answer for ``SILENCE_SECONDS``.
    """
    states: dict[str, str] = {}
    told: set[str] = set()  # a failed attempt stays in the list to the end of the run
    started = answered = changed = time.monotonic()
    while True:
        run = _get(client, run_id)
        now = time.monotonic()
        if run is not None:
            answered = now
            if _log_changes(run, states, tasks):
                changed = now
            if run.state in FINAL_STATES:
                break
            waiting = _waiting(run) - told
            if now - changed > STALL_SECONDS and waiting:
                message = (
                    "a pod waits or was tried again, or the server has stopped listing tasks;"
                    " the events show why: %s"
                )
                log.warning(message, reasons.commands(run_id, namespace))
                told |= waiting
                changed = now
        if now - started > timeout:
            message = f"the run has not ended after {timeout:.0f} s (--timeout)"
            raise UserError(f"{message}; it continues at {url}")
        if now - answered > SILENCE_SECONDS:
            message = f"no answer of the server for {SILENCE_SECONDS} s"
            raise UnavailableError(f"{message}; the run continues at {url}")
        time.sleep(POLL_SECONDS)
    if any(node.state in ("PENDING", "RUNNING") for node in _nodes(run)):
        message = "the server has not listed all tasks of this run; the cluster has them: %s"
        log.warning(message, reasons.commands(run_id, namespace))
    state = run_state(run)
    if state == "failed":
        raise UserError(_failure(run, tasks, url, namespace))
    if state != "succeeded":
        raise UserError(f"the run was {state}: {url}")


def _failure(run: V2beta1Run, tasks: dict[str, str], url: str, namespace: str | None) -> str:
    """Return the message of a failed run: its failed tasks, the reason or where it stands."""
    failed = [name for name, task in _tasks(run, tasks) if task.state == "FAILED"]
    where = f" in task {', '.join(dict.fromkeys(failed))}" if failed else ""
    reason = reasons.find(run.run_id, namespace)
    if reason is not None:
        return f"the run failed{where} ({reason}): {url}"
    return (
        f"the run failed{where}: {url}; for the reason: {reasons.commands(run.run_id, namespace)}"
    )


def task_states(run: V2beta1Run, tasks: dict[str, str]) -> dict[str, str]:
    """Return the states of the tasks that the server lists, by display name, in lower case."""
    return {name: node.state.lower() for name, node in _tasks(run, tasks)}


def _get(client: kfp.Client, run_id: str) -> V2beta1Run | None:
    """Return the run, or None while the server or a proxy before it fails."""
    try:
        run = client.runs.run_service_get_run(run_id, _request_timeout=REQUEST_SECONDS)
    except kfp_server_api.ApiException as error:
        if error.status not in (500, 502, 503, 504):
            raise
        log.warning("the server answers %s; trying again", error.status)
        return None
    except urllib3.exceptions.HTTPError:
        log.warning("the server does not answer; trying again")
        return None
    require_id(run.run_id)
    return run


def _nodes(run: V2beta1Run) -> list[V2beta1PipelineTaskDetail]:
    details = run.run_details.task_details if run.run_details else None
    return [node for node in details or [] if node.state is not None]


def _waiting(run: V2beta1Run) -> set[str]:
    """Return the ids of a running run's nodes that wait, or failed and are tried again."""
    return {node.task_id for node in _nodes(run) if node.state in ("PENDING", "FAILED")}


def _tasks(run: V2beta1Run, tasks: dict[str, str]) -> list[tuple[str, V2beta1PipelineTaskDetail]]:
    """Return the nodes that are tasks of the IR, each with its display name."""
    known = {**tasks, **{shown: shown for shown in tasks.values()}}
    return [(known[node.display_name], node) for node in _nodes(run) if node.display_name in known]


def _log_changes(run: V2beta1Run, states: dict[str, str], tasks: dict[str, str]) -> bool:
    """Log each task whose state has changed, and return whether there is one."""
    changed = [each for each in _tasks(run, tasks) if states.get(each[1].task_id) != each[1].state]
    for name, task in changed:
        states[task.task_id] = task.state
        log.info("%-28s %s", name, task.state.lower())
    return bool(changed)
