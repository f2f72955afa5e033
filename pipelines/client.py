"""A client of a Kubeflow Pipelines server, and its errors in one line."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import requests
import urllib3
from kfp.client import ServiceAccountTokenVolumeCredentials
from requests.utils import get_environ_proxies, select_proxy

from components.errors import UserError
from pipelines import ir

log = logging.getLogger("submit")

REFUSED = (
    "the server refuses the credentials; token or session may have expired, or there is none"
    " (--token-file, KFP_TOKEN, KFP_COOKIE)"
)
IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(host: str, namespace: str | None, token_file: Path | None) -> kfp.Client:
    """Return a client of the server, once it is seen to be one and to let us in.

    Raises:
        UserError: nobody answers, it is another kind of server, or the credentials are refused.
    """
    given: dict[str, Any] = {"namespace": namespace} if namespace else {}
    given["ssl_ca_cert"] = os.environ.get("REQUESTS_CA_BUNDLE")
    # as the first request takes it, and as the client by itself does not
    given["proxy"] = select_proxy(host, get_environ_proxies(host))
    headers = {}
    token, cookie = os.environ.get("KFP_TOKEN"), os.environ.get("KFP_COOKIE")
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except OSError as error:
            raise UserError(f"--token-file {token_file}: {error.strerror}") from error
        # read again for each request, as a cluster renews it
        given["credentials"] = ServiceAccountTokenVolumeCredentials(path=str(token_file))
    elif token:
        given["existing_token"] = token
    if token:
        headers["authorization"] = f"Bearer {token}"
    if cookie:
        headers["cookie"] = given["cookies"] = cookie
    health = _health(host, headers)
    if health.get("multi_user") and not namespace and not IN_POD.exists():
        raise UserError(f"--namespace: {host} serves several users; say whose")
    return kfp.Client(host=host, **given)


def _health(host: str, headers: dict[str, str]) -> dict[str, Any]:
    """Ask once: the client itself asks five times, and takes a login page for an answer."""
    url = f"{host}/apis/v2beta1/healthz"
    try:
        answer = requests.get(url, headers=headers, timeout=30, allow_redirects=False)
    except requests.exceptions.SSLError as error:
        message = "its certificate is not trusted; see REQUESTS_CA_BUNDLE"
        raise UserError(f"--host {host}: {message}") from error
    except requests.RequestException as error:
        raise UserError(f"--host {host}: nobody answers there") from error
    if answer.headers.get("location", "").startswith(host.replace("http://", "https://", 1)):
        raise UserError(f"--host {host}: it wants https://")
    if answer.status_code in (401, 403) or answer.is_redirect:
        raise UserError(f"--host {host}: {REFUSED}")
    try:
        health = answer.json() if answer.ok else None
    except requests.JSONDecodeError:
        health = None
    if not isinstance(health, dict):
        status = answer.status_code
        raise UserError(f"--host {host}: not a Kubeflow Pipelines API, {status} for {url}")
    return health


def answered(identifier: str | None) -> str:
    """Return an identifier that the server gave; none comes with a login page that answers 200."""
    if identifier is None:
        raise UserError(REFUSED)
    return identifier


@contextmanager
def one_line(host: str) -> Iterator[None]:
    """Turn what the client raises, in the block, into an error that says what to do."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status == 401:
            raise UserError(f"--host {host}: {REFUSED}") from error
        raise UserError(f"--host {host}: {error.status}, {_said(error)}") from error
    except urllib3.exceptions.HTTPError as error:
        raise UserError(f"--host {host}: nobody answers any more") from error


def _said(error: kfp_server_api.ApiException) -> str:
    """Return the first line of the server's own words."""
    try:
        body = json.loads(error.body)
        said = str(body.get("message") or body.get("error") or error.reason)
    except (TypeError, ValueError, AttributeError):
        said = str(error.reason)
    return said.strip().partition("\n")[0]


def named(name: str) -> str:
    """Return the filter, as the API takes it, for things of this display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def find(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> tuple[str | None, kfp_server_api.V2beta1PipelineVersion | None]:
    """Return the id of the pipeline on the server, and its version of this content, if any."""
    name = ir.name(documents)
    found = client.list_pipelines(filter=named(name), namespace=namespace).pipelines
    if not found:
        return None, None
    pipeline_id = found[0].pipeline_id
    wanted = named(ir.version(documents))
    versions = client.list_pipeline_versions(pipeline_id, filter=wanted).pipeline_versions
    return pipeline_id, versions[0] if versions else None


def upload(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> kfp_server_api.V2beta1PipelineVersion:
    """Return the server's version of this content, new only if there was none."""
    try:
        return _upload(client, documents, namespace)
    except kfp_server_api.ApiException as error:
        if error.status != 409:
            raise
        log.info("another submission makes the same; looking again")
        return _upload(client, documents, namespace)


def _upload(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> kfp_server_api.V2beta1PipelineVersion:
    pipeline_id, version = find(client, documents, namespace)
    if version is not None:
        log.info("version %s is there already", version.display_name)
        return version
    if pipeline_id is None:
        info = documents[0]["pipelineInfo"]
        pipeline = kfp_server_api.V2beta1Pipeline(
            display_name=info["name"], description=info.get("description"), namespace=namespace
        )
        made = client.pipelines.pipeline_service_create_pipeline(pipeline=pipeline)
        pipeline_id = answered(made.pipeline_id)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        version = client.upload_pipeline_version(
            str(path), ir.version(documents), pipeline_id=pipeline_id
        )
    answered(version.pipeline_version_id)
    log.info("uploaded version %s", ir.version(documents))
    return version


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
