"""Start the workflow retrain on GitHub by the event drift.

The receiver of alerts runs this instead of pipelines.submit where there is no Kubeflow. The token,
from --token-file or GITHUB_TOKEN, needs write access to the repository's contents. GITHUB_API_URL
names another server than github.com.
"""

import argparse
import logging
import os
import re
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from components import cli
from components.errors import UnavailableError, UserError
from components.io.files import read_argument

API = "https://api.github.com"
EVENT = "drift"  # which .github/workflows/retrain.yml takes
REFUSALS = {
    401: "the token is refused; it may have expired",
    403: "the token may not start the workflow: it needs write access to contents",
    404: "there is no such repository, or the token has no access to it",
}
# a repeated event is harmless: the workflow queues its runs
RETRIES = Retry(total=2, backoff_factor=1, status_forcelist=[502, 503, 504], allowed_methods=None)

log = logging.getLogger("dispatch")


def dispatch(api: str, repository: str, token: str) -> None:
    """Send the event.

    Raises:
        UnavailableError: GitHub cannot be reached, or fails.
        UserError: GitHub refuses the token or the repository, or another server responds.
    """
    url = f"{api}/repos/{repository}/dispatches"
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    with requests.Session() as session:
        session.mount(api, HTTPAdapter(max_retries=RETRIES))
        try:
            response = session.post(
                url, json={"event_type": EVENT}, headers=headers, timeout=30, allow_redirects=False
            )
        except requests.exceptions.RetryError as error:
            raise UnavailableError(f"{url}: the server failed three times; try later") from error
        except requests.RequestException as error:
            raise UnavailableError(f"{url}: no response ({_cause(error)})") from error
    status = response.status_code
    if status >= 500 or status == requests.codes.too_many_requests:
        raise UnavailableError(f"{url}: {status}; try later")
    if response.is_redirect:
        raise UserError(f"{url}: moved to {response.headers['location']}; give the new name")
    if status != requests.codes.no_content:
        raise UserError(f"{url}: {status}, {REFUSALS.get(status, 'not a response of GitHub')}")
    log.info("%s: GitHub has taken the event %s", repository, EVENT)


def _cause(error: BaseException) -> str:
    """Return the operating system's words for a failed connection, where there are any."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def repository(text: str) -> str:
    if not re.fullmatch(r"[\w-]+/[\w.-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/NAME")
    return text


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dispatch", description=__doc__)
    parser.add_argument("--repository", required=True, type=repository, metavar="OWNER/NAME")
    parser.add_argument("--token-file", type=Path, help="default: the environment, GITHUB_TOKEN")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        api = os.environ.get("GITHUB_API_URL", API).rstrip("/")
        if not api.startswith(("http://", "https://")):
            raise UserError(f"GITHUB_API_URL: {api!r} begins with neither http:// nor https://")
        path = args.token_file
        token = (
            read_argument("--token-file", path)
            if path
            else os.environ.get("GITHUB_TOKEN", "").strip()
        )
        if not token or not token.isascii() or not token.isprintable():
            source = f"--token-file {path}" if path else "GITHUB_TOKEN"
            raise UserError(f"{source}: {'not a token' if token else 'there is no token'}")
        dispatch(api, args.repository, token)

    return cli.run("dispatch", work)


if __name__ == "__main__":
    raise SystemExit(main())
