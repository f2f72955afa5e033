"""Confinement, resources, retries and credentials of the tasks of a pipeline."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from kfp.dsl.structures import ResourceSpec

from components.reading import passwords

# credentials of MLflow and S3: the keys of the secret are the names of the environment variables
SECRET = "capstone-secret"  # noqa: S105 - its name
SECRET_KEYS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
)
SOURCE_KEYS = (passwords.VARIABLE,)  # of the database that ingest reads


def set_resources(task: PipelineTask, display_name: str) -> None:
    """Set the name of a task, its CPU and memory, its time limit and its retries.

    A namespace at the level *restricted* admits the container only if it says that it does not run
    as root. Retries cover pods that were lost or could not run; components/executor.py repeats a
    stage whose server did not respond.
    """
    task.set_display_name(display_name)
    # not by the task's methods: each of the four reads the whole call stack (kfp 2.17.0), for 0.2 s
    task.container_spec.resources = ResourceSpec(
        cpu_request="1", cpu_limit="2", memory_request="1Gi", memory_limit="2Gi"
    )
    task.set_retry(2, backoff_duration="10s", backoff_factor=2, backoff_max_duration="120s")
    kubernetes.set_timeout(task, 6 * 3600)
    kubernetes.set_security_context(task, run_as_non_root=True)


def give_credentials(task: PipelineTask, *others: str) -> None:
    """Give a task the credentials of MLflow and S3, and never take its result from the cache.

    ``others`` are more keys of the secret.

    Every key of the secret is optional: a cluster whose service accounts have an AWS identity
    (IRSA) needs no AWS keys.
    """
    task.set_caching_options(False)
    kubernetes.use_secret_as_env(
        task, SECRET, {key: key for key in (*SECRET_KEYS, *others)}, optional=True
    )
