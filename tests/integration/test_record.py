"""The record of deployments in a registry: what an interrupted deployment finds in it."""

import logging

import pytest
from mlflow.exceptions import MlflowException

from components.io import registry
from deploy import history
from deploy.canary import CanaryOutcome, CanaryVerdict
from deploy.overlay import Predictor, State

ONE, TWO = Predictor("v1", "1", {}), Predictor("v2", "2", {})


@pytest.fixture
def client(own_registry):
    with registry.connected() as client:
        yield client


def test_a_verdict_outlives_its_deployment(client):
    history.open_record(client, "sentiment", "local", State(ONE), TWO)
    record = history.find_open(client, "sentiment", "local", TWO)
    for percent, outcome in ((10, CanaryOutcome.PASSES), (25, CanaryOutcome.UNDECIDED)):
        history.log_verdict(client, record, percent, CanaryVerdict(outcome, "a reason"))
    assert history.find_unfit(client, record) is None
    history.log_verdict(client, record, 50, CanaryVerdict(CanaryOutcome.WORSE, "9 of 9 failed"))
    assert history.find_unfit(client, record) == "at 50% the canary is worse: 9 of 9 failed"


def test_a_failing_registry_is_a_warning(client, caplog):
    caplog.set_level(logging.WARNING, "deploy")
    with history.optional("the verdict at 10%"):
        raise MlflowException("it is away")
    assert "lacks the verdict at 10%: MLflow at sqlite:" in caplog.text
    assert "it is away" in caplog.text
