"""Reviews sent to a predictor in batches, over connections that are kept."""

import http.client
import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.errors import UserError

BATCH = 32
PREDICT = "/v1/models/sentiment:predict"


class Caller:
    """One connection that sends texts drawn by chance, and counts them."""

    def __init__(self, port: int, texts: Sequence[str], seed: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._texts = texts
        self._random = random.Random(seed)  # noqa: S311 - no secret hangs on it
        self.sent = 0

    def batch(self) -> None:
        body = json.dumps({"instances": self._random.choices(self._texts, k=BATCH)})
        self._connection.request("POST", PREDICT, body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise UserError(f"the predictor answers {response.status}: {answer[:200]!r}")
        self.sent += BATCH


def send(port: int, texts: Sequence[str], count: int, connections: int = 4) -> float:
    """Send ``count`` texts as fast as they are answered, and return the seconds that it took."""

    def call(number: int) -> None:
        caller = Caller(port, texts, number)
        while caller.sent < count / connections:
            caller.batch()

    started = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(call, range(connections)))
    return time.monotonic() - started


def send_until(
    done: Callable[[int], bool], port: int, texts: Sequence[str], rate: float, seconds: float
) -> int:
    """Send texts at ``rate`` a second until ``done``, told how many were sent; return how many."""
    caller = Caller(port, texts, 0)
    started = time.monotonic()
    while not done(caller.sent):
        if time.monotonic() > started + seconds:
            raise UserError(f"nothing has come of {caller.sent} reviews in {seconds:.0f} s")
        caller.batch()
        time.sleep(max(started + caller.sent / rate - time.monotonic(), 0))
    return caller.sent
