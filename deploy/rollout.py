"""The way from what is served now to a new version: small steps, each reviewed, or back."""

import logging
from collections.abc import Callable
from pathlib import Path

import requests

from components.errors import UserError
from deploy import overlay
from deploy.canary import Outcome, Verdict
from deploy.cluster import Cluster
from deploy.state import NAME, Model, State, state_of

SHARES = (25, 50)  # percent, after the first
REVIEW = "A warm, funny film."  # not a customer's
_ANSWER_SECONDS = 30

log = logging.getLogger("deploy")


class SetbackError(Exception):
    """The new version is not fit to be served; the message says why."""


def plan(now: State | None, model: Model, first: int | None) -> list[State]:
    """Return the states to go through, the first of which may be the present one.

    A new version is first brought up without requests, so that nothing stops while it starts.
    """
    if now is None or now.stable == model:
        return [State(model)]
    shares = [share for share in (first, *SHARES) if first and share and share >= first]
    reached = now.percent if now.canary == model else 0
    onward = [reached, *(share for share in dict.fromkeys(shares) if share > reached)]
    return [*(State(now.stable, model, share) for share in onward), State(model)]


def announce(now: State | None, states: list[State], first: int | None, seconds: float) -> None:
    log.info("served now: %s", now or "nothing")
    if first and not any(state.percent for state in states):
        version = states[-1].stable.version
        log.info("no canary of %d%%: no version but %s is there to compare with", first, version)
    for number, state in enumerate(states, 1):
        watched = f", watched for {seconds:g} s or longer" if state.percent else ""
        log.info("step %d of %d: %s%s", number, len(states), state, watched)


def show(cluster: Cluster, folder: Path, states: list[State]) -> None:
    """Print what each step would change."""
    path = folder / overlay.FILE
    before = overlay.read(path)
    rendered = cluster.render(folder) if before else {}
    for state in states:
        after = overlay.text(state, rendered)
        print(overlay.diff(path, before, after), end="")
        before = after


def go(
    cluster: Cluster,
    folder: Path,
    states: list[State],
    judge: Callable[[State], Verdict],
    check: Callable[[], None],
    seconds: float,
) -> tuple[str, str]:
    """Go through the states and return how that ended, and why: deployed, rolled_back or failed.

    ``check`` raises when we may change nothing any more; ``seconds`` are what a predictor may take
    to get ready. A version that is served alone has nothing beside it to go back to.
    """
    why = "every predictor got ready and answered"
    for state in states:
        check()
        _bring(cluster, folder, state)
        try:
            if state is states[0] or state.canary is None:
                _ready(cluster, state.canary or state.stable, seconds)
            if state.percent:
                why = _hold(state, judge(state))
        except SetbackError as setback:
            if state.canary is None:
                return "failed", str(setback)
            log.info("going back to version %s: %s", state.stable.version, setback)
            check()
            _bring(cluster, folder, State(state.stable))
            return "rolled_back", str(setback)
    return "deployed", why


def _bring(cluster: Cluster, folder: Path, wanted: State) -> None:
    """Write the overlay's file, show the change, see what kustomize makes of it, and apply that."""
    path = folder / overlay.FILE
    before = overlay.read(path)
    after = overlay.text(wanted, cluster.render(folder) if before else {})
    print(overlay.diff(path, before, after), end="", flush=True)
    overlay.write(path, after)
    try:
        service = cluster.render(folder)
        overlay.check(service, wanted)
    except UserError:
        overlay.write(path, before)
        raise
    cluster.apply(service)
    found = state_of(cluster.service() or {})
    if found != wanted:
        raise UserError(
            f"the cluster serves {found} after it was told {wanted}; who else has applied"
            " spec.canary must do it with --field-manager=sentiment-deploy"
        )


def _ready(cluster: Cluster, model: Model, seconds: float) -> None:
    """Wait for the predictor of a version, and see that it answers, and as that version."""
    log.info("waiting until %s is ready, for at most %.0f s", model.predictor, seconds)
    try:
        cluster.wait(model, seconds)
        with cluster.reached(model) as address:
            response = requests.post(
                f"{address}/v1/models/{NAME}:predict",
                json={"instances": [REVIEW]},
                timeout=_ANSWER_SECONDS,
            )
    except (UserError, requests.RequestException) as error:
        raise SetbackError(f"{model.predictor} is not ready: {error}") from error
    answered = response.headers.get("x-model-version")
    if response.status_code != requests.codes.ok or answered != model.version:
        raise SetbackError(
            f"{model.predictor} answered the first request with status {response.status_code},"
            f" as version {answered}"
        )
    log.info("%s answers as version %s", model.predictor, answered)


def _hold(state: State, verdict: Verdict) -> str:
    if verdict.outcome is not Outcome.HOLDS:
        raise SetbackError(f"at {state.percent}% the canary {verdict.outcome.value}: {verdict.why}")
    log.info("%d%%: the canary holds: %s", state.percent, verdict.why)
    return f"at {state.percent}%: {verdict.why}"
