"""Follow a run on a Kubeflow Pipelines server to its end."""

import logging
import time

import kfp
import kfp_server_api
import urllib3
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from components.errors import UnavailableError, UserError
from pipelines.client import require_id

log = logging.getLogger("submit")

POLL_SECONDS = 5
REQUEST_SECONDS = 30
SILENCE_SECONDS = 300  # without an answer of the server, before following ends
FINAL_STATES = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def run_url(host: str, run_id: str) -> str:
    return f"{host}/#/runs/details/{run_id}"


def follow(
    client: kfp.Client, run_id: str, url: str, timeout: float, tasks: dict[str, str]
) -> None:
    """Log the state of each task of a run until the run has succeeded.

    ``tasks`` has display names by the names in the IR, ``timeout`` is in seconds.

    Raises:
        UserError: the run failed, was cancelled, or did not end within ``timeout``.
        UnavailableError: the server did not answer for ``SILENCE_SECONDS``.
    """
    states: dict[str, str] = {}
    started = answered = time.monotonic()
    while True:
        run = _get(client, run_id)
        now = time.monotonic()
        if run is not None:
            answered = now
            _log_changes(run, states, tasks)
            if run.state in FINAL_STATES:
                break
        if now - started > timeout:
            message = f"the run has not ended after {timeout:.0f} s (--timeout)"
            raise UserError(f"{message}; it continues at {url}")
        if now - answered > SILENCE_SECONDS:
            message = f"no answer of the server for {SILENCE_SECONDS} s"
            raise UnavailableError(f"{message}; the run continues at {url}")
        time.sleep(POLL_SECONDS)
    if run.state != "SUCCEEDED":
        raise UserError(f"the run {str(run.state).lower()}{_failed_tasks(run, tasks)}: {url}")


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


def _tasks(run: V2beta1Run, tasks: dict[str, str]) -> list[tuple[str, V2beta1PipelineTaskDetail]]:
    """Return the server's nodes that are tasks of the IR, each with its display name.

    A server also lists drivers, loops and the container of each task (``executor``). Where no
    node has a name of the IR, all nodes are returned.
    """
    details = run.run_details.task_details if run.run_details else None
    nodes = [node for node in details or [] if node.state is not None]
    known = {**tasks, **{shown: shown for shown in tasks.values()}}
    of_ir = [(known[node.display_name], node) for node in nodes if node.display_name in known]
    return of_ir or [(node.display_name, node) for node in nodes]


def _log_changes(run: V2beta1Run, states: dict[str, str], tasks: dict[str, str]) -> None:
    for name, task in _tasks(run, tasks):
        if states.get(task.task_id) != task.state:
            states[task.task_id] = task.state
            log.info("%-28s %s", name, task.state.lower())


def _failed_tasks(run: V2beta1Run, tasks: dict[str, str]) -> str:
    failed = [
        name + (f" ({task.error.message})" if task.error and task.error.message else "")
        for name, task in _tasks(run, tasks)
        if task.state == "FAILED"
    ]
    if failed:
        return f" in task {', '.join(dict.fromkeys(failed))}"
    return f" ({run.error.message})" if run.error else ""
