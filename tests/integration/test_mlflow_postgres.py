"""Run MLflow with the manifest's command lines on a real PostgreSQL."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.conftest import REPO, free_port, running
from tests.manifests import Object, find, render

PASSWORD = "twelve or more"  # of the administrator; MLflow refuses shorter ones
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """Run a server and yield the values of the secret `mlflow`."""
    if not BINARIES:
        pytest.skip("needs postgresql: make packages")
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # only root can read pytest's own
    # PostgreSQL refuses to run as root
    as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    as_user = as_user if os.getuid() == 0 else []
    if as_user:
        directory.chmod(0o755)
        shutil.chown(directory, "postgres")
    data, password_file, port = directory / "data", directory / "password", free_port()
    password_file.write_text("secret")
    password_file.chmod(0o644)
    initdb = ["-D", str(data), "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={password_file}"]
    start = ["-D", str(data), "-o", f"-p {port} -k {directory} -h 127.0.0.1", "-w", "start"]
    subprocess.run(
        [*as_user, str(BINARIES[-1] / "initdb"), *initdb], check=True, capture_output=True
    )
    control = [*as_user, str(BINARIES[-1] / "pg_ctl")]
    subprocess.run([*control, *start, "-l", str(directory / "log")], check=True, timeout=60)
    try:
        yield {
            **{"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGSSLMODE": "disable"},
            **{"PGUSER": "mlflow", "PGPASSWORD": "secret", "PGDATABASE": "postgres"},
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs forms",
        }
    finally:
        subprocess.run([*control, "-D", str(data), "-m", "fast", "-w", "stop"], check=True)
        shutil.rmtree(directory)


def command(container: Object) -> list[str]:
    program, *rest = [*container["command"], *container.get("args", [])]
    assert program == "python"
    return [sys.executable, *rest]


def post(address: str, path: str, body: Object, password: str | None = None, host: str = "mlflow"):
    headers = {"content-type": "application/json", "host": f"{host}:5000"}
    if password:
        credentials = base64.b64encode(f"sentiment:{password}".encode()).decode()
        headers["authorization"] = f"Basic {credentials}"
    url = f"{address}/api/2.0/mlflow/{path}"
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None


def test_templates_have_the_servers_variables(postgres: dict[str, str]):
    template = REPO / "manifests" / "overlays" / "local" / "mlflow.env.template"
    lines = [line for line in template.read_text().splitlines() if not line.startswith("#")]
    secret = find(render("production"), "ExternalSecret", "mlflow")
    assert {line.partition("=")[0] for line in lines} == postgres.keys()
    assert secret["spec"]["target"]["template"]["data"].keys() == postgres.keys()


def test_mlflow_stores_in_postgresql_with_a_login(postgres: dict[str, str], tmp_path: Path):
    objects = render("local")
    pod = find(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    (upgrade,), (server,) = pod["initContainers"], pod["containers"]
    auth = next(each for each in objects if each["kind"] == "ConfigMap")["data"]["auth.ini"]
    (tmp_path / "auth.ini").write_text(auth)
    environment = {each["name"]: each.get("value", PASSWORD) for each in server["env"]}
    environment |= postgres | {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini")}
    environment["HOME"] = "/nonexistent"  # as in the image
    subprocess.run(command(upgrade), check=True, env=os.environ | environment, timeout=120)
    port = free_port()
    start = [part.replace("--port=5000", f"--port={port}") for part in command(server)]
    address = f"http://127.0.0.1:{port}"
    path = server["readinessProbe"]["httpGet"]["path"]
    model = {"name": "sentiment"}
    with running(start, address + path, tmp_path, **environment):
        assert post(address, "registered-models/create", model) == (401, None)
        assert post(address, "registered-models/create", model, "another one") == (401, None)
        status, _ = post(address, "registered-models/create", model, PASSWORD, "evil.example.org")
        assert status == 403
        status, _ = post(address, "registered-models/create", model, PASSWORD)
        assert status == 200
        status, answer = post(address, "experiments/create", {"name": "first"}, PASSWORD)
        assert status == 200
    login = {
        key.lower().removeprefix("pg"): value for key, value in postgres.items() if "PG" in key
    }
    login["dbname"] = login.pop("database")
    with psycopg2.connect(**login) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT artifact_location FROM experiments WHERE name = 'first'")
        root = environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"]
        assert cursor.fetchall() == [(f"{root}/{answer['experiment_id']}",)]
        cursor.execute("SELECT name FROM registered_models")
        assert cursor.fetchall() == [("sentiment",)]
        cursor.execute("SELECT username, is_admin FROM users")
        assert cursor.fetchall() == [("sentiment", True)]
