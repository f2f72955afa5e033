"""The wrapper around a stage, given what Kubeflow's launcher gives."""

import json
from pathlib import Path

import pandas as pd
import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components import executor


def artifact(uri: object, kind: str = "Artifact") -> dict:
    return {
        "artifacts": [{"name": "x", "uri": str(uri), "type": {"schemaTitle": f"system.{kind}"}}]
    }


def run(tmp_path: Path, stage: str, inputs: dict, outputs: dict, *arguments: object, **parameters):
    executor_input = {
        "inputs": {"artifacts": inputs},
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


def test_star_expands_to_all_paths(trained, tmp_path):
    trials = {"artifacts": []}
    for i, path in enumerate(trained.trials.iterdir()):
        (tmp_path / f"part{i}").mkdir()
        (tmp_path / f"part{i}" / path.name).symlink_to(path)
        trials["artifacts"] += artifact(tmp_path / f"part{i}")["artifacts"]
    output = run(
        tmp_path,
        "select",
        {"trials": trials},
        {"selection": artifact(tmp_path / "selection")},
        *("--trials", "*trials", "--keep", "1.0", "--selection", tmp_path / "selection"),
        selected=True,
    )
    selection = json.loads((tmp_path / "selection").read_text())
    assert len(selection["trials"]) == 2
    assert output["parameterValues"] == {"selected": selection["selected"]}


def test_trial_and_model_metadata_reach_the_ui(trained, tmp_path):
    output = run(
        tmp_path,
        "trial",
        {},
        {"trials": artifact(tmp_path / "trials"), "scores": artifact("s3://b/s", "Metrics")},
        *("--matrix", trained.matrix, "--candidates", "default", "--trials", tmp_path / "trials"),
    )
    (found,) = (json.loads(path.read_text()) for path in (tmp_path / "trials").iterdir())
    (scores,) = output["artifacts"]["scores"]["artifacts"]
    assert scores["metadata"]["valid_log_loss"] == found["valid"]["log_loss"]
    assert all(isinstance(value, int | float) for value in scores["metadata"].values())
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
        *("--findings", tmp_path / "findings"),
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


def test_a_list_of_kubeflow_becomes_arguments():
    given = ["--columns", '["a", "b c"]', "--text-column", "[x]", "--columns", "[]"]
    expected = ["--columns", "a", "b c", "--text-column", "[x]", "--columns"]
    assert executor._separate_lists("ingest", given) == expected
