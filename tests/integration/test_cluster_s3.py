"""SeaweedFS with the arguments of manifests/kind/s3 has room for each bucket of a cluster."""

from functools import partial

import yaml

from components.io import processes
from pipelines.local import s3_client
from tests.conftest import REPO
from tools.cluster import manifests

NAMES = ("master.port", "volume.port", "filer.port", "s3.port")


def arguments() -> list[str]:
    """Return those of the container, but for its folder of data."""
    documents = yaml.safe_load_all((REPO / "manifests/kind/s3/s3.yaml").read_text())
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return [each for each in container["args"] if each != "-dir=/data"]


def test_each_bucket_has_room(tmp_path):
    """MLflow's, that of runs, and that of drift: SeaweedFS makes some volumes for each."""
    keys = {"AWS_ACCESS_KEY_ID": "of-this-test", "AWS_SECRET_ACCESS_KEY": "a-secret-of-this-test"}
    numbers = processes.free_ports(2 * len(NAMES))
    ports = dict(zip([*NAMES, *(f"{name}.grpc" for name in NAMES)], numbers, strict=True))
    command = ["weed", *arguments(), f"-dir={tmp_path}", "-ip=127.0.0.1"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    address = f"http://127.0.0.1:{ports['s3.port']}"
    ready = partial(processes.answers, address)
    with processes.running(command, ready, tmp_path / "weed.log", keys):
        client = s3_client(keys | {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"})
        for bucket in ("models", "pipelines", manifests.BUCKET, "another"):
            for number in range(3):
                client.put_object(Bucket=bucket, Key=f"{number}", Body=b"x" * 1_000_000)
        listed = [each["Name"] for each in client.list_buckets()["Buckets"]]
    assert sorted(listed) == ["another", "data", "models", "pipelines"]
