"""Single steps of a rollout against a cluster that records what is applied."""

from dataclasses import dataclass, field

import pytest

from components.errors import UnavailableError, UserError
from deploy import overlay, rollout
from deploy.__main__ import as_served
from deploy.errors import UnfitVersionError
from deploy.overlay import Predictor, Replicas, State
from deploy.rollout import Rollout

ONE, TWO = Predictor("v1", "1", {}), Predictor("v2", "2", {})
NEW_IMAGE = Predictor("v1-new", "1", {})


@dataclass(frozen=True)
class RecordingCluster:
    """Has ``live`` pods of every predictor; ``failures`` are raised by one ``apply`` each."""

    live: int = 2
    failures: list[Exception] = field(default_factory=list)
    tried: list[dict] = field(default_factory=list)
    unready: bool = False
    pauses: tuple[float, ...] = (0.0, 0.0)

    def replicas(self, predictor: Predictor) -> int:
        return self.live

    def wait_ready(self, predictor: Predictor, *_: object) -> None:
        if self.unready:
            raise UnfitVersionError(f"{predictor.name} is not ready")

    def wait_routed(self, *_: object) -> bool:
        return False

    def delete_autoscalers_but(self, predictor: Predictor) -> None:
        pass

    def apply(self, document: dict) -> None:
        self.tried.append(document)
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / overlay.FILE).write_text("metadata: {name: sentiment}\n")
    return tmp_path


def rollout_of(cluster, folder, require_lease=lambda: None) -> Rollout:
    return Rollout(cluster, folder, {"minReplicas": 1}, None, require_lease, 1)


def test_an_unready_stable_predictor_is_unavailable(monkeypatch, folder):
    """It was fit before, so the cluster is at fault, and the command says so in one line."""
    applied: list[State] = []
    monkeypatch.setattr(Rollout, "_apply", lambda _, state: applied.append(state))
    steps = rollout_of(RecordingCluster(unready=True), folder)
    with pytest.raises(UnavailableError, match="went back to v1, and v1 is not ready"):
        steps.run(State(ONE), [State(ONE, TWO), State(TWO)])
    assert applied[-1] == State(ONE)


@pytest.fixture
def log(monkeypatch) -> list[object]:
    """The scaling of each state that is applied, and each pause in seconds."""
    entries: list[object] = []

    def apply(self: Rollout, state: State) -> None:
        entries.append(state.replicas)
        path = self.folder / overlay.FILE
        path.write_text(overlay.patch_text(path, state, self.scaling))

    monkeypatch.setattr(Rollout, "_apply", apply)
    monkeypatch.setattr(Rollout, "_require_answer", lambda *_: None)
    monkeypatch.setattr(rollout.time, "sleep", entries.append)
    return entries


def test_pods_stay_until_the_autoscaler_has_seen_the_load(folder, log):
    """The autoscaler has seen a part of the requests, and would stop the pods of the rest."""
    steps = rollout_of(RecordingCluster(live=4), folder)
    steps.run(State(ONE, TWO, 100), [State(ONE, TWO, 100), State(TWO)])
    kept = [Replicas(4, 0), rollout.AUTOSCALER_SECONDS, None]
    assert log[-3:] == kept
    log.clear()
    steps.run(State(TWO), [State(TWO)])  # served so already
    assert log == [None]
    log.clear()
    steps.finish_going_back(State(TWO, ONE, 50), "is worse")
    assert log == [Replicas(8, 4), *kept]


def test_few_pods_need_no_wait(folder, log):
    rollout_of(RecordingCluster(live=1), folder).run(None, [State(ONE)])
    assert log == [None]


@pytest.fixture
def rendered(monkeypatch):
    monkeypatch.setattr(rollout, "render", lambda folder: {})
    monkeypatch.setattr(overlay, "check", lambda document, wanted: None)


@pytest.mark.parametrize("error", [UserError("denied"), UnavailableError("refused")])
def test_the_file_lacks_what_the_cluster_refuses(folder, rendered, error):
    before = (folder / overlay.FILE).read_text()
    cluster = RecordingCluster(failures=[error] * 3)
    with pytest.raises(type(error), match=str(error)):
        rollout_of(cluster, folder).run(None, [State(ONE)])
    assert (folder / overlay.FILE).read_text() == before


def test_no_attempt_follows_a_lost_lease(folder, rendered):
    """Another deployment may have the lease by then."""
    cluster = RecordingCluster(failures=[UnavailableError("refused")])

    def require_lease() -> None:
        if cluster.tried:
            raise UnavailableError("the lease was not renewed")

    with pytest.raises(UnavailableError, match="the lease was not renewed"):
        rollout_of(cluster, folder, require_lease).run(None, [State(ONE)])
    assert len(cluster.tried) == 1


@pytest.mark.parametrize(
    ("now", "first", "served"),
    [
        (State(ONE, TWO, 25), None, ONE),  # a rollback ends the trial of another version
        (State(ONE, TWO), None, ONE),
        (State(ONE, NEW_IMAGE, 25), None, ONE),  # or of the new image
        (State(ONE, NEW_IMAGE, 25), 10, NEW_IMAGE),
        (State(ONE, NEW_IMAGE), None, NEW_IMAGE),  # an interrupted deployment goes on
        (State(ONE, NEW_IMAGE, 100), None, NEW_IMAGE),
        (State(ONE), None, NEW_IMAGE),
    ],
)
def test_a_rollback_restores_the_stable_predictor(monkeypatch, now, first, served):
    monkeypatch.setattr(overlay, "with_distinct_uri", lambda new, stable: new)
    assert as_served(NEW_IMAGE, now, first) == served
