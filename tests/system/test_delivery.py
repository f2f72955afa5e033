"""The workflows, job after job, by their own make targets; tests/delivery.py says what is real."""

import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
import yaml

import sentiment.model
import sentiment.store
from components import promote, register, registry, reviews
from components.files import read_json
from tests import delivery
from tests.system.conftest import LOCAL_BASE
from tests.system.test_images import podman, serving

ROBOT = "41898282+github-actions[bot]@users.noreply.github.com"


@pytest.fixture(scope="module")
def site(tmp_path_factory, images, imdb, trained, trained_worse):
    """A champion, version 1, that anything beats; and a repository whose lock is not its own."""
    if not shutil.which("docker-registry"):
        pytest.skip("needs docker-registry: make packages")
    directory = tmp_path_factory.mktemp("delivery")
    with delivery.site(directory, imdb.iloc[::8][:3000], LOCAL_BASE) as site:
        with tracked(site):
            digest = reviews.digest(reviews.labelled(trained.test))
            metrics, findings = read_json(trained_worse.metrics), read_json(trained_worse.findings)
            register.register(
                trained_worse.model, metrics, findings, trained_worse.plots, digest, "sentiment"
            )
            verdict = {"name": "sentiment", "version": "1", "champion": "none", "passed": True}
            promote.promote(verdict | {"why": "the first", "figures": {}})
        yield site
        names = podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        ours = (site.registry, f":{delivery.VERSION}")
        for name in names:
            if any(each in name for each in ours):
                podman("rmi", "--force", name)


@contextmanager
def tracked(site):
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**site.runner.aws, **site.tracking}.items():
            patch.setenv(key, value)
        with registry.connected() as client:
            yield client


def champion(site) -> str:
    with tracked(site) as client:
        return str(registry.alias_version(client, "sentiment", "champion").version)


def pinned(site, overlay: str = "production") -> dict[str, str]:
    text = site.git("show", f"{site.main()}:manifests/overlays/{overlay}/kustomization.yaml")
    return {
        each["name"]: f"{each['newName']}@{each['digest']}"
        for each in yaml.safe_load(text)["images"]
    }


def pull_request(site) -> dict:
    return {"pull_request": {"base": {"sha": site.main()}}}


def test_a_stale_lock_fails_a_pull_request_until_retrain_has_run(site):
    site.change("more", "Count pairs", **{"params.yaml": site.params(count={"max_n": 2})})
    ended = site.runner.run("ci", "pull_request", "more", pull_request(site))
    assert ended == {"lock": "failure", "test": "success"}
    assert "dvc.lock is stale: ingest (its command)" in site.runner.failed["lock"]
    assert "run the workflow retrain on this branch" in site.runner.failed["lock"]
    before = site.main()

    ended = site.runner.run("retrain", "push", "more")
    assert ended == {
        **{"train": "success", "record": "success"},
        **dict.fromkeys(("test", "release", "publish", "images", "deploy"), "skipped"),
    }, site.runner.failed
    assert site.main() == before
    assert site.git("log", "-1", "--format=%ae", "--name-only", "origin/more").split() == [
        *(ROBOT, "dvc.lock")
    ]
    assert "pr comment more --body-file reports/report.md" in " ".join(site.calls("gh"))
    assert "workflow run ci.yml --ref more" in site.calls("gh")
    report = next(each for each in site.runner.said if "### Against origin/main" in each)
    assert "| reports/metrics.json | accuracy" in report
    assert "| params.yaml | count.max_n | 1 " in report

    ended = site.runner.run("ci", "pull_request", "more", pull_request(site))
    assert ended == {"lock": "success", "test": "success"}, site.runner.failed
    assert champion(site) == "1"


def test_a_lock_that_was_changed_by_hand_fails_a_pull_request(site):
    lock = site.git("show", "origin/more:dvc.lock")
    site.change("by-hand", "Lock it myself", **{"dvc.lock": f"{lock}\n"})
    ended = site.runner.run("ci", "pull_request", "by-hand", pull_request(site))
    assert ended["lock"] == "failure"
    assert "only the workflow retrain may" in site.runner.failed["lock"]


def test_from_a_push_to_an_image_that_answers(site):
    site.merge("more")
    ended = site.runner.run("retrain", "push")
    assert set(ended.values()) == {"success"}, site.runner.failed
    assert champion(site) == "2"
    main = site.main()
    # what was released is tagged, with its notes, and its candidate is gone
    notes = site.git("for-each-ref", "--format=%(contents)", "refs/tags/model-v2")
    assert notes.startswith("# sentiment version 2\n\nPromoted over version 1 by admin, ")
    assert "| max_n | 1 | 2 |" in notes
    assert "| all |" in notes
    assert f"git checkout {site.git('rev-parse', 'model-v2^{commit}')}" in notes
    assert "retrain/" not in site.git("branch", "--remotes")
    # the images are signed, by digest, and main says so
    images = pinned(site)
    assert images == pinned(site, "staging")
    assert sorted(images.values()) == sorted(set(site.calls("signed")))
    assert site.git("log", "-1", "--format=%ae", main) == ROBOT
    ask(site, images["sentiment-serve"])


def ask(site, image: str) -> None:
    """Pull an image by digest, run it with the champion, and compare its answers."""
    podman("rmi", "--force", f"localhost/sentiment-serve:{delivery.VERSION}")
    login = ["--authfile", site.runner.environment["REGISTRY_AUTH_FILE"]]
    podman("pull", "--quiet", "--tls-verify=false", *login, image)
    with tracked(site) as client:
        version = registry.alias_version(client, "sentiment", "champion")
        folder = site.directory / "champion"
        folder.mkdir()
        model = registry.download(client, version, folder)
    texts = ["A warm, funny film.", "Two dull hours."]
    with serving(image, model, site.directory / "serving.log") as (_, port):
        url = f"http://127.0.0.1:{port}/v1/models/sentiment:predict"
        body = json.dumps({"instances": texts}).encode()
        with urllib.request.urlopen(url, body, timeout=60) as response:
            found = [row["probability"] for row in json.load(response)["predictions"]]
    expected = sentiment.model.probabilities(sentiment.store.load(model), texts)
    assert found == expected.tolist()
    subprocess.run(["podman", "rmi", "--force", image], capture_output=True)
