"""Connect to a Kubeflow Pipelines server, upload pipeline versions and schedule runs."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import requests
import urllib3
from kfp.client import ServiceAccountTokenVolumeCredentials
from kfp_server_api import V2beta1PipelineVersion, V2beta1Run
from requests.utils import get_environ_proxies, select_proxy

from components.errors import UnavailableError, UserError
from components.io.files import read_argument
from pipelines import ir

log = logging.getLogger("submit")

REFUSED = (
    "the server refuses the credentials; the token or session may have expired, or there is none"
    " (--token-file, KFP_TOKEN, KFP_COOKIE)"
)
IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
HEALTH_SECONDS = 20  # less than the timeout of a scrape, in which the exporter connects
LEAST = (2, 16)  # older servers refuse a task that says that it does not run as root


@dataclass(frozen=True)
class Schedule:
    """A recurring run; ``cron`` has six fields, seconds first."""

    name: str
    cron: str
    parameters: dict[str, Any]
    service_account: str | None


def connect(host: str, namespace: str | None, token_file: Path | None) -> kfp.Client:
    """Return a client of the server, after one request that checks host and credentials.

    Raises:
        UserError: the server is of another kind or too old, refuses the credentials, needs a
            namespace or would ignore it.
        UnavailableError: the server does not respond, or answers 5xx.
    """
    arguments: dict[str, Any] = {"namespace": namespace} if namespace else {}
    arguments["ssl_ca_cert"] = os.environ.get("REQUESTS_CA_BUNDLE")
    # requests reads the proxy from the environment, and kfp.Client does not
    arguments["proxy"] = select_proxy(host, get_environ_proxies(host))
    headers = {}
    token, cookie = os.environ.get("KFP_TOKEN"), os.environ.get("KFP_COOKIE")
    if token_file is not None:
        token = read_argument("--token-file", token_file)
        # reads the file for each request, as a cluster renews the token
        arguments["credentials"] = ServiceAccountTokenVolumeCredentials(path=str(token_file))
    elif token:
        arguments["existing_token"] = token
    if token:
        headers["authorization"] = f"Bearer {token}"
    if cookie:
        headers["cookie"] = arguments["cookies"] = cookie
    health = _check_health(host, headers)
    version = re.match(r"v?(\d+)\.(\d+)", str(health.get("tag_name")))  # or "unknown"
    if version and (int(version[1]), int(version[2])) < LEAST:
        tag, least = health["tag_name"], ".".join(map(str, LEAST))
        raise UserError(f"--host {host}: Kubeflow Pipelines {tag}; {least} or newer is needed")
    if health.get("multi_user") and not namespace and not IN_POD.exists():
        raise UserError(f"--namespace: {host} serves several users; name the namespace of one")
    if namespace and not health.get("multi_user"):
        raise UserError(
            f"--namespace {namespace}: {host} serves one user and would run everything in its own"
            " namespace, without the secret and service account of this one; install Kubeflow"
            " Pipelines for several users (docs/kubeflow.md) or leave out --namespace"
        )
    return kfp.Client(host=host, **arguments)


def _check_health(host: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return the server's health, by one request.

    The client itself would send five, and take the HTML of a login page for health.
    """
    url = f"{host}/apis/v2beta1/healthz"
    try:
        response = requests.get(url, headers=headers, timeout=HEALTH_SECONDS, allow_redirects=False)
    except requests.exceptions.SSLError as error:
        message = "its certificate is not trusted; see REQUESTS_CA_BUNDLE"
        raise UserError(f"--host {host}: {message}") from error
    except requests.exceptions.InvalidURL as error:
        raise UserError(f"--host {host}: not an address ({error})") from error
    except requests.RequestException as error:
        raise UnavailableError(f"--host {host}: no response ({_root_cause(error)})") from error
    status = response.status_code
    if response.headers.get("location", "").startswith(host.replace("http://", "https://", 1)):
        raise UserError(f"--host {host}: the server redirects to https://; use that address")
    if status in (401, 403) or response.is_redirect:
        raise UserError(f"--host {host}: {REFUSED}")
    if _is_outage(status):
        raise UnavailableError(f"--host {host}: the server answers {status} for {url}")
    try:
        health = response.json() if response.ok else None
    except requests.JSONDecodeError:
        health = None
    if not isinstance(health, dict):
        raise UserError(f"--host {host}: not a Kubeflow Pipelines API, {status} for {url}")
    return health


def require_id(identifier: str | None) -> str:
    """Return the identifier that the server gave.

    Raises:
        UserError: the answer has none: a proxy answered with a login page and status 200.
    """
    if identifier is None:
        raise UserError(REFUSED)
    return identifier


