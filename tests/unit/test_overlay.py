"""The file that deploy writes, and the steps of a rollout."""

import copy

import pytest
import yaml
from kserve import V1beta1CanarySpec, V1beta1InferenceServiceSpec, V1beta1PredictorSpec

from components.errors import UserError
from deploy import overlay, rollout
from deploy.overlay import Predictor, Replicas, Service, State, service_of, state_of
from tests.conftest import REPO

SCALING = {"minReplicas": 2, "maxReplicas": 3}


def template(image: str = "serve@sha256:11", **spec: object) -> dict:
    env = [{"name": "STORAGE_URI", "value": "s3://unset"}, {"name": "OTHER", "value": "kept"}]
    main = {"name": "kserve-container", "image": image, "env": env}
    beside = {"name": "beside", "image": "beside@sha256:00", "env": [{"name": "STORAGE_URI"}]}
    predictor = {"name": "v0", "labels": {"team": "a"}, "containers": [beside, main]}
    return {"spec": {"predictor": predictor | SCALING | spec}}


def predictor(version: int, **changes: object) -> Predictor:
    uri = f"s3://models/{version}/artifacts/model"
    return overlay.new_predictor(template(**changes), str(version), uri)


ONE, TWO, THREE = map(predictor, (1, 2, 3))


def patch(state: State, scaling: dict | None = None) -> dict:
    path = REPO / overlay.FOLDER / "local" / overlay.FILE
    return yaml.safe_load(overlay.patch_text(path, state, scaling or SCALING))


def rendered(state: State) -> dict:
    document = patch(state)
    assert document["spec"]["predictor"].pop("$patch") == "replace"
    return document


def test_names_come_from_the_inference_service():
    document = template() | {"metadata": {"name": "second", "namespace": "other"}}
    assert service_of(document) == Service("second", "other", "second", "second")
    overlay.container_of(document["spec"]["predictor"])["args"] = ["--model_name=reviews"]
    document["metadata"]["annotations"] = {overlay.REGISTERED: "german-reviews"}
    service = service_of(document)
    assert service == Service("second", "other", "reviews", "german-reviews")
    assert service.manager == "second-deploy"
    assert service.deployment(TWO) == f"second-{TWO.name}-predictor"


def test_a_missing_namespace_is_told():
    document = template() | {"metadata": {"name": "second"}}
    with pytest.raises(UserError, match=r"second has no namespace; .*template/service\.yaml and"):
        service_of(document)


@pytest.mark.parametrize(
    "changed",
    [
        predictor(2),
        predictor(1, image="serve@sha256:22"),
        predictor(1, nodeSelector={"disk": "fast"}),
        predictor(1, labels={"team": "b"}),
    ],
)
def test_the_name_tells_predictors_apart(changed: Predictor):
    assert predictor(1) == ONE
    assert ONE.name.startswith("v1-")
    assert len(ONE.name) == len("v1-01234567")
    assert changed.name != ONE.name


def test_a_canary_of_the_same_version_has_another_uri():
    """A real KServe refused to promote a canary with the STORAGE_URI of the stable predictor."""
    second, third = (predictor(1, image=f"serve@sha256:{digit}") for digit in ("22", "33"))
    assert overlay.with_distinct_uri(TWO, ONE) is TWO
    canary = overlay.with_distinct_uri(second, ONE)
    assert canary == second
    assert (canary.uri, ONE.uri) == (
        "s3://models/1/artifacts/model/",
        "s3://models/1/artifacts/model",
    )
    assert second.uri == ONE.uri
    assert overlay.with_distinct_uri(third, canary).uri == ONE.uri


def test_scaling_makes_no_other_predictor():
    assert predictor(1, minReplicas=9, maxReplicas=12, scaleTarget=50) == ONE


def test_an_older_name_is_read():
    """Predictors that were deployed before names had a digest are called v1."""
    document = rendered(State(ONE))
    document["spec"]["predictor"]["name"] = "v1"
    state = state_of(document)
    assert state is not None
    assert (state.stable.name, state.stable.version) == ("v1", "1")
    assert state_of(template()) is None


def test_patch_keeps_its_target(tmp_path):
    path = tmp_path / overlay.FILE
    head = {"kind": "InferenceService", "metadata": {"name": "second", "namespace": "other"}}
    path.write_text(yaml.safe_dump(head | {"spec": {}}))
    document = yaml.safe_load(overlay.patch_text(path, State(ONE), SCALING))
    assert document.pop("spec")
    assert document == head


def test_an_overlay_of_the_old_layout_is_told_the_way_out(tmp_path):
    """It had its image in the kustomization of the overlay, for stable and canary alike."""
    for name in ("kustomization.yaml", overlay.FILE):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"has no template/, .* move all but model\.yaml from its"):
        overlay.find_folder(str(tmp_path))
    with pytest.raises(UserError, match=r"there is no .*nowhere/kustomization\.yaml"):
        overlay.find_folder(str(tmp_path / "nowhere"))


def test_only_names_with_a_digest_stand_for_a_spec():
    assert overlay.has_digest(ONE.name)
    assert not overlay.has_digest("v1")


@pytest.mark.parametrize("state", [State(ONE), State(ONE, TWO), State(ONE, TWO, 25)])
def test_patch_reads_back_as_its_state(state: State):
    found = state_of(rendered(state))
    assert found == state
    assert found is not None
    assert found.stable.spec == ONE.spec


