"""The servers that the delivery workflows use, on this machine; see tests/system/test_delivery.py.

Real: git, DVC, S3, MLflow and the image registry with passwords, podman, Prometheus. Stand-ins:
GitHub's runner (tests/workflows.py), the cluster (tests/cluster.py), ECR's own API (moto, an
emulator), and the commands cosign, gh and aws, which log their arguments.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import mlflow
import pandas as pd
import pytest
import requests
import yaml

from components.io import reviews
from deploy.images import IMAGES
from pipelines.local import s3_client, s3_server
from tests.cluster import StandInCluster, prometheus, stand_in_cluster
from tests.conftest import REPO, free_port, running, tracking_server
from tests.workflows import Runner

ACCOUNT = "123456789012"  # moto's
USER, TOKEN = "AWS", f"{ACCOUNT}-auth-token"
# its own version, so that the images of other tests stay
VERSION = "0.0.0.delivery"
STAND_INS = {
    "gh": "exit 0",
    "aws": "exit 0",
    # verify accepts the images that were signed
    "cosign": """
for image in "$@"; do :; done
case $1 in
  sign) echo "$image" >> "$CALLS/signed" ;;
  verify) grep -qxF "$image" "$CALLS/signed" ;;
esac""",
}


class Site:
    """A repository on main, and the servers that its workflows use."""

    def __init__(
        self, directory: Path, runner: Runner, cluster: StandInCluster, ecr: str, registry: str
    ) -> None:
        self.directory, self.runner, self.registry = directory, runner, registry
        self.cluster = cluster
        cluster.fetch = self.fetch_model
        self.work = directory / "work"
        self.tracking = {k: v for k, v in runner.variables.items() if k.startswith("MLFLOW")}
        self.tracking |= {k: v for k, v in runner.secrets.items() if k.startswith("MLFLOW")}
        self._ecr = ecr

    def git(self, *arguments: str) -> str:
        return git(self.work, *arguments)

    def main(self) -> str:
        """Return the commit of main."""
        self.git("fetch", "--quiet", "--tags", "--prune", "origin")
        return self.git("rev-parse", "origin/main")

    def change(self, branch: str, message: str, **files: str) -> None:
        """Commit files, keyed by path, on a new branch of main and push it."""
        self.main()
        self.git("checkout", "--quiet", "-B", branch, "origin/main")
        for name, text in files.items():
            (self.work / name).write_text(text)
        self.git("commit", "--quiet", "--all", "--message", message)
        self.git("push", "--quiet", "--force", "origin", branch)

    def merge(self, branch: str) -> None:
        self.git("fetch", "--quiet", "origin")
        self.git("push", "--quiet", "origin", f"origin/{branch}:main")

    def params(self, **changes: dict) -> str:
        """Return params.yaml of main with changes to sections."""
        values = yaml.safe_load(self.git("show", f"{self.main()}:params.yaml"))
        for section, change in changes.items():
            values[section] |= change
        return yaml.safe_dump(values)

    def fetch_model(self, uri: str) -> str:
        """Download a model, as KServe's storage initializer does."""
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.runner.aws.items():
                patch.setenv(key, value)
            return str(mlflow.artifacts.download_artifacts(uri, dst_path=tempfile.mkdtemp()))

    def calls(self, command: str) -> list[str]:
        path = self.directory / "calls" / command
        return path.read_text().splitlines() if path.exists() else []

    def tags(self, image: str) -> list[str]:
        """Return the tags of an image in the registry."""
        answer = self.get(f"{image}/tags/list")
        return [] if answer.status_code == 404 else answer.json()["tags"] or []

    def get(self, path: str) -> requests.Response:
        accept = "application/vnd.oci.image.manifest.v1+json"
        accept += ", application/vnd.docker.distribution.manifest.v2+json"
        address = f"http://{self.registry}/v2/{path}"
        return requests.get(address, headers={"Accept": accept}, auth=(USER, TOKEN), timeout=60)

    def scan(self, place: Path) -> None:
        """Register the pushed images in moto and scan them, as ECR does."""
        client = boto3.client("ecr", endpoint_url=self._ecr, region_name="us-east-1", **KEYS)
        for image in json.loads((place / "reports/images.json").read_text()).values():
            name, _, digest = image.partition("@")
            name = name.rpartition("/")[2]
            which = {"repositoryName": name, "imageId": {"imageDigest": digest}}
            if not client.batch_get_image(repositoryName=name, imageIds=[which["imageId"]])[
                "images"
            ]:
                answer = self.get(f"{name}/manifests/{digest}")
                assert answer.status_code == 200, answer.text
                kind = answer.headers["Content-Type"]
                client.put_image(
                    repositoryName=name,
                    imageManifest=answer.text,
                    imageManifestMediaType=kind,
                    imageDigest=digest,
                )
                client.start_image_scan(**which)


KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}


