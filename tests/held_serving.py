"""The predictor, ``python -m tests.held_serving``, whose slots a test can take.

SIGUSR1 takes all free slots, as requests in flight do, and SIGUSR2 frees them.
"""

import signal
from contextlib import ExitStack

import serving.__main__
from serving.errors import OverloadError
from serving.in_flight import InFlight
from serving.limits import RequestLimits


class HeldInFlight(InFlight):
    def __init__(self, limits: RequestLimits) -> None:
        super().__init__(limits)
        self._held = ExitStack()
        signal.signal(signal.SIGUSR1, self._take)
        signal.signal(signal.SIGUSR2, lambda *_: self._held.close())

    def _take(self, *_: object) -> None:
        try:
            while True:
                self._held.enter_context(self.admit(0))
        except OverloadError:
            return


if __name__ == "__main__":
    serving.__main__.InFlight = HeldInFlight
    raise SystemExit(serving.__main__.main())
