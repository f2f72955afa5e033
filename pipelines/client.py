"""A client of a Kubeflow Pipelines server, and its errors in one line."""

import json
import os
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
