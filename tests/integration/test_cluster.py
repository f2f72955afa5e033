"""Failures of real kubectl: the user's, the environment's and the version's."""

import logging
import shutil
import threading
import time

import pytest

from components.errors import UnavailableError, UserError
from deploy import lease
from deploy.cluster import Cluster, error_of
from deploy.errors import UnfitVersionError, retry
from deploy.overlay import Predictor
from tests.api_server import ISVC, OBJECTS, PODS, PORT_FORWARD, api_server, kubeconfig
from tests.cluster import base_service
from tests.conftest import free_port

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")
ONE = Predictor("v1", "1", {})


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """Return a function that makes a cluster of an address, and asks it once only."""
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl keeps what it has discovered

    def connect(address: str, context: str | None = None) -> Cluster:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", address)))
        return Cluster(base_service(), context, pauses=())

    return connect


@pytest.fixture
def server():
    with api_server() as server:
        yield server


def operations(cluster: Cluster) -> dict:
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "x"},
        "spec": {},
    }
    old = document | {"metadata": {"name": "x", "resourceVersion": "1"}}
    return {
        "get": cluster.inference_service,
        "apply": lambda: cluster.apply(OBJECTS[ISVC]),
        "create": lambda: lease.write(cluster, document),
        "replace": lambda: lease.write(cluster, old),
        "delete": lambda: cluster.kubectl("delete", lease.KIND, "x", "--ignore-not-found"),
        "port-forward": lambda: cluster.post(ONE, "/", {}),
    }


def test_closed_port_is_unavailable(connect):
    cluster = connect(f"http://127.0.0.1:{free_port()}")
    for name, operation in operations(cluster).items():
        with pytest.raises(UnavailableError, match=f"kubectl {name}: .*refused"):
            operation()


def test_unknown_host_is_unavailable(connect):
    with pytest.raises(UnavailableError, match=r"no such host|server misbehaving|i/o timeout"):
        connect("http://nowhere.invalid").inference_service()


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (401, "Unauthorized", UserError),
        (403, "Forbidden", UserError),
        (500, "InternalError", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
        (429, "TooManyRequests", UnavailableError),
    ],
)
def test_api_errors_are_sorted_by_fault(connect, server, code, reason, error):
    cluster = connect(server.address)
    assert cluster.inference_service() == OBJECTS[ISVC]
    server.errors[ISVC] = (code, reason)
    with pytest.raises(error, match="kubectl get"):
        cluster.inference_service()


def test_forbidden_wait_is_the_users(connect, server):
    server.errors[PODS] = (403, "Forbidden")
    with pytest.raises(UserError, match=r"kubectl get: .*forbidden"):
        connect(server.address).wait_ready(ONE, 1, 5)


def test_denied_port_forward_is_the_users(connect, server):
    server.errors[PORT_FORWARD] = (403, "Forbidden")
    with pytest.raises(UserError, match=r"port-forward: .*upgrading connection: .* is forbidden"):
        connect(server.address).post(ONE, "/", {})
    assert f"POST {PORT_FORWARD}" in server.asked


def test_unknown_context_is_the_users(connect, server):
    connect(server.address, "test").require_context()
    with pytest.raises(UserError, match="context elsewhere not found"):
        connect(server.address, "elsewhere").require_context()


def test_ready_ignores_the_condition_ready(connect, server):
    """The InferenceService there has the condition Ready, but False: it is KServe's and late."""
    connect(server.address).wait_ready(ONE, 1, 5)


def test_too_few_pods_are_unfit(connect, server, caplog):
    caplog.set_level(logging.INFO, "deploy")
    with pytest.raises(UnfitVersionError, match="v1 is not ready: 1 of 2 pods are ready"):
        connect(server.address).wait_ready(ONE, 2, 0.5)
    assert "waiting for v1: 1 of 2 pods are ready" in caplog.text


def test_a_missing_deployment_is_unavailable(connect, server):
    two = Predictor("v2", "2", {})
    with pytest.raises(UnavailableError, match="v2 is not ready: KServe has not made"):
        connect(server.address).wait_ready(two, 1, 0.5)


