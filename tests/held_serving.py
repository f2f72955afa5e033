"""The predictor, ``python -m tests.held_serving``, whose slots a test can take.

SIGUSR1 takes all free slots, as requests in flight do, and SIGUSR2 frees them.
"""

import signal
import sys
from contextlib import ExitStack

from serving import flags


def main() -> int:
    args = flags.parse()
    del sys.argv[1:]  # as in serving.__main__
    from serving import start
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

    start.InFlight = HeldInFlight  # type: ignore[misc]
    return start.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