@contextmanager
def client_errors(host: str) -> Iterator[None]:
    """Turn the exceptions of the client's libraries into a UserError or an UnavailableError."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status == 401:
            raise UserError(f"--host {host}: {REFUSED}") from error
        kind = UnavailableError if _is_outage(error.status) else UserError
        raise kind(f"--host {host}: {error.status}, {_server_message(error)}") from error
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(f"--host {host}: no response ({_root_cause(error)})") from error


def run_state(run: V2beta1Run) -> str:
    """Return the state of a run in lower case.

    The server leaves out the state of a new run, and ends a terminated run as failed.
    """
    if run.state == "FAILED" and "CANCELING" in [each.state for each in run.state_history or []]:
        return "canceled"
    return str(run.state or "PENDING").lower()


def _is_outage(status: int | None) -> bool:
    return status is not None and (status == 429 or status >= 500)


def _root_cause(error: BaseException) -> str:
    """Return the message of the first exception in the chain, such as "connection refused"."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    message = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return message[:1].lower() + message[1:]


def _server_message(error: kfp_server_api.ApiException) -> str:
    """Return the first line of the server's message; an upload has it as ``error_message``."""
    try:
        body = json.loads(error.body)
        keys = ("message", "error_message", "error")  # the last is that of a proxy
        message = str(next(filter(None, map(body.get, keys)), error.reason))
    except (TypeError, ValueError, AttributeError):
        message = str(error.reason)
    return message.strip().partition("\n")[0]


def find_version(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> tuple[str | None, V2beta1PipelineVersion | None]:
    """Return the id of the pipeline on the server, and its version of this content, if any."""
    pipelines = client.list_pipelines(filter=_name_filter(ir.name(documents)), namespace=namespace)
    if not pipelines.pipelines:
        return None, None
    pipeline_id = pipelines.pipelines[0].pipeline_id
    with_name = _name_filter(ir.version(documents))
    versions = client.list_pipeline_versions(pipeline_id, filter=with_name).pipeline_versions
    return pipeline_id, versions[0] if versions else None


def upload_version(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> V2beta1PipelineVersion:
    """Return the server's version of this content, and upload it if there is none."""
    try:
        return _upload(client, documents, namespace)
    except kfp_server_api.ApiException as error:
        if error.status != 409:
            raise
        log.info("another submission uploads the same version; looking for it")
        return _upload(client, documents, namespace)


def _upload(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> V2beta1PipelineVersion:
    pipeline_id, version = find_version(client, documents, namespace)
    if version is not None:
        log.info("the server has version %s already", version.display_name)
        return version
    if pipeline_id is None:
        info = documents[0]["pipelineInfo"]
        pipeline = kfp_server_api.V2beta1Pipeline(
            display_name=info["name"], description=info.get("description"), namespace=namespace
        )
        created = client.pipelines.pipeline_service_create_pipeline(pipeline=pipeline)
        pipeline_id = require_id(created.pipeline_id)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        version = client.upload_pipeline_version(
            str(path), ir.version(documents), pipeline_id=pipeline_id
        )
    require_id(version.pipeline_version_id)
    log.info("uploaded version %s", ir.version(documents))
    return version


def schedule_runs(
    client: kfp.Client,
    experiment_id: str,
    version: V2beta1PipelineVersion,
    schedule: Schedule,
) -> str:
    """Replace the recurring runs of this name by one of ``schedule``, and return its id.

    A recurring run that is equal to ``schedule`` stays.
    """
    listed = client.list_recurring_runs(
        experiment_id=experiment_id, filter=_name_filter(schedule.name), page_size=100
    )
    present = listed.recurring_runs or []
    equal = [run for run in present if _is_equal(run, version, schedule)]
    if equal:
        kept = require_id(equal[0].recurring_run_id)
        log.info("the server has recurring run %s already", kept)
    else:
        created = client.create_recurring_run(
            experiment_id=experiment_id,
            job_name=schedule.name,
            cron_expression=schedule.cron,
            max_concurrency=1,
            no_catchup=True,
            params=schedule.parameters,
            pipeline_id=version.pipeline_id,
            version_id=version.pipeline_version_id,
            service_account=schedule.service_account,
        )
        kept = require_id(created.recurring_run_id)
    for run in present:  # more than one where an earlier submission was stopped half-way
        if run.recurring_run_id != kept:
            client.delete_recurring_run(run.recurring_run_id)
            log.info("deleted recurring run %s; %s replaces it", run.recurring_run_id, kept)
    return kept


def _is_equal(
    run: kfp_server_api.V2beta1RecurringRun,
    version: V2beta1PipelineVersion,
    schedule: Schedule,
) -> bool:
    """Tell whether a recurring run is that of ``schedule``; the server leaves out empty fields."""
    trigger, reference, config = run.trigger, run.pipeline_version_reference, run.runtime_config
    return bool(
        run.mode == "ENABLE"
        and (trigger and trigger.cron_schedule and trigger.cron_schedule.cron) == schedule.cron
        and reference
        and reference.pipeline_version_id == version.pipeline_version_id
        and ((config and config.parameters) or {}) == schedule.parameters
        and schedule.service_account in (None, run.service_account)
    )


def _name_filter(name: str) -> str:
    """Return the API's filter for objects of this display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})
