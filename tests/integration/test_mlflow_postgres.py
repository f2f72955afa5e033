"""Run MLflow with the manifest's command lines on a real PostgreSQL."""

import base64
import json
import os
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import psycopg2

from tests import documents
from tests.conftest import REPO, free_port, running
from tests.integration.conftest import BINARIES
from tests.manifests import Object, find, render

PASSWORD = "twelve or more"  # of the administrator; MLflow refuses shorter ones


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


@contextmanager
def mlflow_on(postgres: dict[str, str], directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run the manifest's containers; yield the server's address and environment."""
    objects = render("local")
    pod = find(objects, "Deployment", "mlflow")["spec"]["template"]["spec"]
    (upgrade,), (server,) = pod["initContainers"], pod["containers"]
    (auth,) = (each["data"]["auth.ini"] for each in objects if "auth.ini" in each.get("data", {}))
    (directory / "auth.ini").write_text(auth)
    environment = {each["name"]: each.get("value", PASSWORD) for each in server["env"]}
    environment |= postgres | {"MLFLOW_AUTH_CONFIG_PATH": str(directory / "auth.ini")}
    environment["HOME"] = "/nonexistent"  # as in the image
    subprocess.run(command(upgrade), check=True, env=os.environ | environment, timeout=120)
    port = free_port()
    host = f"localhost:{port}"  # the server takes this name on any port, for port-forward
    start = [part.replace("--port=5000", f"--port={port}") for part in command(server)]
    path = server["readinessProbe"]["httpGet"]["path"]
    with running(start, f"http://{host}{path}", directory, **environment):
        yield f"http://{host}", environment


def test_mlflow_stores_in_postgresql_with_a_login(postgres: dict[str, str], tmp_path: Path):
    model = {"name": "sentiment"}
    with mlflow_on(postgres, tmp_path) as (address, environment):
        assert post(address, "registered-models/create", model) == (401, None)
        assert post(address, "registered-models/create", model, "another one") == (401, None)
        status, _ = post(address, "registered-models/create", model, PASSWORD, "evil.example.org")
        assert status == 403
        status, _ = post(address, "registered-models/create", model, PASSWORD)
        assert status == 200
        status, answer = post(address, "experiments/create", {"name": "first"}, PASSWORD)
        assert status == 200
    with connected(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT artifact_location FROM experiments WHERE name = 'first'")
        root = environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"]
        assert cursor.fetchall() == [(f"{root}/{answer['experiment_id']}",)]
        cursor.execute("SELECT name FROM registered_models")
        assert cursor.fetchall() == [("sentiment",)]
        cursor.execute("SELECT username, is_admin FROM users")
        assert cursor.fetchall() == [("sentiment", True)]


def connected(postgres: dict[str, str]) -> Any:
    login = {
        key.lower().removeprefix("pg"): value for key, value in postgres.items() if "PG" in key
    }
    login["dbname"] = login.pop("database")
    return psycopg2.connect(**login)


def in_pod(program: str) -> list[str]:
    """Return what docs/aws.md runs in a pod with this program, without a redirection."""
    (command,) = [
        command.partition(" -- ")[2]
        for block in documents.blocks((REPO / "docs/aws.md").read_text())
        for command in documents.commands(block)
        if f" -- {program} " in command
    ]
    words = shlex.split(command)
    redirections = [i for i, word in enumerate(words) if word in ("<", ">")]
    return words[1 : min(redirections, default=None)]


def recreate(postgres: dict[str, str]) -> None:
    """Replace the database by an empty one, as on a new volume."""
    connection = connected(postgres | {"PGDATABASE": "postgres"})
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS mlflow")
        cursor.execute("CREATE DATABASE mlflow")
    connection.close()


def registered(client: mlflow.MlflowClient) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sources of all versions of the model, and the versions of its aliases."""
    versions = client.search_model_versions("name = 'sentiment'")
    aliases = client.get_registered_model("sentiment").aliases
    return {str(each.version): each.source for each in versions}, dict(aliases)


def test_registry_is_restored_from_a_dump(postgres, tmp_path, monkeypatch):
    """The drill of docs/aws.md: dump, lose the database, restore, bring the new password."""
    postgres = postgres | {"PGDATABASE": "mlflow"}
    options: dict[str, Any] = {"env": os.environ | postgres, "check": True, "timeout": 60}
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "sentiment")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    recreate(postgres)
    with mlflow_on(postgres, tmp_path) as (address, _):
        client = mlflow.MlflowClient(address)
        client.create_registered_model("sentiment")
        run = client.create_run("0").info.run_id
        client.log_metric(run, "accuracy", 0.92)
        for version in ("1", "2", "3"):
            source = f"s3://models/mlflow/0/{version}/artifacts/model"
            client.create_model_version("sentiment", source, run)
        client.set_registered_model_alias("sentiment", "champion", "2")
        client.set_registered_model_alias("sentiment", "challenger", "3")
        before = registered(client)
        with (tmp_path / "mlflow.dump").open("wb") as dump:  # while MLflow runs
            subprocess.run([BINARIES[-1] / "pg_dump", *in_pod("pg_dump")], **options, stdout=dump)
        client.set_registered_model_alias("sentiment", "champion", "3")
    recreate(postgres)
    with (tmp_path / "mlflow.dump").open("rb") as dump:
        program = BINARIES[-1] / "pg_restore"
        subprocess.run([program, *in_pod("pg_restore")], **options, stdin=dump)
    with mlflow_on(postgres, tmp_path) as (address, environment):
        client = mlflow.MlflowClient(address)
        assert registered(client) == before
        assert before[1] == {"champion": "2", "challenger": "3"}
        assert client.get_run(run).data.metrics == {"accuracy": 0.92}

        new = "another twelve"
        changed = os.environ | environment | {"MLFLOW_AUTH_ADMIN_PASSWORD": new}
        command = [sys.executable, *in_pod("python")]
        subprocess.run(command, env=changed, check=True, timeout=120)
        model = {"name": "other"}
        assert post(address, "registered-models/create", model, new)[0] == 200
        with connected(postgres) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM users")
            assert cursor.fetchall() == [(1,)]
