"""Send reviews to a predictor on this machine in batches, over kept connections."""

import http.client
import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.errors import UnavailableError
from monitoring.settings import NAME

BATCH = 32
PREDICT = f"/v1/models/{NAME}:predict"


class Client:
    """Sends batches of randomly drawn texts over one connection, and counts the texts."""

    def __init__(self, port: int, texts: Sequence[str], seed: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._texts = texts
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self.sent = 0

    def send_batch(self) -> None:
        body = json.dumps({"instances": self._random.choices(self._texts, k=BATCH)})
        self._connection.request("POST", PREDICT, body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise UnavailableError(f"the predictor answers {response.status}: {content[:200]!r}")
        self.sent += BATCH


def send(port: int, texts: Sequence[str], count: int, connections: int = 4) -> float:
    """Send ``count`` texts as fast as the predictor answers; return the duration in seconds."""

    def send_share(seed: int) -> None:
        client = Client(port, texts, seed)
        while client.sent < count / connections:
            client.send_batch()

    started = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send_share, range(connections)))
    return time.monotonic() - started


def send_until(
    done: Callable[[int], bool], port: int, texts: Sequence[str], rate: float, seconds: float
) -> int:
    """Send ``rate`` texts a second until ``done(sent)``, and return how many were sent.

    Raises:
        UnavailableError: it is not done after ``seconds``.
    """
    client = Client(port, texts, seed=0)
    started = time.monotonic()
    while not done(client.sent):
        if time.monotonic() > started + seconds:
            raise UnavailableError(f"no alert after {client.sent} reviews in {seconds:.0f} s")
        client.send_batch()
        time.sleep(max(started + client.sent / rate - time.monotonic(), 0))
    return client.sent
