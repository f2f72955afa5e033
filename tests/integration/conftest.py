"""One predictor for all tests that ask it, and what it should answer."""

import pytest

import sentiment.model
import sentiment.store
from tests.serving import TEXTS, serving


@pytest.fixture(scope="session")
def server(trained, tmp_path_factory):
    """Serves version 7."""
    directory = tmp_path_factory.mktemp("serving")
    with serving(trained.model, directory, "--model_version", "7") as server:
        yield server


@pytest.fixture(scope="session")
def offline(trained) -> list[float]:
    model = sentiment.store.load(trained.model)
    return sentiment.model.probabilities(model, TEXTS).tolist()
