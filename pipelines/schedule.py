"""Recurring runs on a Kubeflow Pipelines server: one of a name, which says what was said last."""

import logging
from typing import Any

import kfp
import kfp_server_api

from pipelines.client import answered
from pipelines.versions import named

log = logging.getLogger("submit")


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
    same = [each for each in present if _says(each, cron, version, parameters, service_account)]
    if same:
        kept = answered(same[0].recurring_run_id)
        log.info("recurring run %s is there already", kept)
    else:
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
        kept = answered(made.recurring_run_id)
    for each in present:  # one that a stopped submission has left among them
        if each.recurring_run_id != kept:
            client.delete_recurring_run(each.recurring_run_id)
            log.info("recurring run %s is gone, as %s takes its place", each.recurring_run_id, kept)
    return kept


def _says(
    recurring: kfp_server_api.V2beta1RecurringRun,
    cron: str,
    version: kfp_server_api.V2beta1PipelineVersion,
    parameters: dict[str, Any],
    service_account: str | None,
) -> bool:
    """Tell whether a recurring run is what is wanted; the server leaves out what is empty."""
    trigger, reference = recurring.trigger, recurring.pipeline_version_reference
    config = recurring.runtime_config
    return bool(
        recurring.mode == "ENABLE"
        and (trigger and trigger.cron_schedule and trigger.cron_schedule.cron) == cron
        and reference
        and reference.pipeline_version_id == version.pipeline_version_id
        and ((config and config.parameters) or {}) == parameters
        and service_account in (None, recurring.service_account)
    )
