"""A Prometheus server, asked over its HTTP API."""

import os

import requests

from components.errors import UserError

_SECONDS = 10

Labels = tuple[tuple[str, str], ...]


class Prometheus:
    """A Prometheus server; a bearer token for it can be in PROMETHEUS_TOKEN."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        if token := os.environ.get("PROMETHEUS_TOKEN"):
            self._session.headers["authorization"] = f"Bearer {token}"

    def ask(self, query: str) -> dict[Labels, float]:
        """Return the values of an instant query by their labels.

        Raises:
            UserError: there is no answer, or it is an error.
        """
        try:
            response = self._session.get(
                f"{self._address}/api/v1/query", params={"query": query}, timeout=_SECONDS
            )
            answer = response.json()
        except requests.RequestException as error:
            raise UserError(f"Prometheus at {self._address}: {error}") from error
        if answer["status"] != "success":
            raise UserError(f"Prometheus at {self._address}: {answer['error']}")
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in answer["data"]["result"]
        }
