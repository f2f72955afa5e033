"""The steps of the proof: from a first version by canaries, faults and kills and back."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tools.cluster_test.deployment import Expected, OverlayCopy, Step
from tools.cluster_test.faults import UNKNOWN_DIGEST, server_failing

DEPLOYED, ROLLED_BACK, UNAVAILABLE = Expected(0), Expected(3), Expected(4)
# its own answers fail until it is found: at most the share of a tenth that a canary has
BROKEN_UNDER_LOAD = Expected(3, lost_share=0.1)
KILLED = Expected(-signal.SIGKILL)
LEASE_SECONDS = 20  # until the lease of a killed deployment has ended
KILLED_AT = ("waiting for v", "answers as version", "at 10% the canary", "at 50% the canary")


@dataclass(frozen=True)
class Versions:
    """Numbers in the registry: two that work, and one whose model cannot be loaded."""

    first: str
    second: str
    unloadable: str


def steps(copied: OverlayCopy, versions: Versions) -> Iterator[Step]:
    """Yield each step when it is done; the first version is served before the first step."""
    first, second = versions.first, versions.second
    yield copied.step("second version by canary", second, DEPLOYED)
    copied.change(env=[{"name": "CLUSTER_TEST", "value": "1"}])
    yield copied.step("new spec under the same version", second, DEPLOYED)
    copied.change(image=f"{copied.image()}@{UNKNOWN_DIGEST}")
    yield copied.step("an image that does not exist", second, ROLLED_BACK)
    copied.change(args=["--no_such_flag"])
    yield copied.step("a container that ends", second, ROLLED_BACK)
    copied.change(resources={"requests": {"cpu": "900"}, "limits": {"cpu": "900"}})
    yield copied.step("no room on any node", second, UNAVAILABLE)
    copied.change(**server_failing(first=0, each=1))
    yield copied.step("a server that answers 500", second, ROLLED_BACK)
    copied.change(**server_failing(first=20, each=3))
    yield copied.step("a server that fails under load", second, BROKEN_UNDER_LOAD)
    copied.change()
    yield copied.step("a model that cannot be loaded", versions.unloadable, ROLLED_BACK)
    copied.change(env=[{"name": "CLUSTER_TEST", "value": "2"}])
    for number, line in enumerate(KILLED_AT):
        version = (first, second)[number % 2]
        yield copied.step(f"killed at: {line}", version, KILLED, kill_at=line)
        time.sleep(LEASE_SECONDS)
        yield copied.step("started again", version, DEPLOYED)
    yield copied.step("back to the first version, without a canary", first, DEPLOYED, canary=False)
