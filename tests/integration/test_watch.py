"""Replace the served model while requests are answered."""

import json
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

import sentiment.model
import sentiment.store
from tests.serving import (
    INFER,
    JSON,
    PREDICT,
    TEXTS,
    WATCH,
    Server,
    replace_model,
    serving,
    wait_until,
)

REPLACEMENTS = 200
Answer = tuple[str, set[float]]  # version, and the probabilities
BATCH = [TEXTS[0]] * 40  # equal texts: two probabilities mean that two versions answered
REFUSED = ("model_load_count_total", "refused")
UNAVAILABLE = ("model_load_count_total", "unavailable")
REASONS = (
    *("model.skops: not the model that was registered",) * 2,
    "MLmodel: signature",
    "findings.json: not a regular file",
    "findings.json: reference.score: not an object",
)


def v1(server: Server) -> Answer:
    body = json.dumps({"instances": BATCH}).encode()
    _, answer, headers = server.ask(PREDICT, body, JSON)
    return headers["x-model-version"], {row["probability"] for row in answer["predictions"]}


def v2(server: Server) -> Answer:
    tensor = {"name": "text", "shape": [len(BATCH)], "datatype": "BYTES", "data": BATCH}
    _, answer, headers = server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)
    assert answer["model_version"] == headers["x-model-version"]
    return answer["model_version"], set(answer["outputs"][1]["data"])


def over_grpc(server: Server) -> Answer:
    request = pb.ModelInferRequest(model_name="sentiment")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(BATCH)])
    tensor.contents.bytes_contents.extend(text.encode() for text in BATCH)
    with grpc.insecure_channel(server.grpc) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    return answer.model_version, set(answer.outputs[1].contents.fp64_contents)


@contextmanager
def asking(server: Server, answers: dict[str, list[Answer]]) -> Iterator[None]:
    """Send requests without a pause, over all three protocols, while the block runs."""
    over = threading.Event()

    def ask(protocol: Callable[[Server], Answer]) -> None:
        while not over.is_set():
            answers[protocol.__name__].append(protocol(server))

    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(ask, protocol) for protocol in (v1, v2, over_grpc)]
        try:
            yield
        finally:
            over.set()
    for client in clients:
        client.result()  # raises if a request failed


def test_200_replacements_fail_no_request(trained, trained_worse, tmp_path):
    models = [trained.model, trained_worse.model]
    digests = [sentiment.store.digest(model)[:12] for model in models]
    expected = {
        digest: {sentiment.model.probabilities(sentiment.store.load(model), TEXTS[:1])[0, 1]}
        for digest, model in zip(digests, models, strict=True)
    }
    folder = tmp_path / "model"
    replace_model(models[0], folder)
    answers: dict[str, list[Answer]] = defaultdict(list)
    with serving(folder, tmp_path, *WATCH) as server, asking(server, answers):
        for number in range(1, REPLACEMENTS + 1):
            replace_model(models[number % 2], folder)
            wait_until(lambda expected=digests[number % 2]: server.version() == expected)
        samples = server.samples()
    assert samples["model_load_count_total", "taken in"] == REPLACEMENTS
    assert len(answers) == 3
    for received in answers.values():
        assert len(received) > REPLACEMENTS
        assert {version for version, _ in received} == set(digests)
        assert all(scores == expected[version] for version, scores in received)


def test_invalid_model_is_refused_once(trained, trained_worse, tmp_path):
    folder = tmp_path / "model"
    replace_model(trained.model, folder)
    good = sentiment.store.digest(trained.model)
    damages = (_truncate, _exchange, _change_signature, _exchange_by_fifo, _damage_reference)
    with serving(folder, tmp_path, *WATCH) as server:
        before = server.predict(TEXTS)
        for number, damage in enumerate(damages, 1):
            shutil.copytree(trained_worse.model, damaged := tmp_path / f"damaged-{number}")
            damage(damaged, trained.model)
            (tmp_path / "link").symlink_to(damaged)
            (tmp_path / "link").replace(folder)
            wait_until(lambda n=number: server.samples().get(REFUSED, 0) == n)
            assert server.predict(TEXTS) == before
        damaged.joinpath("model.skops").unlink()
        # unlike a refused model, a folder without one is looked at again
        wait_until(lambda: server.samples().get(UNAVAILABLE, 0) > 2)
        samples = server.samples()
        assert samples["model_version_info", good, good[:12]] == 1
        assert samples[REFUSED] == len(damages)
        replace_model(trained_worse.model, folder)
        worse = sentiment.store.digest(trained_worse.model)
        wait_until(lambda: server.version() == worse[:12])
        log = server.log.read_text()
    lines = [line for line in log.splitlines() if "stays" in line]
    assert len(lines) == len(damages) + 1
    for line, reason in zip(lines, (*REASONS, "No such file"), strict=True):
        assert reason in line
        assert f"version {good[:12]} stays" in line
    served = [line for line in log.splitlines() if "serving " in line and "digest" in line]
    assert len(served) == 2
    for line, digest in zip(served, (good, worse), strict=True):
        assert f"serving {folder}, version {digest[:12]}, digest {digest}" in line