@contextmanager
def site(directory: Path, table: pd.DataFrame, base: str) -> Iterator[Site]:
    with ExitStack() as stack:
        storage = stack.enter_context(s3_server(directory / "s3"))
        client = s3_client(storage)
        client.create_bucket(Bucket="dvc")
        reviews.write(directory / "reviews.parquet", table)
        client.upload_file(str(directory / "reviews.parquet"), "inputs", "reviews.parquet")
        arguments = ["--default-artifact-root", "s3://mlflow", "--no-serve-artifacts"]
        tracking = stack.enter_context(tracking_server(directory / "mlflow", *arguments, **storage))
        registry = stack.enter_context(image_registry(directory / "registry"))
        ecr = stack.enter_context(emulated_ecr(directory / "moto"))
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MLFLOW_", "MAKE", "MFLAGS", "AWS_", "GITHUB_", "DVC_"))
        }
        folder = directory / "cluster"
        folder.mkdir()
        cluster = stack.enter_context(stand_in_cluster(folder))
        address = stack.enter_context(prometheus(folder))
        environment |= {key: cluster.environment[key] for key in ("PATH", "STAND_IN", "REAL")}
        environment |= stand_ins(directory, environment["PATH"])
        environment |= {
            "BASE": base,
            "CONTAINER": "podman",
            "GITHUB_REPOSITORY": "example/sentiment",
            "REGISTRY_AUTH_FILE": str(directory / "auth.json"),
        }
        variables = {
            "AWS_ROLE": f"arn:aws:iam::{ACCOUNT}:role/sentiment-release",
            "AWS_REGION": "us-east-1",
            "DVC_REMOTE": "s3://dvc",
            "REGISTRY": registry,
            "PROMETHEUS_URL": address,
        }
        password = {"MLFLOW_TRACKING_PASSWORD": tracking.pop("MLFLOW_TRACKING_PASSWORD")}
        runner = Runner(
            repository(directory),
            directory / "runs",
            environment,
            storage | {"AWS_ENDPOINT_URL_ECR": ecr},
            variables | tracking,
            password,
            # the tests cannot run within themselves
            replaced={
                "make test": "python -m compileall -q tests",
                "make test-most": "true",
                "sudo make packages": "true",
            },
        )
        made = Site(directory, runner, cluster, ecr, registry)
        runner.after["make push-images"] = made.scan
        yield made


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A Developer", "-c", "user.email=developer@example.org"]
    result = subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def repository(directory: Path) -> Path:
    """Return a bare repository with this code, set to a short training on reviews in S3."""
    origin, work = directory / "origin.git", directory / "work"
    git(directory, "clone", "--quiet", str(REPO), str(work))
    git(work, "checkout", "--quiet", "-B", "main")
    params = yaml.safe_load((work / "params.yaml").read_text())
    params["ingest"]["source"] = "s3://inputs/reviews.parquet"
    params["count"]["max_n"] = 1
    params["trial"]["max_iterations"] = 4
    params["trial"]["candidates"] = ["default"]
    for rung in params["rungs"].values():
        rung["select"]["keep"] = 1
    params["gate"]["min_accuracy"] = 0.5
    (work / "params.yaml").write_text(yaml.safe_dump(params))
    lines = (work / "setup.cfg").read_text().splitlines()
    lines = [f"version = {VERSION}" if line.startswith("version = ") else line for line in lines]
    (work / "setup.cfg").write_text("\n".join([*lines, ""]))
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Shorten the training")
    git(directory, "clone", "--quiet", "--bare", str(work), str(origin))
    git(work, "remote", "set-url", "origin", str(origin))
    return origin


def stand_ins(directory: Path, path: str) -> dict[str, str]:
    folder, calls = directory / "bin", directory / "calls"
    folder.mkdir()
    calls.mkdir()
    for name, body in STAND_INS.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "$@" >> "$CALLS/{name}"\n{body}\n')
        script.chmod(0o755)
    here = Path(sys.executable).parent
    return {"CALLS": str(calls), "PATH": f"{folder}:{here}:{path}"}


@contextmanager
def image_registry(directory: Path) -> Iterator[str]:
    """Run Debian's image registry with the password that moto's ECR issues."""
    directory.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt
    hashed = crypt.crypt(TOKEN, crypt.mksalt(crypt.METHOD_BLOWFISH))  # noqa: S324
    (directory / "htpasswd").write_text(f"{USER}:{hashed.replace('$2b$', '$2y$')}\n")
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "images", "path": str(directory / "htpasswd")}},
    }
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    command = ["docker-registry", "serve", str(directory / "config.yml")]
    with running(command, f"http://{host}/v2/", directory):
        yield host


@contextmanager
def emulated_ecr(directory: Path) -> Iterator[str]:
    """Run moto's emulator of ECR with the three repositories; yield its address."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "-p", address.rpartition(":")[2]]
    with running(command, f"{address}/moto-api/", directory):
        client = boto3.client("ecr", endpoint_url=address, region_name="us-east-1", **KEYS)
        (data,) = client.get_authorization_token()["authorizationData"]
        assert base64.b64decode(data["authorizationToken"]).decode() == f"{USER}:{TOKEN}"
        for name in IMAGES:
            client.create_repository(repositoryName=name)
        yield address
