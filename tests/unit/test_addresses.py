"""MLFLOW_TRACKING_URI: each mistake in it is one line, without the password."""

from pathlib import Path

import pytest

from components.errors import UserError
from components.io import addresses


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///x.db", "x.db"),
        ("sqlite:///x.db?timeout=60", "x.db"),
        ("sqlite:////tmp/x.db", "/tmp/x.db"),
        ("sqlite:///a b#50%2541.db", "a b#50%41.db"),
        ("http://localhost:5000", None),
        ("https://user:p%40ss@[::1]:5000/mlflow", None),
        ("postgresql+psycopg2://user:secret@localhost:1/x", None),
    ],
)
def test_valid_address_is_taken(monkeypatch, tmp_path, uri: str, file: str | None):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert addresses.tracking_uri() == uri
    assert addresses.database(uri) == (file and Path(file))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///nodir/x.db", "names a file in a folder that does not exist: nodir"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x.db?uri=true", "names no file"),
        ("sqlite:///.", "names a folder"),
        ("sqlite:///x.db?timeout=long", "is malformed"),
        ("sqlite:x.db", "is malformed"),
        ("postgresql+none://secret@x/y", "is malformed, has an unknown driver"),
        ("mysql+pymysql://u:secret@x/y", "needs the Python package pymysql"),
        ("http://[::1", "is malformed"),
        ("http://me:se/secret@x", "is malformed"),
        ("http://me:a secret@x", "has a blank in it"),
        ("http://", "names no host"),
        ("http://x\r", "begins or ends with a blank"),
        ("htp://x", "must be sqlite:///FILE, http://"),
        ("file:///tmp/mlruns", "must be sqlite:///FILE, http://"),
        ("./mlruns", "must be sqlite:///FILE, http://"),
    ],
)
def test_wrong_address_is_one_line(monkeypatch, tmp_path, uri: str, reason: str):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as caught:
        addresses.tracking_uri()
    assert f": MLFLOW_TRACKING_URI {reason}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())
