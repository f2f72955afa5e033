"""Roll a version out by small steps, each checked, and back to the stable version if it is unfit.

What the user, the cluster or the network did wrong ends the rollout where it is and is never a
reason to roll back; the next start goes on from there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import requests

from components.errors import UserError
from deploy import overlay
from deploy.canary import CanaryOutcome, CanaryVerdict
from deploy.cluster import Cluster, render
from deploy.errors import UndecidedError, UnfitVersionError
from deploy.overlay import Model, State, state_of

SHARES = (25, 50)  # percent of the requests, after the first step
REVIEW = "A warm, funny film."  # not a customer's

log = logging.getLogger("deploy")


class RolloutOutcome(Enum):
    """The end of a rollout, as in the record of deployments."""

    DEPLOYED = "deployed"
    FAILED = "failed"  # unfit, and no stable version beside it to go back to
    ROLLED_BACK = "rolled_back"
    UNDECIDED = "undecided"  # the stable version is served again, too


@dataclass(frozen=True)
class RolloutResult:
    outcome: RolloutOutcome
    reason: str


def plan(now: State | None, model: Model, first: int | None) -> list[State]:
    """Return the states of the rollout; the first may be the present one.

    The new version starts without requests, so no request waits. ``first`` is the canary's
    share in percent at the first step with requests, or None for no such step.
    """
    if now is None or now.stable == model:
        return [State(model)]
    shares = [share for share in (first, *SHARES) if first and share and share >= first]
    present = now.percent if now.canary == model else 0
    remaining = [present, *(share for share in dict.fromkeys(shares) if share > present)]
    return [*(State(now.stable, model, share) for share in remaining), State(model)]


def announce(now: State | None, states: list[State], first: int | None, seconds: float) -> None:
    log.info("served now: %s", now or "nothing")
    if first and not any(state.percent for state in states):
        version = states[-1].stable.version
        log.info("no canary of %d%%: no version but %s is there to compare with", first, version)
    for number, state in enumerate(states, 1):
        watched = f", watched for {seconds:g} s or longer" if state.percent else ""
        log.info("step %d of %d: %s%s", number, len(states), state, watched)


def show(folder: Path, states: list[State]) -> None:
    """Print the change that each step would make to the overlay."""
    path, rendered = folder / overlay.FILE, render(folder)
    before = path.read_text()
    for state in states:
        after = overlay.patch_text(path, state, rendered)
        print(overlay.diff(path, before, after), end="")
        before = after


def roll_out(
    cluster: Cluster,
    folder: Path,
    states: list[State],
    judge: Callable[[State], CanaryVerdict],
    require_lease: Callable[[], None],
    ready_seconds: float,
) -> RolloutResult:
    """Go through the states and return how that ended.

    ``require_lease`` raises when nothing may be changed any more; ``ready_seconds`` is how long a
    predictor may take to get ready. A version that is served alone has none to go back to.

    Raises:
        UserError: the overlay is wrong, or the cluster refuses a change.
        UnavailableError: the cluster or Prometheus failed.
    """
    reason = "every predictor got ready and answered"
    for state in states:
        require_lease()
        apply(cluster, folder, state)
        try:
            if state is states[0] or state.canary is None:
                _require_answer(cluster, state.canary or state.stable, ready_seconds)
            if state.percent:
                reason = _require_pass(state, judge(state))
        except (UnfitVersionError, UndecidedError) as error:
            if state.canary is None:
                return RolloutResult(RolloutOutcome.FAILED, str(error))
            log.info("going back to version %s: %s", state.stable.version, error)
            require_lease()
            apply(cluster, folder, State(state.stable))
            undecided = isinstance(error, UndecidedError)
            outcome = RolloutOutcome.UNDECIDED if undecided else RolloutOutcome.ROLLED_BACK
            return RolloutResult(outcome, str(error))
    return RolloutResult(RolloutOutcome.DEPLOYED, reason)


def apply(cluster: Cluster, folder: Path, wanted: State) -> None:
    """Write the overlay's file, print the change, check what kustomize renders, and apply that.

    Raises:
        UserError: the overlay or the cluster serves something else after the change.
    """
    path = folder / overlay.FILE
    before = path.read_text()
    after = overlay.patch_text(path, wanted, render(folder))
    print(overlay.diff(path, before, after), end="", flush=True)
    overlay.write(path, after)
    try:
        document = render(folder)
        overlay.check(document, wanted)
    except UserError:
        overlay.write(path, before)
        raise
    cluster.apply(document)
    state = state_of(cluster.inference_service() or {})
    if state != wanted:
        raise UserError(
            f"the cluster serves {state} after {wanted} was applied; another field manager owns"
            f" spec.canary: apply with --field-manager={cluster.service.manager} alone"
        )


def _require_answer(cluster: Cluster, model: Model, seconds: float) -> None:
    """Wait for the predictor of a version, and check that it answers, as that version."""
    log.info("waiting until %s is ready, for at most %.0f s", model.predictor, seconds)
    cluster.wait(model, seconds)
    path = f"/v1/models/{cluster.service.model}:predict"
    response = cluster.post(model, path, {"instances": [REVIEW]})
    version = response.headers.get("x-model-version")
    if response.status_code != requests.codes.ok or version != model.version:
        raise UnfitVersionError(
            f"{model.predictor} answered the first request with status {response.status_code},"
            f" as version {version}"
        )
    log.info("%s answers as version %s", model.predictor, version)


def _require_pass(state: State, verdict: CanaryVerdict) -> str:
    """Return the reason why the canary passed a step.

    Raises:
        UnfitVersionError: it is worse.
        UndecidedError: there is too little evidence.
    """
    if verdict.outcome is not CanaryOutcome.PASSES:
        error = UnfitVersionError if verdict.outcome is CanaryOutcome.WORSE else UndecidedError
        raise error(f"at {state.percent}% the canary {verdict.outcome.value}: {verdict.reason}")
    log.info("%d%%: the canary passes: %s", state.percent, verdict.reason)
    return f"at {state.percent}%: {verdict.reason}"
