"""Image scans in moto, an emulator of ECR, which accepts any credentials."""

import json

import boto3
import pytest
import requests

from components.errors import UserError
from deploy import images
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
def test_scan_is_refused_by_severity(address, number, counts, refuse, passes):
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
        images.scan(client, image, refuse)
    else:
        with pytest.raises(UserError, match=f"{refuse} and worse are refused"):
            images.scan(client, image, refuse)
