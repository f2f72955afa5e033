"""A client of Prometheus's HTTP API."""

import os

import requests

from components.errors import UnavailableError, UserError

TIMEOUT_SECONDS = 10

Labels = tuple[tuple[str, str], ...]


class Prometheus:
    """A Prometheus server; the environment may hold a bearer token in PROMETHEUS_TOKEN."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        if token := os.environ.get("PROMETHEUS_TOKEN"):
            self._session.headers["authorization"] = f"Bearer {token}"

    def ask(self, query: str) -> dict[Labels, float]:
        """Return the values of an instant query by their labels.

        Raises:
            UserError: the address is not of a Prometheus, or it refuses the query or the token.
            UnavailableError: there is no response, or one of status 5xx.
        """
        url, server = f"{self._address}/api/v1/query", f"Prometheus at {self._address}"
        try:
            response = self._session.get(url, params={"query": query}, timeout=TIMEOUT_SECONDS)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise UnavailableError(f"{server}: {error}") from error
        except requests.RequestException as error:  # an address that is none
            raise UserError(f"{server}: {error}") from error
        status = f"{server}: status {response.status_code}"
        try:
            answer = response.json()
            result = answer["data"]["result"] if response.ok else None
            message = f"{status}, {answer['error']}" if result is None else ""
        except (requests.JSONDecodeError, KeyError, TypeError):
            result, message = None, f"{status}, and no answer of Prometheus's API"
        if result is None:
            unavailable = response.status_code >= requests.codes.server_error
            raise (UnavailableError if unavailable else UserError)(message)
        return {
            tuple(sorted(series["metric"].items())): float(series["value"][1]) for series in result
        }
