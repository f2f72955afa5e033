"""Runs on a Kubeflow Pipelines server: started, scheduled, and followed to their end."""

import json
import logging
import time
from typing import Any

import kfp
import kfp_server_api
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from components.errors import StageError

log = logging.getLogger("submit")

POLL_SECONDS = 5
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def named(name: str) -> str:
    """Return the filter, as the API takes it, for things of this display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def address(host: str, run_id: str) -> str:
    return f"{host}/#/runs/details/{run_id}"


def schedule(
    client: kfp.Client,
    name: str,
    cron: str,
    experiment_id: str,
    version: kfp_server_api.V2beta1PipelineVersion,
    parameters: dict[str, Any],
    service_account: str | None,
) -> str:
    """Make a recurring run of this name, in place of those that there are, and return its id.

    One that says the same already stays as it is.
    """
    listed = client.list_recurring_runs(
        experiment_id=experiment_id, filter=named(name), page_size=100
    )
    present = listed.recurring_runs or []
    for each in present:
        if (
            each.mode == "ENABLE"
            and each.trigger.cron_schedule
            and each.trigger.cron_schedule.cron == cron
            and each.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
            and (each.runtime_config.parameters or {}) == parameters
        ):
            log.info("recurring run %s is there already", each.recurring_run_id)
            return str(each.recurring_run_id)
    made = client.create_recurring_run(
        experiment_id=experiment_id,
        job_name=name,
        cron_expression=cron,
        max_concurrency=1,
        no_catchup=True,
        params=parameters,
        pipeline_id=version.pipeline_id,
        version_id=version.pipeline_version_id,
        service_account=service_account,
    )
    for each in present:
        client.delete_recurring_run(each.recurring_run_id)
        log.info("recurring run %s is gone, as the new one takes its place", each.recurring_run_id)
    return str(made.recurring_run_id)


def follow(client: kfp.Client, run_id: str, where: str, timeout: float) -> None:
    """Report the tasks of a run as they go, until it has succeeded.

    Raises:
        StageError: the run failed, and of which task; or it took too long.
    """
    seen: dict[str, str] = {}
    deadline = time.monotonic() + timeout
    while True:
        run = _get(client, run_id)
        if run is not None:
            _report(run, seen)
            if run.state in ENDED:
                break
        if time.monotonic() > deadline:
            raise StageError(
                f"no end after {timeout:.0f} s (--timeout); the run goes on at {where}"
            )
        time.sleep(POLL_SECONDS)
    if run.state != "SUCCEEDED":
        raise StageError(f"the run {str(run.state).lower()}{_blame(run)}: {where}")


def _get(client: kfp.Client, run_id: str) -> V2beta1Run | None:
    """Return the run, or None while the server or a proxy before it is out of order."""
    try:
        return client.get_run(run_id)
    except kfp_server_api.ApiException as error:
        if error.status not in (500, 502, 503, 504):
            raise
        log.warning("the server answers %s; asking again", error.status)
        return None


def _tasks(run: V2beta1Run) -> list[V2beta1PipelineTaskDetail]:
    details = run.run_details.task_details if run.run_details else None
    return [task for task in details or [] if task.state is not None]


def _report(run: V2beta1Run, seen: dict[str, str]) -> None:
    for task in _tasks(run):
        if seen.get(task.task_id) != task.state and not task.display_name.endswith("-driver"):
            seen[task.task_id] = task.state
            log.info("%-28s %s", task.display_name, task.state.lower())


def _blame(run: V2beta1Run) -> str:
    """Name the tasks that failed of themselves, not by those inside them."""
    failed = [task for task in _tasks(run) if task.state == "FAILED"]
    outer = {task.parent_task_id for task in failed}
    names = [
        task.display_name + (f" ({task.error.message})" if task.error else "")
        for task in failed
        if task.task_id not in outer
        and not {child.task_id for child in task.child_tasks or []} & {t.task_id for t in failed}
    ]
    if names:
        return f" in task {', '.join(names)}"
    return f" ({run.error.message})" if run.error else ""
