"""Roll a predictor out by small steps, each checked, and back to the stable one if it is unfit.

What the user, the cluster or the network did wrong ends the rollout where it is and is never a
reason to roll back; the next start goes on from there.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import requests

from components.errors import UnavailableError, UserError
from deploy import overlay
from deploy.canary import CanaryOutcome, CanaryVerdict
from deploy.cluster import Cluster, render
from deploy.errors import UndecidedError, UnfitVersionError, retry
from deploy.gitops import GitOps
from deploy.overlay import Predictor, Replicas, State, state_of

SHARES = (25, 50)  # percent of the requests, after the first step
ALL = 100
REVIEW = "A warm, funny film."  # not a customer's
# until a gateway uses a route that it has accepted: 2 s were seen on a real one
SETTLE_SECONDS = 10.0
# until an autoscaler has seen a load: metrics of pods are up to 30 s old, and it looks each 15 s
AUTOSCALER_SECONDS = 60.0

log = logging.getLogger("deploy")


class IfUndecided(Enum):
    """What to do if a step has too little traffic, or its metrics too little evidence."""

    BACK = "back"
    HOLD = "hold"
    ON = "on"


class RolloutOutcome(Enum):
    """The end of a rollout, as in the record of deployments."""

    DEPLOYED = "deployed"
    FAILED = "failed"  # unfit, and no stable predictor beside it to go back to
    ROLLED_BACK = "rolled_back"
    UNDECIDED = "undecided"  # the stable predictor is served again, too
    HELD = "held"  # undecided, and the canary keeps its share


@dataclass(frozen=True)
class RolloutResult:
    outcome: RolloutOutcome
    reason: str


def plan(now: State | None, new: Predictor, first: int | None) -> list[State]:
    """Return the states of the rollout; the first may be the present one.

    The new predictor starts without requests, so no request waits. Before the promotion it gets all
    of them: KServe deletes the old predictor's Service before the gateway has the new routes, so a
    share that the old one still had would be lost. ``first`` is the canary's share in percent at
    the first step that is judged, or None for no such step: then no present share is judged again.
    """
    if now is None or now.stable == new:
        return [State(new)]
    shares = [share for share in (first, *SHARES) if first and share and share >= first]
    present = now.percent if now.canary == new else 0
    remaining = [present] if first or not 0 < present < ALL else []
    remaining += [share for share in [*dict.fromkeys(shares), ALL] if share > present]
    return [*(State(now.stable, new, share) for share in remaining), State(new)]


def announce(now: State | None, states: list[State], first: int | None, seconds: float) -> None:
    log.info("served now: %s", now or "nothing")
    if first and not any(is_judged(state) for state in states):
        name = states[-1].stable.name
        log.info("no canary of %d%%: no predictor but %s is there to compare with", first, name)
    for number, state in enumerate(states, 1):
        watched = f", watched for {seconds:g} s or longer" if is_judged(state) else ""
        log.info("step %d of %d: %s%s", number, len(states), state, watched)


def is_judged(state: State) -> bool:
    """Tell whether both predictors get requests, so that they can be compared."""
    return 0 < state.percent < ALL


def show(folder: Path, states: list[State], scaling: dict[str, Any]) -> None:
    """Print the change that each step would make to the overlay."""
    path = folder / overlay.FILE
    before = path.read_text()
    for state in states:
        after = overlay.patch_text(path, state, scaling)
        print(overlay.diff(path, before, after), end="")
        before = after


@dataclass(frozen=True)
class Rollout:
    """The rollout of an overlay to a cluster.

    ``require_lease`` raises when nothing may be changed any more; ``ready_seconds`` is how long a
    predictor may take to get ready, ``settle_seconds`` how long a gateway to use new routes, and
    ``autoscaler_seconds`` how long an autoscaler to see a new load. With ``gitops`` git is changed,
    and not the cluster.
    """

    cluster: Cluster
    folder: Path
    scaling: dict[str, Any]
    judge: Callable[[State], CanaryVerdict]
    require_lease: Callable[[], None]
    ready_seconds: float
    settle_seconds: float = SETTLE_SECONDS
    autoscaler_seconds: float = AUTOSCALER_SECONDS
    if_undecided: IfUndecided = IfUndecided.BACK
    gitops: GitOps | None = None

    def finish_going_back(self, now: State, reason: str) -> RolloutResult:
        """Go back from a canary that an interrupted rollout found unfit, if it is still there."""
        if now.canary is not None:
            self._go_back(now, reason)
        return RolloutResult(RolloutOutcome.ROLLED_BACK, reason)

    def run(self, now: State | None, states: list[State]) -> RolloutResult:
        """Go through the states and return how that ended.

        Raises:
            UserError: the overlay is wrong, or the cluster refuses a change.
            UnavailableError: the cluster or Prometheus failed.
        """
        if now is not None and now.canary not in (None, states[0].canary):
            self._go_back(now, f"{states[-1].stable.name} is wanted instead")
            now = State(now.stable)
        reason = "every predictor got ready and answered"
        for state in states:
            before, now = now, state
            try:
                if state.canary is None:
                    self._serve_alone(state.stable, self.cluster.replicas(state.stable))
                else:
                    self._serve_canary(state, before)
                    if is_judged(state):
                        reason = self._require_pass(state)
            except UnfitVersionError as error:
                if state.canary is None:
                    return RolloutResult(RolloutOutcome.FAILED, str(error))
                self._go_back(state, str(error))
                return RolloutResult(RolloutOutcome.ROLLED_BACK, str(error))
            except UndecidedError as error:
                if self.if_undecided is IfUndecided.HOLD:
                    return RolloutResult(RolloutOutcome.HELD, f"{error}; run it again to go on")
                self._go_back(state, str(error))
                return RolloutResult(RolloutOutcome.UNDECIDED, str(error))
        return RolloutResult(RolloutOutcome.DEPLOYED, reason)

    def _serve_canary(self, state: State, before: State | None) -> None:
        """Give the canary the pods for its share, then the share."""
        assert state.canary is not None  # noqa: S101 - mypy
        known = before is not None and before.canary == state.canary
        share = before.percent if before is not None and known else 0
        live = max(self.cluster.replicas(state.stable), self.scaling["minReplicas"])
        pods = max(1, math.ceil(live * state.percent / ALL))
        # KServe takes the canary's pods off the stable minimum as soon as one of them is ready; to
        # count them in before that would only start pods that are stopped again
        replicas = Replicas(live + pods if known else live, pods)
        self._apply(replace(state, percent=share, replicas=replicas))
        self.cluster.wait_ready(state.canary, pods, self.ready_seconds)
        if not share:
            self._require_answer(state.canary)
        self._apply(replace(state, replicas=Replicas(live + pods, pods)))
        self._wait_routed(state, settle=state.percent == ALL)

    def _serve_alone(self, predictor: Predictor, live: int) -> None:
        """Serve a predictor alone, with no fewer than its ``live`` pods until it may be scaled.

        An autoscaler remembers what the load asked for, and no minimum: one that saw half of the
        requests would stop half of the pods as soon as the minimum falls.
        """
        alone, fewest = State(predictor), self.scaling["minReplicas"]
        path = self.folder / overlay.FILE
        written = overlay.patch_text(path, alone, self.scaling) == path.read_text()
        held = live > fewest and not written
        self._apply(replace(alone, replicas=Replicas(live, 0)) if held else alone)
        self.cluster.wait_ready(predictor, fewest, self.ready_seconds)
        self._wait_routed(alone)
        self._require_answer(predictor)
        if held:
            seconds = self.autoscaler_seconds
            log.info("keeping %d pods for %g s: the autoscaler must see the load", live, seconds)
            time.sleep(seconds)
            self._apply(alone)
        self._tidy(predictor)

    def _require_pass(self, state: State) -> str:
        """Judge the canary of a step and return the reason why it goes on.

        Raises:
            UnfitVersionError: it is worse.
            UndecidedError: there is too little evidence.
        """
        verdict = self.judge(state)
        text = f"at {state.percent}% the canary {verdict.outcome.value}: {verdict.reason}"
        if verdict.outcome is CanaryOutcome.WORSE:
            raise UnfitVersionError(text)
        if verdict.outcome is CanaryOutcome.UNDECIDED and self.if_undecided is not IfUndecided.ON:
            raise UndecidedError(text)
        log.info("%s", text)
        return text

    def _go_back(self, state: State, reason: str) -> None:
        """Give the stable predictor all requests, remove the canary, and ask the stable one.

        Raises:
            UnavailableError: the stable predictor is not ready, or does not answer.
        """
        assert state.canary is not None  # noqa: S101 - mypy
        log.info("going back to %s: %s", state.stable.name, reason)
        pods = max(1, self.cluster.replicas(state.canary))
        live = max(self.cluster.replicas(state.stable), self.scaling["minReplicas"])
        drained = replace(state, percent=0, replicas=Replicas(live + pods, pods))
        self._apply(drained)
        self._wait_routed(drained, settle=state.percent > 0)
        try:
            self._serve_alone(state.stable, live)
        except UnfitVersionError as error:  # it was fit before: the cluster has a fault
            raise UnavailableError(f"went back to {state.stable.name}, and {error}") from error

    def _wait_routed(self, state: State, settle: bool = False) -> None:
        """Wait until the gateway has the shares; ``settle`` if a predictor is deleted next."""
        shares = {state.stable.name: ALL - state.percent}
        if state.canary is not None:
            shares[state.canary.name] = state.percent
        if self.cluster.wait_routed(shares, self.ready_seconds) and settle:
            time.sleep(self.settle_seconds)

    def _apply(self, wanted: State) -> None:
        """Write the overlay's file, print the change, check what kustomize renders, and apply that.

        Raises:
            UserError: the overlay or the cluster serves something else after the change.
        """
        self.require_lease()
        path = self.folder / overlay.FILE
        before = path.read_text()
        after = overlay.patch_text(path, wanted, self.scaling)
        print(overlay.diff(path, before, after), end="", flush=True)
        overlay.write(path, after)
        try:
            document = render(self.folder)
            overlay.check(document, wanted)
            if self.gitops is None:
                self._apply_leased(document)
        except (UserError, UnavailableError):  # the file says what is served
            overlay.write(path, before)
            raise
        if self.gitops is not None:
            self.gitops.apply(document, wanted)
        state = state_of(self.cluster.inference_service() or {})
        if state != wanted:
            manager = self.cluster.service.manager
            raise UserError(
                f"the cluster serves {state} after {wanted} was applied; another field manager owns"
                f" spec.canary: apply with --field-manager={manager} alone"
            )

    def _apply_leased(self, document: dict[str, Any]) -> None:
        """Apply a document; the lease may be lost between two attempts."""
        once = replace(self.cluster, pauses=())

        def work() -> None:
            self.require_lease()
            once.apply(document)

        retry(work, self.cluster.pauses)

    def _tidy(self, predictor: Predictor) -> None:
        if self.gitops is None:
            self.cluster.delete_autoscalers_but(predictor)

    def _require_answer(self, predictor: Predictor) -> None:
        """Check that a predictor answers, as its version."""
        path = f"/v1/models/{self.cluster.service.model}:predict"
        response = self.cluster.post(predictor, path, {"instances": [REVIEW]})
        version = response.headers.get("x-model-version")
        if response.status_code != requests.codes.ok or version != predictor.version:
            raise UnfitVersionError(
                f"{predictor.name} answered the first request with status"
                f" {response.status_code}, as version {version}"
            )
        log.info("%s answers as version %s", predictor.name, version)
