"""The workflows run job by job with their make targets; tests/delivery.py says what is real."""

import json
import re
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
import yaml

import sentiment.model
import sentiment.store
from components import promote, register
from components.io import registry, reviews
from components.io.files import read_json
from components.verdict import GateVerdict
from deploy.images import IMAGES
from tests import delivery
from tests.cluster import version_of
from tests.serving import wait_until
from tests.system.conftest import local_base
from tests.system.test_images import podman, serving

ROBOT = "41898282+github-actions[bot]@users.noreply.github.com"


@pytest.fixture(scope="module")
def site(tmp_path_factory, images, imdb, trained_worse):
    """A registry with a weak champion, version 1, and a repository whose lock is stale."""
    missing = [n for n in ("docker-registry", "kubectl", "prometheus") if not shutil.which(n)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make packages")
    directory = tmp_path_factory.mktemp("delivery")
    with delivery.site(directory, imdb.iloc[::8][:3000], local_base()) as site:
        make_champion(site, trained_worse, "1", "none")
        yield site
        listed = podman("images", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").splitlines()
        ours = (site.registry, f":{delivery.VERSION}")
        for number in {each.split()[0] for each in listed if any(our in each for our in ours)}:
            podman("rmi", "--force", number)


def make_champion(site, trained, version: str, over: str) -> None:
    """Register a model and promote it, as if it had passed the gate."""
    with tracked(site):
        digest = reviews.digest(reviews.labelled(trained.test))
        metrics, findings = read_json(trained.metrics), read_json(trained.findings)
        arguments = (trained.model, metrics, findings, trained.plots, digest, "sentiment")
        assert register.register(*arguments)[0].version == version
        verdict = GateVerdict("sentiment", version, over, "passed", True, "for a test", {})
        promote.promote(verdict)


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
    """Return the images pinned on main for an overlay and the receiver."""
    folders = (f"overlays/{overlay}/template", "monitoring/receiver")
    return {name: image for folder in folders for name, image in _pinned(site, folder).items()}


def _pinned(site, folder: str) -> dict[str, str]:
    text = site.git("show", f"{site.main()}:manifests/{folder}/kustomization.yaml")
    return {
        each["name"]: f"{each['newName']}@{each['digest']}"
        for each in yaml.safe_load(text)["images"]
    }


def pull_request(site) -> dict:
    return {"pull_request": {"base": {"sha": site.main()}}}


def test_stale_lock_fails_until_retrain_ran(site):
    site.change("more", "Count pairs", **{"params.yaml": site.params(count={"max_n": 2})})
    ended = site.runner.run("ci", "pull_request", "more", pull_request(site))
    assert ended == {"lock": "failure", "test": "success"}
    assert "dvc.lock is stale: ingest (params.yaml: ingest)" in site.runner.failed["lock"]
    assert "run the workflow retrain on this branch" in site.runner.failed["lock"]
    before = site.main()

    ended = site.runner.run("retrain", "push", "more")
    assert ended == {
        **{"train": "success", "record": "success"},
        **dict.fromkeys(("test", "release", "publish", "images", "request"), "skipped"),
    }, site.runner.failed
    assert site.main() == before
    assert site.git("log", "-1", "--format=%ae", "--name-only", "origin/more").split() == [
        *(ROBOT, "dvc.lock")
    ]
    assert "pr comment more --body-file reports/report.md" in " ".join(site.calls("gh"))
    assert "workflow run ci.yml --ref more" in site.calls("gh")
    report = next(each for each in site.runner.outputs if "### Against origin/main" in each)
    assert "| reports/metrics.json | accuracy" in report
    assert "| params.yaml | count.max_n | 1 " in report

    ended = site.runner.run("ci", "pull_request", "more", pull_request(site))
    assert ended == {"lock": "success", "test": "success"}, site.runner.failed
    assert champion(site) == "1"


def test_hand_made_lock_fails(site):
    lock = site.git("show", "origin/more:dvc.lock")
    site.change("by-hand", "Lock it myself", **{"dvc.lock": f"{lock}\n"})
    ended = site.runner.run("ci", "pull_request", "by-hand", pull_request(site))
    assert ended["lock"] == "failure"
    assert "only the workflow retrain may" in site.runner.failed["lock"]


def test_push_to_main_deploys_a_new_version(site):
    site.merge("more")
    ended = site.runner.run("retrain", "push")
    assert set(ended.values()) == {"success"}, site.runner.failed
    assert champion(site) == "2"
    main = site.main()
    # the release is tagged with its notes, and its candidate branch is deleted
    notes = site.git("for-each-ref", "--format=%(contents)", "refs/tags/model-v2")
    assert notes.startswith("# sentiment version 2\n\nPromoted over version 1 by admin, ")
    assert "| min_df | 150 | 2 |" in notes
    assert "| all |" in notes
    assert f"git checkout {site.git('rev-parse', 'model-v2^{commit}')}" in notes
    assert "retrain/" not in site.git("branch", "--remotes")
    # the images are signed by digest, and pinned on main
    images = pinned(site)
    assert images.keys() == set(IMAGES)
    assert any(
        f"sentiment-receiver:{delivery.VERSION} starts" in each for each in site.runner.outputs
    )
    assert images == pinned(site, "staging")
    # the deployment is a run of its own, which waits for its approval
    assert "workflow run deploy.yml --ref main --field overlay=production" in site.calls("gh")
    assert site.cluster.weights == {}
    ended = site.runner.run("deploy", "workflow_dispatch", overlay="production")
    assert set(ended.values()) == {"success"}, site.runner.failed
    main = site.main()
    assert sorted(images.values()) == sorted(set(site.calls("signed")))
    assert site.git("log", "-1", "--format=%ae", main) == ROBOT
    # the version is served, and main has its model.yaml
    wait_until(lambda: site.cluster.weights == {"v2": 100})
    assert served(site) == "v2"
    assert_answers(site, images["sentiment-serve"])


def served(site) -> str:
    text = site.git("show", f"{site.main()}:manifests/overlays/production/model.yaml")
    return version_of(yaml.safe_load(text)["spec"]["predictor"]["name"])


def assert_answers(site, image: str) -> None:
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
            answers = [row["probability"] for row in json.load(response)["predictions"]]
    expected = sentiment.model.probabilities(sentiment.store.load(model), texts)[:, 1]
    assert answers == expected.tolist()
    subprocess.run(["podman", "rmi", "--force", image], capture_output=True)


def state(site) -> tuple:
    """Return all that a chain of jobs may change."""
    tags = [site.tags(image) for image in IMAGES]
    released = site.git("tag", "--list", "model-*")
    return champion(site), pinned(site), tags, site.calls("signed"), released, site.cluster.weights


def run_until_failure(site, at: str) -> str:
    """Run the chain on main, assert that it stops at a job, and return the job's output."""
    ended = site.runner.run("retrain", "push")
    assert [name for name, how in ended.items() if how == "failure" and "/" not in name] == [
        at.partition("/")[0]
    ]
    assert ended["request"] == "skipped"
    return site.runner.failed[at.rpartition("/")[2]]


def test_same_commit_is_pushed_once(site):
    commit = site.git("rev-parse", "model-v2^{commit}")
    before = state(site)
    site.runner.replaced["make images"] = "true"  # the images of this commit are in the registry
    ended = site.runner.run("images", "workflow_dispatch", commit=site.tags("sentiment-serve")[0])
    del site.runner.replaced["make images"]
    assert set(ended.values()) == {"success"}, site.runner.failed
    assert state(site) == before
    assert commit in site.tags("sentiment-serve")


def test_broken_tests_stop_before_release(site):
    before = state(site)
    text = (site.work / "tests/unit/test_tokens.py").read_text()
    broken = {"tests/unit/test_tokens.py": f"{text}\nbroken on purpose\n"}
    site.change("broken-tests", "Break the tests", **broken)
    site.merge("broken-tests")
    assert "broken on purpose" in run_until_failure(site, "test/test")
    assert "retrain-release: make release" not in site.runner.commands
    assert state(site) == before
    site.change("repaired", "Repair the tests", **{"tests/unit/test_tokens.py": text})
    site.merge("repaired")


def test_broken_serving_image_is_not_pushed(site):
    before = state(site)
    main = site.work / "serving/__main__.py"
    text = main.read_text()
    broken = text.replace("import sys\n", "import sys\n\nraise SystemExit('broken')\n", 1)
    assert broken != text
    site.change("broken-image", "Break the image", **{"serving/__main__.py": broken})
    site.merge("broken-image")
    ended = site.runner.run("images", "workflow_dispatch", commit=site.main())
    assert ended == {"build": "failure", "pin": "skipped"}
    assert "podman did not start: broken" in site.runner.failed["build"]
    assert state(site) == before
    site.change("repaired", "Repair the image", **{"serving/__main__.py": text})
    site.merge("repaired")


def test_worse_model_stops_the_chain(site):
    before, main = state(site), site.main()
    worse = site.params(count={"max_n": 1}, merge={"min_df": 150})
    site.change("worse", "Learn from few words", **{"params.yaml": worse})
    site.runner.run("retrain", "push", "worse")
    site.merge("worse")
    merged = site.main()
    assert "worse: accuracy" in run_until_failure(site, "release")
    assert state(site) == before
    assert site.main() == merged != main


def test_unfit_canary_is_rolled_back_in_registry(site, trained):
    make_champion(site, trained, "4", "2")
    site.cluster.faults["v4"] = {"environment": {"MODEL_VERSION": "9"}}
    ended = site.runner.run("deploy", "workflow_dispatch", overlay="production")
    assert ended == {"deploy": "failure", "record": "success"}, site.runner.failed
    words = r"v4-\w+ answered the first request with status 200, as version 9"
    assert re.search(words, site.runner.failed["deploy"])
    wait_until(lambda: site.cluster.weights == {"v2": 100})
    assert served(site) == "v2"
    assert champion(site) == "2"
    with tracked(site) as client:
        last = registry.moves(client, "sentiment")[0]
    assert last.outcome == "rolled_back"
    assert last.before == "4"
    assert last.after == "2"


def test_rollback_to_an_earlier_version(site):
    why = "slow on long reviews; $(touch pwned) `touch pwned`"
    ended = site.runner.run(
        "rollback", "workflow_dispatch", overlay="production", version="1", why=why
    )
    assert set(ended.values()) == {"success"}, site.runner.failed
    wait_until(lambda: site.cluster.weights == {"v1": 100})
    assert served(site) == "v1"
    assert champion(site) == "1"
    with tracked(site) as client:
        last = registry.moves(client, "sentiment")[0]
    assert last.outcome == "rolled_back"
    assert last.before == "2"
    assert last.after == "1"
    assert last.why == why
    assert not list(site.directory.rglob("pwned"))
    ended = site.runner.run(
        "rollback", "workflow_dispatch", overlay="production", version="77", why=why
    )
    assert ended["rollback"] == "failure"
    assert "--version 77: sentiment has no such version" in site.runner.failed["rollback"]
    assert served(site) == "v1"
    assert champion(site) == "1"
