import pytest

from components.errors import UserError
from deploy.engine import Engine
from deploy.images import publish


def test_what_is_in_no_commit_is_not_pushed():
    with pytest.raises(UserError, match="in no commit"):
        publish(Engine("no-engine-is-asked", "localhost:1"), "0.1.0", "abc123-dirty", "sentiment")
