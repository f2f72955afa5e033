"""The model file under another scikit-learn than the one that wrote it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import sklearn
from sklearn.pipeline import Pipeline

import sentiment.store
from sentiment.model import NgramClassifier
from tests.conftest import REPO


@pytest.fixture
def made_with(tmp_path):
    """Return a function that writes a model, and changes its file to be of another version."""

    def write(version: str, **changes: str) -> Path:
        sentiment.store.save(Pipeline([("classify", NgramClassifier())]), tmp_path)
        path = tmp_path / sentiment.store.MODEL_FILE
        with zipfile.ZipFile(path) as file:
            schema = file.read("schema.json").decode()
        assert schema.count(sklearn.__version__) == 1
        schema = schema.replace(sklearn.__version__, version)
        for old, new in changes.items():
            schema = schema.replace(old, new)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("schema.json", schema)
        return tmp_path

    return write


def test_same_version_is_silent(made_with, caplog, recwarn):
    directory = made_with(sklearn.__version__)
    sentiment.store.load(directory)
    assert sentiment.store.made_with(directory) == sklearn.__version__
    assert not caplog.text
    assert not recwarn.list


def test_other_version_is_one_warning(made_with):
    """In a process of its own: pytest undoes the filters of warnings."""
    code = "import sys, pathlib, sentiment.store; sentiment.store.load(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(made_with("0.24.2"))]
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    message = f"the model was made with scikit-learn 0.24.2, and this is {sklearn.__version__}\n"
    assert result.stderr == message


def test_unreadable_version_names_both(made_with):
    directory = made_with("99.1.0", NgramClassifier="NgramClassifier99")
    both = rf"made with scikit-learn 99\.1\.0, and this is {sklearn.__version__}"
    with pytest.raises(ValueError, match=f"NgramClassifier99.*{both}"):
        sentiment.store.load(directory)
