"""Scans, as moto plays them: an emulator of ECR, which takes any credentials."""

import json

import boto3
import pytest
import requests

from components.errors import UserError
from deploy import ecr
from tests import delivery

REGISTRY = f"{delivery.ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with delivery.emulated_ecr(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.mark.parametrize(
    ("number", "counts", "refuse", "passes"),
    [
        (1, {}, "LOW", True),
        (2, {"HIGH": 3, "MEDIUM": 1}, "CRITICAL", True),
        (3, {"HIGH": 3}, "HIGH", False),
        (4, {"CRITICAL": 1}, "CRITICAL", False),
        (5, {"CRITICAL": 1}, "LOW", False),
    ],
)
def test_what_a_scan_found_is_refused_from_a_severity_on(address, number, counts, refuse, passes):
    client = boto3.client("ecr", endpoint_url=address, region_name="us-east-1", **delivery.KEYS)
    digest = f"sha256:{number:064}"
    which = {"repositoryName": "sentiment-serve", "imageId": {"imageDigest": digest}}
    manifest = {"imageManifest": json.dumps({"n": number}), "imageManifestMediaType": OCI}
    client.put_image(repositoryName="sentiment-serve", imageDigest=digest, **manifest)
    client.start_image_scan(**which)
    findings = {"findings": [], "findingSeverityCounts": counts}
    result = {"imageScanFindings": findings, "imageScanStatus": {"status": "COMPLETE"}}
    result |= {"registryId": delivery.ACCOUNT, **which}
    path = f"{address}/moto-api/static/ecr/scan-finding-results"
    assert requests.post(path, json={"results": [result]}, timeout=60).status_code == 201
    image = f"{REGISTRY}/sentiment-serve@{digest}"
    if passes:
        ecr.scan(client, image, refuse)
    else:
        with pytest.raises(UserError, match=f"{refuse} and worse are refused"):
            ecr.scan(client, image, refuse)
