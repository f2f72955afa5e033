"""Send requests through the gateway at a steady rate, and count each answer."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from tools.cluster.forward import Forward

REVIEW = "A warm, funny film."
WORKERS = 16
NO_ANSWER = 0
# kubectl ended while the request was under way: this says nothing about the gateway
NOT_COUNTED = -1


@dataclass
class Caller:
    """Sends ``rate`` requests a second to ``path`` and counts the answers.

    ``forward`` is the forward of a port to the gateway, where ``address`` is its local end.
    """

    address: str
    host: str
    path: str
    rate: float
    forward: Forward | None = None
    _answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self) -> Counter[tuple[int, str]]:
        """Return the answers so far, by status and version."""
        with self._lock:
            return Counter(self._answers)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Send requests while the block runs; raise a sender's error at its end."""
        done = threading.Event()

        def send(number: int) -> None:
            with requests.Session() as session:
                session.trust_env = False  # no proxy
                due = time.monotonic() + number / self.rate
                while not done.wait(max(due - time.monotonic(), 0)):
                    answer = self._ask(session)
                    with self._lock:
                        self._answers[answer] += 1
                    due += WORKERS / self.rate

        with ThreadPoolExecutor(WORKERS) as pool:
            senders = [pool.submit(send, number) for number in range(WORKERS)]
            try:
                yield
            finally:
                done.set()
            for sender in senders:
                sender.result()

    def _ask(self, session: requests.Session) -> tuple[int, str]:
        since = time.monotonic()
        try:
            response = session.post(
                f"{self.address}{self.path}",
                json={"instances": [REVIEW]},
                headers={"host": self.host},
                timeout=30,
            )
        except requests.RequestException:
            lost = self.forward is not None and self.forward.lost_request(since)
            return (NOT_COUNTED if lost else NO_ANSWER), "none"
        return response.status_code, response.headers.get("x-model-version", "none")
