"""What every task of a pipeline asks of the cluster."""

from pathlib import Path
from typing import Any

import yaml
from kfp import kubernetes
from kfp.dsl import PipelineTask

PARAMETERS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent.parent / "params.yaml").read_text()
)
# tracking and storage credentials, by key of the secret and name of the environment variable
SECRET = "capstone-secret"  # noqa: S105 - its name
SECRET_KEYS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
)


def sized(task: PipelineTask, display_name: str, cpu: str = "1", memory: str = "1Gi") -> None:
    """Name a task, reserve ``memory`` and let it have twice that, and bound its time and retries.

    A retry is for lost nodes and servers that restart; the stages can all be run again.
    """
    task.set_display_name(display_name)
    task.set_cpu_request(cpu).set_cpu_limit("2")
    task.set_memory_request(memory).set_memory_limit(f"{2 * int(memory.removesuffix('Gi'))}Gi")
    task.set_retry(2, backoff_duration="10s", backoff_factor=2, backoff_max_duration="120s")
    kubernetes.set_timeout(task, 6 * 3600)


def outward(task: PipelineTask) -> None:
    """Let a task reach what is outside of the pipeline; so it must not come from a cache.

    On a cluster whose service accounts have an identity of their own (IRSA) the secret needs no
    AWS keys: every key of it is optional.
    """
    task.set_caching_options(False)
    kubernetes.use_secret_as_env(task, SECRET, {key: key for key in SECRET_KEYS}, optional=True)
