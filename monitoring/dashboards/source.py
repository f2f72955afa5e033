"""A Prometheus that is asked a dashboard's queries, as Grafana would."""

import re
import time
from typing import Any

import numpy as np
import requests

from components.errors import UserError

POINTS = 150  # of a line


class Source:
    """A Prometheus, asked about the last ``minutes``."""

    def __init__(self, address: str, minutes: int) -> None:
        self._address = address.rstrip("/")
        self._end = time.time()
        self._step = minutes * 60 / POINTS
        self._start = self._end - minutes * 60
        own = {"__rate_interval": f"{max(4 * self._step, 20):.0f}s", "__range": f"{minutes}m"}
        self._values = own | {"namespace": "sentiment", "predictor": ".*"}

    def now(self, expr: str) -> list[dict[str, Any]]:
        return self._ask("query", expr, time=self._end)

    def over_time(self, expr: str) -> list[tuple[dict[str, str], np.ndarray, np.ndarray]]:
        """Return labels, minutes before now and values of each series."""
        found = self._ask("query_range", expr, start=self._start, end=self._end, step=self._step)
        series = []
        for each in found:
            at, values = np.array(each["values"], float).T
            series.append((each["metric"], self.minutes(at), values))
        return series

    def minutes(self, at: Any) -> Any:
        """Return how many minutes a time, or an array of them, lies from the end."""
        return (at - self._end) / 60

    def _ask(self, path: str, expr: str, **when: float) -> list[dict[str, Any]]:
        query = re.sub(r"\$(\w+)", lambda name: self._values[name[1]], expr)
        url = f"{self._address}/api/v1/{path}"
        try:
            answer = requests.post(url, {"query": query, **when}, timeout=30)
        except requests.RequestException as error:
            raise UserError(f"--prometheus {self._address}: nobody answers there") from error
        if not answer.ok:
            raise UserError(f"--prometheus {self._address}: {answer.status_code} for {query}")
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result
