"""An AWS account in the emulator, and deploy.aws run against it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.aws_emulator import COMMAND
from tests.conftest import REPO, free_port, running

ACCOUNT, REGION = "123456789012", "us-east-1"
GITHUB = ("--param", "GitHubRepository=acme/sentiment")


@dataclass(frozen=True)
class Account:
    environment: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="emulator",
            aws_secret_access_key="emulator",
        )

    def run(
        self, *arguments: str, answers: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.aws", *arguments],
            cwd=REPO,
            env=os.environ | self.environment | environment,
            input=answers,
            capture_output=True,
            text=True,
            timeout=120,
        )


@contextmanager
def account(directory: Path) -> Iterator[Account]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running([*COMMAND, str(port)], address, directory, PYTHONPATH=str(REPO)):
        yield Account(
            {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "emulator",
                "AWS_SECRET_ACCESS_KEY": "emulator",
                "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        )
