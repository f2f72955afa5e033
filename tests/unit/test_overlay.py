"""The file that deploy writes, and the steps of a rollout."""

import pytest
import yaml
from kserve import V1beta1CanarySpec, V1beta1InferenceServiceSpec, V1beta1PredictorSpec

from components.errors import UserError
from deploy import overlay, rollout
from deploy.overlay import Model, Service, State, service_of, state_of
from tests.cluster import base_service
from tests.conftest import REPO

ONE, TWO, THREE = (Model(str(n), f"s3://models/{n}/artifacts/model") for n in (1, 2, 3))


def rendered(minimum: int = 2, maximum: int | None = 3) -> dict:
    env = [{"name": "STORAGE_URI", "value": ONE.uri}, {"name": "OTHER", "value": "kept"}]
    main = {"name": "kserve-container", "image": "serve@sha256:00", "env": env}
    beside = {"name": "beside", "image": "beside@sha256:00", "env": [{"name": "STORAGE_URI"}]}
    predictor = {"name": "v1", "labels": {"version": "v1"}, "containers": [beside, main]}
    predictor |= {"minReplicas": minimum} | ({"maxReplicas": maximum} if maximum else {})
    return {"spec": {"predictor": predictor}}


def patch(state: State, service: dict) -> dict:
    path = REPO / overlay.FOLDER / "local" / overlay.FILE
    return yaml.safe_load(overlay.patch_text(path, state, service))


def test_names_come_from_the_manifests(tmp_path):
    assert base_service() == Service("sentiment", "sentiment", "sentiment")
    document = yaml.safe_load((REPO / "manifests/base/inferenceservice.yaml").read_text())
    document["metadata"] = {"name": "second", "namespace": "other"}
    service = service_of(document)
    assert service == Service("second", "other", "sentiment")
    assert service.manager == "second-deploy"
    assert service.deployment(TWO) == "second-v2-predictor"


def test_patch_keeps_its_target(tmp_path):
    path = tmp_path / overlay.FILE
    head = {"kind": "InferenceService", "metadata": {"name": "second", "namespace": "other"}}
    path.write_text(yaml.safe_dump(head | {"spec": {}}))
    document = yaml.safe_load(overlay.patch_text(path, State(ONE), {}))
    assert document.pop("spec")
    assert document == head


@pytest.mark.parametrize("state", [State(ONE), State(ONE, TWO), State(ONE, TWO, 25)])
def test_patch_reads_back_as_its_state(state: State):
    assert state_of(patch(state, rendered())) == state


def test_canary_differs_in_its_model_only():
    spec = patch(State(ONE, TWO, 10), rendered())["spec"]
    (entry,) = spec["canary"]
    beside, main = entry["predictor"]["containers"]
    assert entry["trafficPercent"] == 10
    assert beside == rendered()["spec"]["predictor"]["containers"][0]
    # in kustomize's order for the stable predictor, else promotion would restart the pods
    assert [(each["name"], each["value"]) for each in main["env"]] == [
        *(("STORAGE_URI", TWO.uri), ("MODEL_VERSION", "2"), ("OTHER", "kept"))
    ]
    assert set(spec) <= set(V1beta1InferenceServiceSpec.attribute_map.values())
    assert set(entry) <= set(V1beta1CanarySpec.attribute_map.values())
    for predictor in (spec["predictor"], entry["predictor"]):
        assert set(predictor) <= set(V1beta1PredictorSpec.attribute_map.values())


@pytest.mark.parametrize(
    ("minimum", "maximum", "stable", "canary"),
    [(2, 3, (4, 4), 2), (2, 8, (4, 8), 2), (1, None, (2, None), 1), (0, 2, (2, 2), 1)],
)
def test_canary_costs_no_replicas(minimum, maximum, stable, canary):
    spec = patch(State(ONE, TWO), rendered(minimum, maximum))["spec"]
    assert (spec["predictor"]["minReplicas"], spec["predictor"].get("maxReplicas")) == stable
    assert spec["canary"][0]["predictor"]["minReplicas"] == canary
    assert "minReplicas" not in patch(State(TWO), rendered(minimum, maximum))["spec"]["predictor"]


def test_replicas_do_not_double_each_step():
    service = rendered()
    service["spec"] |= patch(State(ONE, TWO), service)["spec"] | {
        "predictor": service["spec"]["predictor"] | {"minReplicas": 4, "maxReplicas": 4}
    }
    spec = patch(State(ONE, TWO, 10), service)["spec"]
    assert (spec["predictor"]["minReplicas"], spec["predictor"]["maxReplicas"]) == (4, 4)
    assert spec["canary"][0]["predictor"]["minReplicas"] == 2


@pytest.mark.parametrize(
    ("now", "first", "steps"),
    [
        (None, 10, [State(TWO)]),
        (State(TWO), 10, [State(TWO)]),
        (State(TWO, THREE, 50), 10, [State(TWO)]),
        (State(ONE), None, [State(ONE, TWO), State(TWO)]),
        (
            State(ONE),
            10,
            [*(State(ONE, TWO, share) for share in (0, 10, 25, 50)), State(TWO)],
        ),
        (State(ONE), 30, [*(State(ONE, TWO, share) for share in (0, 30, 50)), State(TWO)]),
        (State(ONE), 50, [State(ONE, TWO), State(ONE, TWO, 50), State(TWO)]),
        (
            State(ONE, TWO, 25),
            10,
            [State(ONE, TWO, 25), State(ONE, TWO, 50), State(TWO)],
        ),
        (State(ONE, TWO, 50), 10, [State(ONE, TWO, 50), State(TWO)]),
        (State(ONE, THREE, 50), 50, [State(ONE, TWO), State(ONE, TWO, 50), State(TWO)]),
    ],
)
def test_plan_starts_at_the_served_state(now, first, steps):
    assert rollout.plan(now, TWO, first) == steps


def test_rendered_overlay_is_checked():
    service = rendered()
    overlay.check(service, State(ONE))
    with pytest.raises(UserError, match=r"serves version 1 for all, not version 2 for all"):
        overlay.check(service, State(TWO))
    main = service["spec"]["predictor"]["containers"][1]
    main["image"] = "serve@sha256:" + "0" * 64
    with pytest.raises(
        UserError, match=r"the image serve@sha256:0+ does not exist; write its digest"
    ):
        overlay.check(service, State(ONE))
    del main["image"]
    with pytest.raises(UserError, match=r"v1 has lost its image"):
        overlay.check(service, State(ONE))


def test_equal_file_is_not_rewritten(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("a\n")
    before = path.stat()
    overlay.write(path, "a\n")
    assert path.stat() == before
    overlay.write(path, "b\n")
    assert path.read_text() == "b\n"
    assert [each.name for each in tmp_path.iterdir()] == ["model.yaml"]
