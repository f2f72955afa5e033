"""Versions of a pipeline on a Kubeflow Pipelines server: one for each content."""

import json
import logging
import tempfile
from pathlib import Path

import kfp
import kfp_server_api

from pipelines import ir
from pipelines.client import answered

log = logging.getLogger("submit")


def named(name: str) -> str:
    """Return the filter, as the API takes it, for things of this display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def find(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> tuple[str | None, kfp_server_api.V2beta1PipelineVersion | None]:
    """Return the id of the pipeline on the server, and its version of this content, if any."""
    name = ir.name(documents)
    found = client.list_pipelines(filter=named(name), namespace=namespace).pipelines
    if not found:
        return None, None
    pipeline_id = found[0].pipeline_id
    wanted = named(ir.version(documents))
    versions = client.list_pipeline_versions(pipeline_id, filter=wanted).pipeline_versions
    return pipeline_id, versions[0] if versions else None


def upload(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> kfp_server_api.V2beta1PipelineVersion:
    """Return the server's version of this content, new only if there was none."""
    try:
        return _upload(client, documents, namespace)
    except kfp_server_api.ApiException as error:
        if error.status != 409:
            raise
        log.info("another submission makes the same; looking again")
        return _upload(client, documents, namespace)


def _upload(
    client: kfp.Client, documents: ir.Documents, namespace: str | None
) -> kfp_server_api.V2beta1PipelineVersion:
    pipeline_id, version = find(client, documents, namespace)
    if version is not None:
        log.info("version %s is there already", version.display_name)
        return version
    if pipeline_id is None:
        info = documents[0]["pipelineInfo"]
        pipeline = kfp_server_api.V2beta1Pipeline(
            display_name=info["name"], description=info.get("description"), namespace=namespace
        )
        made = client.pipelines.pipeline_service_create_pipeline(pipeline=pipeline)
        pipeline_id = answered(made.pipeline_id)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        version = client.upload_pipeline_version(
            str(path), ir.version(documents), pipeline_id=pipeline_id
        )
    answered(version.pipeline_version_id)
    log.info("uploaded version %s", ir.version(documents))
    return version
