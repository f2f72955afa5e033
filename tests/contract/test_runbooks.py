"""Every alert has a runbook, and the commands and queries in it exist."""

import re
import shlex
import shutil
import subprocess

import pytest
import requests
import yaml

from pipelines import ir, submit
from tests.conftest import REPO, free_port, running

BOOKS = REPO / "docs/runbooks"
GROUPS = yaml.safe_load((REPO / "manifests/monitoring/config/rules.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
PARTS = ["What it means", "How to see it", "What to do", "How to undo"]


def blocks(kind: str) -> list[str]:
    """Return the lines of all code blocks of a kind, with continued lines joined."""
    texts = [path.read_text() for path in [*sorted(BOOKS.glob("*.md")), REPO / "docs/watch.md"]]
    found = re.findall(rf"^```{kind}\n(.*?)^```", "".join(texts), re.MULTILINE | re.DOTALL)
    return sorted(set("".join(found).replace("\\\n", " ").splitlines()))


KUBECTL = [line for line in blocks("sh") if line.startswith("kubectl ")]
SUBMIT = [line for line in blocks("sh") if line.startswith("python -m pipelines.submit ")]
AMTOOL = [line for line in blocks("sh") if line.startswith("amtool ")]


def test_every_alert_has_a_runbook():
    assert {path.stem for path in BOOKS.glob("*.md")} == set(ALERTS)
    for name, alert in ALERTS.items():
        assert alert["annotations"]["runbook_url"].endswith(f"/runbooks/{name}.md")
        assert re.findall("^## (.*)$", (BOOKS / f"{name}.md").read_text(), re.M) == PARTS
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["dashboard_url"]
        assert alert["labels"]["severity"] in {"page", "ticket", "none"}


def test_links_between_runbooks_exist():
    for path in BOOKS.glob("*.md"):
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
            assert (BOOKS / target.partition("#")[0]).exists(), f"{path.name}: {target}"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")
@pytest.mark.parametrize("command", [*KUBECTL, "kubectl get pods --no-such-flag"])
def test_kubectl_accepts_every_command(command: str):
    """With --help, since there is no cluster to run the command on."""
    words = shlex.split(command)
    result = subprocess.run([*words, "--help"], capture_output=True, text=True)
    assert (result.returncode == 0) == ("--no-such-flag" not in words), result.stderr
    if "--patch" in words:
        yaml.safe_load(words[words.index("--patch") + 1])


@pytest.mark.parametrize("command", SUBMIT)
def test_submit_accepts_every_run_and_trains_on_own_reviews(command: str):
    arguments = shlex.split(command.replace("…", "0" * 64))[3:]
    args = submit.parser().parse_args(arguments)
    documents = ir.load(args.pipeline, args.image)
    assert not ir.unpinned(documents)
    values = ir.parameters(documents, args.param)
    assert values["source"].startswith("s3://")
    assert ("captured" in values) == (args.pipeline == "monitoring")


@pytest.mark.skipif(not shutil.which("amtool"), reason="needs amtool: make packages")
@pytest.mark.parametrize("command", AMTOOL)
def test_amtool_accepts_every_command(command: str):
    words = shlex.split(command)
    usage = subprocess.run([*words[:3], "--help"], capture_output=True, text=True)
    text = usage.stdout + usage.stderr
    assert f"usage: {' '.join(words[:3])}" in text
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert flag in text


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    if not shutil.which("prometheus"):
        pytest.skip("needs prometheus: make packages")
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "prometheus.yml").write_text("scrape_configs: []\n")
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address={address}"]
    with running(command, f"http://{address}/-/ready", directory):
        yield f"http://{address}/api/v1/query"


def test_prometheus_parses_every_query(prometheus):
    recorded = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    queries = blocks("promql")
    assert len(queries) > 30
    for query in queries:
        answer = requests.get(prometheus, {"query": query}, timeout=30).json()
        assert answer["status"] == "success", (query, answer)
        assert set(re.findall(r"\b[a-z]+:[a-z_0-9]+:\w+", query)) <= recorded, query
    wrong = requests.get(prometheus, {"query": "sum by (a (b)"}, timeout=30).json()
    assert wrong["status"] == "error"
