"""A stage's signature becomes its command line; its section of params.yaml gives the values."""

from pathlib import Path

import pytest
import yaml

from components import gate, ingest, prepare, select, stage, trial, validate
from components.errors import UserError

MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (gate, ingest, prepare, select, trial, validate)
}


def parameters(name: str, path: Path, rung: str | None = None, **flags: object):
    signature = stage.signature(MODULES[name].run)
    return stage.values(name, signature, flags, path, rung)


def write(path: Path, **sections: object) -> Path:
    path = path / "params.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def test_a_flag_overrides_the_section(tmp_path):
    path = write(tmp_path, prepare={"valid_fraction": 0.3, "shard_rows": 7})
    values = parameters("prepare", path, shard_rows=9)
    assert values.valid_fraction == 0.3
    assert values.shard_rows == 9
    assert values.test_fraction == 0.2  # the default


def test_a_rung_overrides_the_section(tmp_path):
    rungs = {"2": {"after": "x.json", "trial": {"budget": 0.5}, "select": {"keep": 3}}}
    path = write(tmp_path, trial={"budget": 1, "max_iterations": 4}, rungs=rungs)
    values = parameters("trial", path, rung="2")
    assert values.budget == 0.5
    assert values.max_iterations == 4
    assert parameters("select", path, rung="2").keep == 3
    with pytest.raises(UserError, match=r"--rung 3: .*params.yaml has the rungs 2"):
        parameters("trial", path, rung="3")
    path = write(tmp_path, rungs={"2": {"trail": {"budget": 0.5}}})
    with pytest.raises(UserError, match=r"rungs\.2\.trail: no stage of the search"):
        parameters("trial", path, rung="2")
    path = write(tmp_path, rungs={"2": {"trial": {"budget": 5}}})
    with pytest.raises(UserError, match=r"budget: 5 is not between 0 and 1; 5% is 0\.05"):
        parameters("trial", path, rung="2")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gate", "gate: {alpha: 5}", "gate.alpha: 5 is not between 0 and 1; 5% is 0.05"),
        ("gate", "gate: {alpha: .nan}", "gate.alpha: nan: it should be a finite number"),
        ("gate", "gate: {alpha: true}", "gate.alpha: True is a boolean; quote a text"),
        ("gate", "gate: {alfa: 0.1}", "gate.alfa: no such parameter"),
        ("gate", "gate: {alpha: 0.1, alpha: 0.2}", "'alpha' stands twice"),
        ("gate", "cli: {alpha: 0.1}", "cli: no stage has this name"),
        ("validate", "validate: {min_rows: 2020-13-45}", "not YAML"),
        ("ingest", "ingest: {source: ''}", "ingest.source: '': String should have at least 1"),
        ("trial", "trial: {candidates: []}", "trial.candidates: ["),
        ("trial", "trial: {candidates: default}", "'default': it should be a list"),
        ("trial", "trial: {candidates: [idf_power=1e9]}", "idf_power: it should be less than"),
        ("gate", "gates: {alpha: 0.1}", "gates: no stage has this name"),
        ("gate", "gate: 5", "gate: must be a mapping of names to values"),
        ("gate", "gate: [", "not YAML"),
        ("validate", "validate: {min_rows: 1e2}", "validate.min_rows: '1e2': it should be a valid"),
        ("validate", "validate: {max_empty: 50}", "validate.max_empty: 50 is not between 0 and"),
        ("ingest", "ingest: {source: 5}", "ingest.source: 5: it should be a valid string"),
        ("ingest", "ingest: {}", "ingest.source: is required"),
        ("ingest", "ingest: {source: x, format: xls}", "it should be 'auto', 'csv'"),
        ("ingest", "ingest: {source: x, header: no}", "header: False: it should be 'auto', 'pres"),
        ("ingest", "ingest: {source: x, labels: [1]}", "labels: [1]: it should be a valid dict"),
        ("ingest", "ingest: {source: x, separator: ab}", "separator: 'ab': String should match"),
        (
            "prepare",
            "prepare: {valid_fraction: 0.5, test_fraction: 0.5}",
            "prepare: valid_fraction and test_fraction leave nothing to train on",
        ),
        ("trial", "trial: {candidates: [C=1]}", "trial.candidates: 'C=1' sets none of alpha"),
        ("trial", "trial: {candidates: [max_n=two]}", "max_n=two: max_n: it should be"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path, name, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        parameters(name, path)
    assert str(raised.value).startswith(str(path))
    assert message in " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("count", ["--max-n", "9"], "argument --max-n: '9': it should be less than or equal to 3"),
        ("count", ["--part", "3/2"], "argument --part: '3/2' is not a part such as 1/2"),
        ("merge", ["--min-df", "0"], "argument --min-df: '0': it should be greater than"),
        ("trial", ["--candidates", "default", "x=1"], "argument --candidates: 'x=1' sets none of"),
        ("trial", ["--rung", "1"], "--rung needs --params"),
        ("gate", ["--margin", "5"], "--margin: 5 is not between 0 and 1; 5% is 0.05"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(capsys, name, arguments, message):
    module = __import__(f"components.{name}", fromlist=["run"])
    signature = stage.signature(module.run)
    artifacts = [word for each in signature.artifacts for word in (signature.flag(each), "x")]
    with pytest.raises(SystemExit, match="2"):
        module.main([*artifacts, *arguments])
    assert message in capsys.readouterr().err


def test_a_mapping_is_yaml_on_the_command_line(capsys):
    parser = stage.parser("ingest", ingest.run)
    arguments = ["--source", "x", "--output", "y", "--labels"]
    found = parser.parse_args([*arguments, "{negative: [1], positive: [no]}"])
    assert found.labels == {"negative": [1], "positive": [False]}
    for text in ("{", "[1]"):
        with pytest.raises(SystemExit):
            parser.parse_args([*arguments, text])
        assert "argument --labels: " in capsys.readouterr().err


def test_kubeflow_whole_numbers_are_read():
    parser = stage.parser("select", select.run)
    arguments = parser.parse_args(["--trials", "x", "--selection", "y", "--keep", "4.0"])
    assert arguments.keep == 4


def test_a_required_parameter_names_its_flag():
    with pytest.raises(UserError, match="--source: is required; see --params"):
        stage.values("ingest", stage.signature(ingest.run), {})


def test_two_outputs_need_two_paths():
    arguments = ["--reviews", "r", "--train", "x", "--valid", "y", "--test", "./x"]
    with pytest.raises(UserError, match="--test x: --train has the same path"):
        stage._check_outputs(
            stage.signature(prepare.run),
            vars(stage.parser("prepare", prepare.run).parse_args(arguments)),
        )
