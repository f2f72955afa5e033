"""The wrapper around a stage, given what Kubeflow's launcher gives."""

import json
from pathlib import Path

import pandas as pd
import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components import executor, promote


def artifact(uri: object, kind: str = "Artifact") -> dict:
    return {
        "artifacts": [{"name": "x", "uri": str(uri), "type": {"schemaTitle": f"system.{kind}"}}]
    }


def run(
    tmp_path: Path,
    stage: str,
    inputs: dict,
    outputs: dict,
    *arguments: object,
    given: dict | None = None,
    **parameters,
):
    executor_input = {
        "inputs": {"artifacts": inputs, "parameterValues": given or {}},
        "outputs": {
            "artifacts": outputs,
            "parameters": {name: {"outputFile": str(tmp_path / name)} for name in parameters},
            "outputFile": str(tmp_path / "deep/executor_output.json"),
        },
    }
    # what the launcher hands over is this message; its own reader must take what comes back
    json_format.ParseDict(executor_input, pipeline_spec_pb2.ExecutorInput())
    code = executor.main([json.dumps(executor_input), stage, *map(str, arguments)])
    path = tmp_path / "deep/executor_output.json"
    if code:
        assert not path.exists()
        return code
    json_format.Parse(path.read_text(), pipeline_spec_pb2.ExecutorOutput())
    return json.loads(path.read_text())


def test_star_expands_to_the_items_of_a_list(trained, tmp_path):
    names = ["default", "max_n=1", "max_n=2"]
    for part in ("1/4", "2/4", "4/4"):
        trials = tmp_path / part[0]
        run(
            tmp_path,
            "trial",
            {},
            {"trials": artifact(trials)},
            *("--matrix", trained.matrix, "--candidates", "*candidates", "--part", part),
            *("--max-iterations", "1", "--trials", trials),
            given={"candidates": names},
        )
    assert [len(list((tmp_path / number).iterdir())) for number in "124"] == [1, 1, 0]
    output = run(
        tmp_path,
        "select",
        {},
        {"selection": artifact(tmp_path / "selection")},
        *("--trials", tmp_path / "1", tmp_path / "2", tmp_path / "4", "--keep", "1.0"),
        *("--selection", tmp_path / "selection"),
        selected=True,
    )
    selection = json.loads((tmp_path / "selection").read_text())
    assert {trial["candidate"]["max_n"] for trial in selection["trials"]} == {1, 3}
    assert output["parameterValues"] == {"selected": selection["selected"]}


@pytest.mark.parametrize(
    ("codes", "expected", "waits"),
    [([4, 4, 0], 0, [10, 60]), ([4, 4, 4, 0], 4, [10, 60]), ([4, 1, 0], 1, [10]), ([1, 0], 1, [])],
)
def test_only_a_stage_without_its_server_is_run_again(
    tmp_path, monkeypatch, codes, expected, waits
):
    slept: list[float] = []
    monkeypatch.setattr(promote, "main", lambda argv: codes.pop(0))
    monkeypatch.setattr(executor.time, "sleep", slept.append)
    result = run(tmp_path, "promote", {}, {})
    assert result == (expected or {"artifacts": {}, "parameterValues": {}})
    assert slept == waits


def test_model_metadata_reaches_the_ui(trained, tmp_path):
    output = run(
        tmp_path,
        "train",
        {},
        {"model": artifact(tmp_path / "model", "Model")},
        *("--matrix", trained.matrix, "--selections", trained.selection),
        *("--model", tmp_path / "model"),
    )
    (model,) = output["artifacts"]["model"]["artifacts"]
    assert model["metadata"]["framework"] == "scikit-learn"
    facts = json.loads((tmp_path / "model/training.json").read_text())
    assert model["metadata"]["features"] == facts["features"]


def test_metrics_curves_and_confusion_reach_the_ui(trained, tmp_path):
    output = run(
        tmp_path,
        "evaluate",
        {},
        {
            "metrics": artifact(tmp_path / "metrics"),
            "plots": artifact(tmp_path / "plots"),
            "predictions": artifact(tmp_path / "predictions", "Dataset"),
            "scores": artifact(tmp_path / "scores", "Metrics"),
            "curves": artifact(tmp_path / "curves", "ClassificationMetrics"),
        },
        *("--model", trained.model, "--test", trained.test, "--metrics", tmp_path / "metrics"),
        *("--plots", tmp_path / "plots", "--predictions", tmp_path / "predictions"),
        *("--findings", tmp_path / "findings", "--train", trained.train),
    )
    shown = {
        name: each["artifacts"][0].get("metadata") for name, each in output["artifacts"].items()
    }
    assert shown["scores"] == json.loads((tmp_path / "metrics").read_text())
    predictions = pd.read_parquet(tmp_path / "predictions")
    expected = pd.crosstab(predictions["label"], predictions["predicted"]).to_numpy().tolist()
    matrix = shown["curves"]["confusionMatrix"]
    assert [row["row"] for row in matrix["rows"]] == expected
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == ["negative", "positive"]
    curve = shown["curves"]["confidenceMetrics"]
    assert 20 < len(curve) <= 201
    assert (curve[0]["falsePositiveRate"], curve[0]["recall"]) == (0, 0)
    assert (curve[-1]["falsePositiveRate"], curve[-1]["recall"]) == (1, 1)
    for point in curve[5:-5:20]:
        assert 0 <= point["confidenceThreshold"] <= 1
        above = predictions["probability"] >= point["confidenceThreshold"] - 1e-6
        assert point["recall"] == pytest.approx(above[predictions["label"] == 1].mean(), abs=0.005)


def test_output_parameter_comes_from_the_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verdict").write_text(
        '{"name": "m", "version": "1", "champion": "1", "passed": false, "outcome": "refused",'
        ' "why": "worse", "figures": {}}'
    )
    output = run(
        tmp_path,
        "promote",
        {},
        {"promotion": artifact(tmp_path / "promotion")},
        *("--verdict", tmp_path / "verdict", "--promotion", tmp_path / "promotion"),
        outcome=str,
    )
    assert output["parameterValues"] == {"outcome": "refused"}


def test_failed_stage_returns_its_exit_code(tmp_path, capsys):
    arguments = ["--verdict", tmp_path / "none", "--promotion", tmp_path / "promotion"]
    assert run(tmp_path, "promote", {}, {}, *arguments) == 1
    assert "promote: error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("s3://bucket/a/b", "/s3/bucket/a/b"),
        ("gs://bucket/a", "/gcs/bucket/a"),
        ("minio://mlpipeline/v2/a", "/minio/mlpipeline/v2/a"),
        ("/local/a", "/local/a"),
    ],
)
def test_artifact_paths_follow_the_launcher(uri: str, path: str):
    assert executor._path({"uri": uri}) == path
