"""A predictor that tests share, and its expected answers."""

import pytest

import sentiment.model
import sentiment.store
from tests.serving import TEXTS, serving


@pytest.fixture(scope="session")
def server(trained, tmp_path_factory):
    """A predictor of version 7."""
    directory = tmp_path_factory.mktemp("serving")
    with serving(trained.model, directory, "--model_version", "7") as server:
        yield server


@pytest.fixture(scope="session")
def offline(trained) -> list[float]:
    model = sentiment.store.load(trained.model)
    return sentiment.model.probabilities(model, TEXTS)[:, 1].tolist()
