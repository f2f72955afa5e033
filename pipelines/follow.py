"""Runs on a Kubeflow Pipelines server, followed to their end."""

import logging
import time

import kfp
import kfp_server_api
import urllib3
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from components.errors import UserError
from pipelines.client import answered

log = logging.getLogger("submit")

POLL_SECONDS = 5
REQUEST_SECONDS = 30
PATIENCE_SECONDS = 300  # with a server that does not answer
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def address(host: str, run_id: str) -> str:
    return f"{host}/#/runs/details/{run_id}"


def follow(
    client: kfp.Client, run_id: str, where: str, timeout: float, tasks: dict[str, str]
) -> None:
    """Report the tasks of a run as they go, until it has succeeded.

    ``tasks`` are the names to show by the names in the IR.

    Raises:
        UserError: the run failed, and of which task; or it took too long.
    """
    seen: dict[str, str] = {}
    started = answer = time.monotonic()
    while True:
        run = _get(client, run_id)
        now = time.monotonic()
        if run is not None:
            answer = now
            _report(run, seen, tasks)
            if run.state in ENDED:
                break
        if now - started > timeout:
            raise UserError(f"no end after {timeout:.0f} s (--timeout); the run goes on at {where}")
        if now - answer > PATIENCE_SECONDS:
            raise UserError(f"no answer for {PATIENCE_SECONDS} s; the run goes on at {where}")
        time.sleep(POLL_SECONDS)
    if run.state != "SUCCEEDED":
        raise UserError(f"the run {str(run.state).lower()}{_blame(run, tasks)}: {where}")


def _get(client: kfp.Client, run_id: str) -> V2beta1Run | None:
    """Return the run, or None while the server or a proxy before it is out of order."""
    try:
        run = client.runs.run_service_get_run(run_id, _request_timeout=REQUEST_SECONDS)
    except kfp_server_api.ApiException as error:
        if error.status not in (500, 502, 503, 504):
            raise
        log.warning("the server answers %s; asking again", error.status)
        return None
    except urllib3.exceptions.HTTPError:
        log.warning("the server does not answer; asking again")
        return None
    answered(run.run_id)
    return run


def _tasks(run: V2beta1Run, tasks: dict[str, str]) -> list[tuple[str, V2beta1PipelineTaskDetail]]:
    """Return the tasks of the IR among the server's nodes, each with the name to show.

    A server lists drivers, loops and the container of each task (``executor``) beside the tasks.
    Where no node has a name of the IR, all are returned.
    """
    details = run.run_details.task_details if run.run_details else None
    nodes = [node for node in details or [] if node.state is not None]
    known = {**tasks, **{shown: shown for shown in tasks.values()}}
    found = [(known[n.display_name], n) for n in nodes if n.display_name in known]
    return found or [(node.display_name, node) for node in nodes]


def _report(run: V2beta1Run, seen: dict[str, str], tasks: dict[str, str]) -> None:
    for shown, task in _tasks(run, tasks):
        if seen.get(task.task_id) != task.state:
            seen[task.task_id] = task.state
            log.info("%-28s %s", shown, task.state.lower())


def _blame(run: V2beta1Run, tasks: dict[str, str]) -> str:
    failed = [
        shown + (f" ({task.error.message})" if task.error and task.error.message else "")
        for shown, task in _tasks(run, tasks)
        if task.state == "FAILED"
    ]
    if failed:
        return f" in task {', '.join(dict.fromkeys(failed))}"
    return f" ({run.error.message})" if run.error else ""
