"""Start the workflow retrain on GitHub, which listens for the event drift.

For the receiver of alerts, in place of pipelines.submit where there is no Kubeflow. The token may
write the contents of the repository, and comes from --token-file or GITHUB_TOKEN. GITHUB_API_URL
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
from components.errors import UserError

API = "https://api.github.com"
EVENT = "drift"  # which .github/workflows/retrain.yml takes
WHY = {
    401: "the token is refused; it may have expired",
    403: "the token may not start it: it must be allowed to write contents",
    404: "there is no such repository, or the token does not reach it",
}
# such an event changes nothing by itself, and one that comes twice waits in the workflow's queue
AGAIN = Retry(total=2, backoff_factor=1, status_forcelist=[502, 503, 504], allowed_methods=None)

log = logging.getLogger("dispatch")


def dispatch(api: str, repository: str, token: str) -> None:
    """Send the event.

    Raises:
        UserError: nobody answers, or the answer is not that it was taken.
    """
    url = f"{api}/repos/{repository}/dispatches"
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    with requests.Session() as session:
        session.mount(api, HTTPAdapter(max_retries=AGAIN))
        try:
            answer = session.post(
                url, json={"event_type": EVENT}, headers=headers, timeout=30, allow_redirects=False
            )
        except requests.exceptions.RetryError as error:
            raise UserError(f"{url}: the server is not well; it was asked three times") from error
        except requests.RequestException as error:
            raise UserError(f"{url}: nobody answers there") from error
    if answer.is_redirect:
        raise UserError(f"{url}: moved to {answer.headers['location']}; say the new name")
    if answer.status_code != requests.codes.no_content:
        why = WHY.get(answer.status_code, "not the answer of GitHub's API")
        raise UserError(f"{url}: {answer.status_code}, {why}")
    log.info("%s: the event %s was taken", repository, EVENT)


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
            raise UserError(f"GITHUB_API_URL: {api!r}: say http:// or https://")
        path = args.token_file
        token = (path.read_text() if path else os.environ.get("GITHUB_TOKEN", "")).strip()
        if not token or not token.isascii() or not token.isprintable():
            source = f"--token-file {path}" if path else "GITHUB_TOKEN"
            raise UserError(f"{source}: {'not a token' if token else 'there is no token'}")
        dispatch(api, args.repository, token)

    return cli.run("dispatch", work)


if __name__ == "__main__":
    raise SystemExit(main())
