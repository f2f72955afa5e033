"""The stand-in for kubectl refuses what KServe's webhook refuses."""

import importlib

import pytest


@pytest.fixture
def kubectl(monkeypatch, tmp_path):
    monkeypatch.setenv("STAND_IN", str(tmp_path))  # read when it is imported
    return importlib.import_module("tests.kubectl")


def predictor(name: str, **more) -> dict:
    env = [{"name": "STORAGE_URI", "value": f"s3://models/{name}"}]
    return {"name": name, "containers": [{"env": env}]} | more


def service(stable: dict, *canaries: tuple[int, dict]) -> dict:
    spec = {"predictor": stable}
    if canaries:
        spec["canary"] = [{"trafficPercent": share, "predictor": each} for share, each in canaries]
    return {"kind": "InferenceService", "spec": spec}


V1, V2, V3 = (predictor(name, minReplicas=2) for name in ("v1", "v2", "v3"))


@pytest.mark.parametrize(
    "canaries", [[], [(100, V2)], [(50, V2), (50, V3)], [(0, V2 | {"minReplicas": 1})]]
)
def test_what_kserve_takes_is_taken(kubectl, canaries):
    assert kubectl.refused(service(V1), service(V1, *canaries)) is None
    assert kubectl.refused(None, service(V1, *canaries)) is None


@pytest.mark.parametrize(
    ("canaries", "words"),
    [
        ([(10, V2 | {"minReplicas": 3})], "minReplicas must not exceed"),
        ([(10, V2 | {"maxReplicas": 3})], "must not set maxReplicas"),
        ([(10, V2 | {"scaleTarget": 70})], "must not set scaleTarget"),
        ([(10, V1)], "conflicts"),
        ([(10, V2), (10, V2)], "duplicated"),
        ([(10, V2 | {"name": ""})], "is required"),
        ([(101, V2)], "between 0 and 100"),
        ([(51, V2), (50, V3)], "sum of"),
    ],
)
def test_what_kserve_refuses_is_refused(kubectl, canaries, words):
    assert words in kubectl.refused(None, service(V1, *canaries))


def test_a_new_name_needs_a_new_model(kubectl):
    renamed = service(V1 | {"name": "other"})
    assert "requires a model change" in kubectl.refused(service(V1), renamed)
