import pytest

from components.errors import UnavailableError, UserError
from deploy.images import Engine, push


def test_uncommitted_tree_is_not_pushed():
    with pytest.raises(UserError, match="uncommitted changes"):
        push(Engine("no-engine-is-asked", "localhost:1"), "0.1.0", "abc123-dirty", "sentiment")


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("dial tcp 127.0.0.1:1: connect: connection refused", UnavailableError),
        ("reading manifest 1.0 in localhost:1/x: manifest unknown", UserError),
    ],
)
def test_network_faults_are_not_the_users(tmp_path, stderr, error):
    engine = tmp_path / "podman"
    engine.write_text(f"#!/bin/sh\necho '{stderr}' >&2\nexit 125\n")
    engine.chmod(0o755)
    with pytest.raises(error, match=stderr):
        Engine(str(engine), "localhost:1").run("pull", "localhost:1/x:1.0")