def test_stable_keeps_its_spec_beside_a_canary():
    canary = predictor(1, image="serve@sha256:22", nodeSelector={"disk": "fast"})
    spec = rendered(State(ONE, canary, 10))["spec"]
    (entry,) = spec["canary"]
    assert entry["trafficPercent"] == 10
    assert spec["predictor"] | SCALING == rendered(State(ONE))["spec"]["predictor"]
    assert entry["predictor"]["containers"][1]["image"] == "serve@sha256:22"
    beside, main = entry["predictor"]["containers"]
    assert beside == template()["spec"]["predictor"]["containers"][0]
    assert [(each["name"], each["value"]) for each in main["env"]] == [
        *(("STORAGE_URI", "s3://models/1/artifacts/model"), ("MODEL_VERSION", "1")),
        ("OTHER", "kept"),
    ]
    assert set(spec) <= set(V1beta1InferenceServiceSpec.attribute_map.values())
    assert set(entry) <= set(V1beta1CanarySpec.attribute_map.values())
    for each in (spec["predictor"], entry["predictor"]):
        assert set(each) <= set(V1beta1PredictorSpec.attribute_map.values())


def test_promotion_keeps_the_canarys_spec():
    """Else KServe would replace its pods."""
    canary = copy.deepcopy(rendered(State(ONE, TWO))["spec"]["canary"][0]["predictor"])
    promoted = rendered(State(TWO))["spec"]["predictor"]
    for key in overlay.SCALING:
        canary.pop(key, None)
        promoted.pop(key, None)
    assert promoted == canary


def test_replicas_are_those_of_the_state():
    spec = patch(State(ONE, TWO, 25, Replicas(stable=9, canary=2)))["spec"]
    assert (spec["predictor"]["minReplicas"], spec["predictor"]["maxReplicas"]) == (9, 9)
    assert spec["canary"][0]["predictor"]["minReplicas"] == 2
    assert not set(spec["canary"][0]["predictor"]) & (set(overlay.SCALING) - {"minReplicas"})
    alone = patch(State(TWO))["spec"]["predictor"]
    assert (alone["minReplicas"], alone["maxReplicas"]) == (2, 3)


@pytest.mark.parametrize(("minimum", "least"), [(0, 1), (None, 1), (4, 4)])
def test_a_predictor_has_at_least_one_replica(minimum: int | None, least: int):
    assert overlay.scaling_of(template(minReplicas=minimum))["minReplicas"] == least


@pytest.mark.parametrize(
    ("now", "first", "steps"),
    [
        (None, 10, [State(TWO)]),
        (State(TWO), 10, [State(TWO)]),
        (State(TWO, THREE, 50), 10, [State(TWO)]),
        (State(ONE), None, [State(ONE, TWO), State(ONE, TWO, 100), State(TWO)]),
        (
            State(ONE),
            10,
            [*(State(ONE, TWO, share) for share in (0, 10, 25, 50, 100)), State(TWO)],
        ),
        (State(ONE), 30, [*(State(ONE, TWO, share) for share in (0, 30, 50, 100)), State(TWO)]),
        (State(ONE, TWO, 25), 10, [*(State(ONE, TWO, each) for each in (25, 50, 100)), State(TWO)]),
        (State(ONE, TWO, 100), 10, [State(ONE, TWO, 100), State(TWO)]),
        # without a canary nothing can be judged: a share is not watched again
        (State(ONE, TWO, 50), None, [State(ONE, TWO, 100), State(TWO)]),
        (State(ONE, TWO), None, [State(ONE, TWO), State(ONE, TWO, 100), State(TWO)]),
        (State(ONE, TWO, 100), None, [State(ONE, TWO, 100), State(TWO)]),
        (
            State(ONE, THREE, 50),
            50,
            [*(State(ONE, TWO, each) for each in (0, 50, 100)), State(TWO)],
        ),
    ],
)
def test_plan_starts_at_the_served_state(now, first, steps):
    assert rollout.plan(now, TWO, first) == steps


def test_rendered_overlay_is_checked():
    service = rendered(State(ONE))
    overlay.check(service, State(ONE))
    with pytest.raises(UserError, match=rf"serves {ONE.name} for all, not {TWO.name} for all"):
        overlay.check(service, State(TWO))
    service["spec"]["predictor"]["containers"][1]["image"] = "other@sha256:11"
    with pytest.raises(UserError, match=r"changes the image of v1-\w+ from serve@sha256:11 to"):
        overlay.check(service, State(ONE))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("serve@sha256:" + "0" * 64, r"the image serve@sha256:0+ does not exist; write its digest"),
        ("", r"template: kserve-container has no image; kustomize must know"),
    ],
)
def test_a_template_without_an_image_is_refused(image: str, words: str):
    with pytest.raises(UserError, match=words):
        predictor(1, image=image)


def test_equal_file_is_not_rewritten(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("a\n")
    before = path.stat()
    overlay.write(path, "a\n")
    assert path.stat() == before
    overlay.write(path, "b\n")
    assert path.read_text() == "b\n"
    assert [each.name for each in tmp_path.iterdir()] == ["model.yaml"]