def test_equal_size_time_and_inode_are_another_model(trained, tmp_path):
    """Also where one file beside the model has changed alone."""
    folder = tmp_path / "model"
    shutil.copytree(trained.model, folder)
    path = folder / "model.skops"
    model = sentiment.store.load(folder)
    model["classifier"].weights_[0] = np.nextafter(model["classifier"].weights_[0], 1)
    (tmp_path / "other").mkdir()
    digest = sentiment.store.save(model, tmp_path / "other")
    facts = json.loads((folder / "training.json").read_text()) | {"model_digest": digest}
    (folder / "training.json").unlink()  # it has the digest of one model alone
    with serving(folder, tmp_path, *WATCH) as server:
        before = path.stat()
        path.write_bytes((tmp_path / "other/model.skops").read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
        assert before.st_mtime_ns == after.st_mtime_ns
        wait_until(lambda: server.version() == digest[:12])
        (folder / "training.json").write_text(json.dumps(facts))
        wait_until(lambda: server.samples()["model_load_count_total", "taken in"] == 2)


def _truncate(model: Path, other: Path) -> None:
    whole = (model / "model.skops").read_bytes()
    (model / "model.skops").write_bytes(whole[: len(whole) // 2])


def _exchange(model: Path, other: Path) -> None:
    shutil.copy(other / "model.skops", model / "model.skops")


def _exchange_by_fifo(model: Path, other: Path) -> None:
    (model / "findings.json").unlink(missing_ok=True)
    os.mkfifo(model / "findings.json")


def _damage_reference(model: Path, other: Path) -> None:
    (model / "findings.json").write_text('{"reference": {"score": 5}}')


def _change_signature(model: Path, other: Path) -> None:
    (model / "MLmodel").write_text("signature: {inputs: '[]', outputs: '[]'}\n")


def test_moved_alias_is_followed(trained, trained_worse, stage, tmp_path):
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/registry.db"}
    for number, paths in enumerate((trained, trained_worse), 1):
        arguments = [*paths.registration(), "--registered", f"{number}.json"]
        result = stage("register", *arguments, **registry)
        assert result.returncode == 0, result.stderr
    with serving(
        "models:/sentiment@challenger", tmp_path / "server", "--watch_seconds", "0.5", **registry
    ) as server:
        assert server.version() == "2"
        again = stage("register", *trained.registration(), "--registered", "1.json", **registry)
        assert again.returncode == 0, again.stderr
        wait_until(lambda: server.version() == "1")
        # a registered model has a reference, and so its drift is measured
        for _ in range(5):
            server.predict(BATCH)
        drift = {key[1] for key in server.samples() if key[0] == "model_drift_psi"}
        assert drift == {"score", "length", "unknown"}


def test_explicit_control_allows_load_and_unload(trained, tmp_path):
    with serving(trained.model, tmp_path, "--model_control", "explicit") as server:
        assert _control(server, "unload") == 200
        assert server.ask(PREDICT, b'{"instances": ["x"]}', JSON)[0] == 503
        assert server.ask("/v1/models/sentiment")[0] == 503
        assert _control(server, "load") == 200
        assert server.predict(["x"])
        assert _control(server, "unload", "another") == 404
        assert _control(server, "load", "another") == 404


def test_load_and_unload_are_forbidden_by_default(server):
    status, reason = server.refusal("/v2/repository/models/sentiment/unload", b"")
    assert status == 403
    assert "--model_control" in reason
    assert server.refusal("/v2/repository/models/sentiment/load", b"")[0] == 403
    assert server.predict(["x"])


def _control(server: Server, verb: str, name: str = "sentiment") -> int:
    return server.ask(f"/v2/repository/models/{name}/{verb}", b"")[0]
