"""The images as a cluster runs them: read-only, without capabilities, as a numeric user."""

import http.client
import json
import re
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import sentiment.model
import sentiment.store
from components.errors import UserError
from components.io import processes, reviews
from deploy.images import Engine, check_start
from tests.conftest import REPO, free_port

LOCKS = {"train": "train", "serve": "serve", "receiver": "pipeline"}
# with ulimits, as the engine asks for a million files by default
CONFINED = [
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--network", "host"),
    *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
]


def podman(*arguments: object) -> str:
    result = subprocess.run(["podman", *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def inside(image: str, command: str) -> str:
    return podman("run", "--rm", *CONFINED, "--entrypoint", "sh", image, "-c", command)


@pytest.mark.parametrize("name", LOCKS)
def test_user_and_labels_and_read_only_root(images, name):
    (config,) = json.loads(podman("image", "inspect", images[name]))
    assert re.fullmatch(r"\d+:\d+", config["User"])
    assert not config["User"].startswith("0")
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["version"] == images[name].rpartition(":")[2]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])
    assert labels["licenses"] == "Apache-2.0"
    assert "source" in labels
    command = (
        "for d in / /app /opt/venv /tmp $HOME; do touch $d/x 2>/dev/null && echo $d; done; id -u"
    )
    assert inside(images[name], command).split() == [config["User"].partition(":")[0]]


@pytest.mark.parametrize("name", LOCKS)
def test_packages_and_sbom_match_the_lock(images, name):
    lock = (REPO / "requirements" / f"{LOCKS[name]}.txt").read_text()
    locked = {
        (re.sub(r"[-_.]+", "-", package).lower(), version)
        for package, version in re.findall(
            r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", lock, re.MULTILINE
        )
    }
    sbom = json.loads(inside(images[name], "cat /opt/venv/sbom.cdx.json"))
    assert sbom["bomFormat"] == "CycloneDX"
    listed = {(canonicalize_name(each["name"]), each["version"]) for each in sbom["components"]}
    assert listed <= locked
    # packages locked for other platforms are not installed
    assert len(listed) >= len(locked) - 5
    packages = inside(images[name], "ls /opt/venv/lib/python3.11/site-packages").split()
    assert any(each.endswith(".dist-info") for each in packages)
    assert "pip" not in packages


def test_serving_image_holds_serving_only(images):
    found = set(inside(images["serve"], "ls /opt/venv/lib/python3.11/site-packages /app").split())
    assert {"kserve", "sentiment", "serving"} <= found
    assert not found & {"kfp", "dvc", "mlflow", "sklearn", "scipy", "skops"}
    assert not found & {"components", "pipelines", "pytest"}
    for tool in ("gcc", "cc", "make", "git", "mlflow", "kfp", "dvc"):
        assert not inside(images["serve"], f"command -v {tool} || true").strip(), tool
    assert not inside(images["serve"], "ls -d /root/.cache /build 2>/dev/null || true").strip()


def test_receiver_starts_its_commands(images):
    engine = Engine("podman", "registry.example.org")
    check_start(engine, images["receiver"])
    with pytest.raises(UserError, match="No module named 'monitoring'"):
        check_start(engine, images["serve"])


def test_bytecode_is_valid_at_any_timestamp(images):
    script = (
        "import pathlib, importlib.util as u\n"
        "paths = [*pathlib.Path('/app').rglob('*.py'), u.find_spec('kserve').origin]\n"
        "caches = [pathlib.Path(u.cache_from_source(str(p))).read_bytes()[:8] for p in paths]\n"
        "print(len(paths), {int.from_bytes(c[4:8], 'little') for c in caches})"
    )
    count, flags = inside(images["serve"], f'python -c "{script}"').split(None, 1)
    assert int(count) > 10
    assert flags.strip() == "{1}"  # unchecked hash-based pyc: PEP 552


def test_serving_image_adds_under_600_mb(images):
    sizes = {
        image: int(podman("image", "inspect", "--format", "{{.Size}}", image))
        for image in (images["serve"], "localhost/python-base:3.11")
    }
    added = sizes[images["serve"]] - sizes["localhost/python-base:3.11"]
    assert 0 < added < 600_000_000


@contextmanager
def serving(image: str, model: Path, log: Path):
    """Serve a model directory in a confined container; yield the container's name and port."""
    http_port, grpc_port = free_port(), free_port()
    name = f"sentiment-test-{http_port}"
    command = ["podman", "run", "--rm", "--name", name, *CONFINED]
    command += ["--volume", f"{model}:/mnt/models:ro", image]
    command += ["--http_port", str(http_port), "--grpc_port", str(grpc_port)]
    url = f"http://127.0.0.1:{http_port}/v1/models/sentiment"
    try:
        with processes.running(command, lambda: processes.answers(url), log):
            yield name, http_port
    finally:
        subprocess.run(["podman", "rm", "--force", "--ignore", name], capture_output=True)


def test_confined_predictor_equals_the_model(images, trained, tmp_path):
    texts = reviews.read(trained.test)["text"].iloc[:100].tolist()
    model = sentiment.store.load(trained.model)
    with serving(images["serve"], trained.model, tmp_path / "log") as (_, port):
        body = json.dumps({"instances": texts}).encode()
        url = f"http://127.0.0.1:{port}/v1/models/sentiment:predict"
        with urllib.request.urlopen(url, body, timeout=60) as response:
            predictions = json.load(response)["predictions"]
        for path in ("", "page/style.css", "page/review.js"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60).close()
    expected = sentiment.model.probabilities(model, texts)[:, 1].tolist()
    assert [row["probability"] for row in predictions] == expected


def post(port: int, body: bytes) -> str:
    """Send one request on a new connection and return its status, or how it failed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return "refused"
    try:
        connection.request("POST", "/v1/models/sentiment:predict", body)
        response = connection.getresponse()
        response.read()
        return str(response.status)
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def test_sigterm_loses_no_request(images, trained, tmp_path):
    body = json.dumps({"instances": reviews.read(trained.test)["text"].iloc[:40].tolist()}).encode()
    results: Counter[str] = Counter()
    with serving(images["serve"], trained.model, tmp_path / "log") as (name, port):
        stop = time.monotonic() + 60

        def send_requests() -> None:
            while time.monotonic() < stop:
                result = post(port, body)
                results[result] += 1
                if result == "refused":
                    return

        clients = [threading.Thread(target=send_requests) for _ in range(16)]
        for client in clients:
            client.start()
        time.sleep(3)
        before = results["200"]
        podman("kill", "--signal", "TERM", name)
        for client in clients:
            client.join()
    assert before > 50
    assert set(results) == {"200", "refused"}, results
