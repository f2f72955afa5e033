"""MLflow by the very command lines of the manifest, on a real PostgreSQL."""

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

PASSWORD = "twelve or more"  # of the administrator; MLflow takes no shorter one
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """Run a server and yield what the secret `mlflow` has of it."""
    if not FOUND:
        pytest.skip("needs postgresql: make packages")
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own are root's alone
    # it refuses to run as root
    who = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    who = who if os.getuid() == 0 else []
    if who:
        directory.chmod(0o755)
        shutil.chown(directory, "postgres")
    data, word, port = directory / "data", directory / "password", free_port()
    word.write_text("secret")
    word.chmod(0o644)
    initdb = ["-D", str(data), "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={word}"]
    start = ["-D", str(data), "-o", f"-p {port} -k {directory} -h 127.0.0.1", "-w", "start"]
    subprocess.run([*who, str(FOUND[-1] / "initdb"), *initdb], check=True, capture_output=True)
    control = [*who, str(FOUND[-1] / "pg_ctl")]
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


def ask(address: str, path: str, body: Object, password: str | None = None, host: str = "mlflow"):
    headers = {"content-type": "application/json", "host": f"{host}:5000"}
    if password:
        both = base64.b64encode(f"sentiment:{password}".encode()).decode()
        headers["authorization"] = f"Basic {both}"
    url = f"{address}/api/2.0/mlflow/{path}"
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None


def test_the_templates_say_what_the_server_reads(postgres: dict[str, str]):
    template = REPO / "manifests" / "overlays" / "local" / "mlflow.env.template"
    lines = [line for line in template.read_text().splitlines() if not line.startswith("#")]
    given = find(render("production"), "ExternalSecret", "mlflow")
    assert {line.partition("=")[0] for line in lines} == postgres.keys()
    assert given["spec"]["target"]["template"]["data"].keys() == postgres.keys()


def test_mlflow_keeps_runs_in_postgresql_and_asks_who(postgres: dict[str, str], tmp_path: Path):
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
    made = {"name": "sentiment"}
    with running(start, address + path, tmp_path, **environment):
        assert ask(address, "registered-models/create", made) == (401, None)
        assert ask(address, "registered-models/create", made, "another one") == (401, None)
        assert (
            ask(address, "registered-models/create", made, PASSWORD, "evil.example.org")[0] == 403
        )
        assert ask(address, "registered-models/create", made, PASSWORD)[0] == 200
        status, answer = ask(address, "experiments/create", {"name": "first"}, PASSWORD)
        assert status == 200
    kept = {key.lower().removeprefix("pg"): value for key, value in postgres.items() if "PG" in key}
    kept["dbname"] = kept.pop("database")
    with psycopg2.connect(**kept) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT artifact_location FROM experiments WHERE name = 'first'")
        where = environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"]
        assert cursor.fetchall() == [(f"{where}/{answer['experiment_id']}",)]
        cursor.execute("SELECT name FROM registered_models")
        assert cursor.fetchall() == [("sentiment",)]
        cursor.execute("SELECT username, is_admin FROM users")
        assert cursor.fetchall() == [("sentiment", True)]