def test_api_server_lost_in_a_wait(connect, server):
    cluster = connect(server.address)
    fail = threading.Timer(1.5, server.errors.update, [{"/apis": (503, "ServiceUnavailable")}])
    fail.start()
    with pytest.raises(UnavailableError, match=r"kubectl get: .*unable to handle|ServiceUnav"):
        cluster.wait_ready(ONE, 2, 5)
    fail.join()


def test_without_routes_nothing_is_waited_for(connect, server):
    assert connect(server.address).wait_routed({"v1": 100}, 5) is False


def test_retry_ends_with_the_environment(connect, server):
    server.errors[ISVC] = (503, "ServiceUnavailable")
    cluster = connect(server.address)
    threading.Timer(1.0, server.errors.clear).start()
    patient = Cluster(cluster.service, pauses=(0.5, 0.5, 0.5, 0.5))
    assert patient.inference_service() == OBJECTS[ISVC]


def test_retry_gives_up():
    calls: list[float] = []

    def fail() -> None:
        calls.append(time.monotonic())
        raise UnavailableError("down")

    with pytest.raises(UnavailableError, match="down"):
        retry(fail, (0.01, 0.02))
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("error: unable to forward port because pod is not running", UnavailableError),
        ("Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout", UnavailableError),
        ("Unable to connect to the server: net/http: TLS handshake timeout", UnavailableError),
        ("error: error upgrading connection: error dialing backend: EOF", UnavailableError),
        ("error: lost connection to pod", UnavailableError),
        ("error: timed out waiting for the condition", UnavailableError),
        ("Error from server (InternalError): etcdserver: request timed out", UnavailableError),
        ("Unable to connect to the server: x509: certificate signed by unknown", UserError),
        ("Unable to connect to the server: getting credentials: exec: aws not found", UserError),
        ('error: error upgrading connection: pods "x" is forbidden: User "u"', UserError),
        ('error: context "x" does not exist', UserError),
        ("Error from server (NotFound): deployments.apps not found", UserError),
        ("a text that no rule knows", UserError),
    ],
)
def test_messages_are_sorted_by_fault(line: str, error: type[Exception]):
    assert type(error_of("get", f"E1128 memcache.go\n{line}\n")) is error


def test_a_missing_permission_is_told_where_it_is():
    """The words are a real API server's; an admission webhook forbids, too."""
    denied = (
        'Error from server (Forbidden): pods is forbidden: User "ci" cannot list resource "pods" in'
        ' API group "" in the namespace "sentiment"'
    )
    assert str(error_of("get", denied)).endswith("manifests/service/deployer.yaml")
    webhook = 'Error from server (Forbidden): admission webhook "x" denied the request: no'
    assert str(error_of("apply", webhook)).endswith("no")


@pytest.mark.parametrize(
    ("stderr", "ends", "error", "words"),
    [
        ("", False, UnfitVersionError, "v1 closed its first request unanswered"),
        (
            "an error occurred forwarding 1 -> 8080: error forwarding port 8080 to pod 5f, uid : "
            "dial tcp4 127.0.0.1:8080: connect: connection refused\nerror: lost connection to pod",
            True,
            UnfitVersionError,
            "v1 refuses connections on port 8080",
        ),
        ("error: lost connection to pod", True, UnavailableError, "lost connection to pod"),
    ],
)
def test_broken_forward_is_sorted_by_fault(tmp_path, monkeypatch, stderr, ends, error, words):
    """A script in place of kubectl; the port that it names closes each connection."""
    script = tmp_path / "kubectl"
    port = free_port()
    (tmp_path / "stderr").write_text(stderr)
    end = "exit 1" if ends else "exec sleep 60"
    script.write_text(
        f"#!/bin/sh\necho 'Forwarding from 127.0.0.1:{port} -> 8080'\n"
        f"cat '{tmp_path}/stderr' >&2\n{end}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(error, match=words):
        Cluster(base_service(), pauses=()).post(ONE, "/", {})


def test_a_port_forward_that_says_nothing_is_unavailable(tmp_path, monkeypatch):
    """As kubectl does where the API server accepts the connection and is silent."""
    script = tmp_path / "kubectl"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    cluster = Cluster(base_service(), pauses=(), forward_seconds=0.5)
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"port-forward: no answer in 0\.5 s"):
        cluster.post(ONE, "/", {})
    assert time.monotonic() - start < 30
