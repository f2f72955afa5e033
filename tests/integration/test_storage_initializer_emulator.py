"""The download of KServe's storage initializer, with the predictor's permissions.

kserve_storage is the package that KServe's image runs. The stacks and the bucket are moto's, which
enforces no policy; tests/s3_gate.py does, with those that the stacks give the role.
"""

import copy
import os
import subprocess
from pathlib import Path

import pytest

from tests import aws
from tests.conftest import REPO
from tests.s3_gate import gate

BUCKET = f"sentiment-models-{aws.ACCOUNT}-{aws.REGION}"
MODEL = "mlflow/1/0a0a/artifacts/model"
FILES = {"MLmodel": b"flavors", "model.skops": b"weights", "nested/file": b"x"}
CODE = "import sys, kserve_storage; kserve_storage.Storage.download(*sys.argv[1:])"


@pytest.fixture(scope="module")
def kserve_storage() -> Path:
    """The interpreter of the environment of kserve_storage."""
    command = ["make", "--old-file", ".venv/installed", ".storage/installed"]
    subprocess.run(command, cwd=REPO, capture_output=True, check=True, timeout=600)
    return REPO / ".storage/bin/python"


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with aws.account(tmp_path_factory.mktemp("aws")) as account:
        result = account.run("up", "--yes", *aws.GITHUB)
        assert result.returncode == 0, result.stderr
        s3 = account.client("s3")
        s3.delete_bucket_policy(Bucket=BUCKET)  # it denies requests without TLS, as all are here
        for name, body in FILES.items():
            s3.put_object(Bucket=BUCKET, Key=f"{MODEL}/{name}", Body=body)
        s3.put_object(Bucket=BUCKET, Key="mlflow/1/0a0a/artifacts/plots/roc.png", Body=b"png")
        yield account


@pytest.fixture(scope="module")
def policy(account) -> dict:
    """The only policy of the predictor's role."""
    iam, role = account.client("iam"), "sentiment-predictor"
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return dict(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])


@pytest.fixture
def download(account, kserve_storage, tmp_path):
    (key,) = account.client("kms").list_keys()["Keys"]

    def download(policy: dict, path: str = MODEL) -> tuple[subprocess.CompletedProcess[str], list]:
        with gate(account.environment["AWS_ENDPOINT_URL"], [policy], key["KeyArn"]) as server:
            own = account.environment | {"AWS_ENDPOINT_URL": server.address}
            command = [
                str(kserve_storage),
                "-c",
                CODE,
                f"s3://{BUCKET}/{path}",
                str(tmp_path / "models"),
            ]
            result = subprocess.run(
                command, env=os.environ | own, capture_output=True, text=True, timeout=300
            )
            return result, server.asked

    return download


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_role_can_fetch_a_model(download, policy, tmp_path):
    result, asked = download(policy)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "models") == FILES
    assert all(answer for *_, answer in asked)
    head, *_ = asked
    assert head == ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {}, True)  # HeadBucket: no prefix


def narrowed(policy: dict, sid: str, change: dict | None) -> dict:
    """Return the policy with a statement changed, or without it."""
    narrow = copy.deepcopy(policy)
    (statement,) = [each for each in narrow["Statement"] if each["Sid"] == sid]
    if change is None:
        narrow["Statement"].remove(statement)
    else:
        statement |= change
    return narrow


@pytest.mark.parametrize(
    ("sid", "change"),
    [
        ("List", {"Condition": {"StringLike": {"s3:prefix": "mlflow/*"}}}),  # as it once was
        ("List", None),
        ("Read", None),
        ("Decrypt", None),
    ],
)
def test_each_statement_is_needed(download, policy, sid, change):
    result, asked = download(narrowed(policy, sid, change))
    assert result.returncode != 0
    assert not all(answer for *_, answer in asked)


def test_nothing_else_is_fetched(download, policy, tmp_path):
    result, _ = download(policy, "mlflow/1/0a0a/artifacts/plots")
    assert result.returncode != 0
    assert files(tmp_path / "models") == {}
