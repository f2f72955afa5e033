"""Another model takes the place of the served one, and no request notices."""

import json
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

import sentiment.model
import sentiment.store
from tests.serving import (
    INFER,
    JSON,
    PREDICT,
    TEXTS,
    WATCHED,
    Server,
    place,
    serving,
    until,
    version,
)

SWAPS = 200
Answer = tuple[str, set[float]]  # version, and the probabilities
BATCH = [TEXTS[0]] * 40  # one answer for each, unless two versions had a part in it


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
    """Ask without a pause, over all three protocols, while the block runs."""
    over = threading.Event()

    def ask(how: Callable[[Server], Answer]) -> None:
        while not over.is_set():
            answers[how.__name__].append(how(server))

    with ThreadPoolExecutor() as pool:
        callers = [pool.submit(ask, how) for how in (v1, v2, over_grpc)]
        try:
            yield
        finally:
            over.set()
    for caller in callers:
        caller.result()  # a request that failed has ended it


def test_200_swaps_under_load_fail_no_request_and_mix_no_versions(trained, trained_worse, tmp_path):
    models = [trained.model, trained_worse.model]
    digests = [sentiment.store.digest(model)[:12] for model in models]
    expected = {
        digest: {sentiment.model.probabilities(sentiment.store.load(model), TEXTS[:1])[0]}
        for digest, model in zip(digests, models, strict=True)
    }
    folder = tmp_path / "model"
    place(models[0], folder)
    answers: dict[str, list[Answer]] = defaultdict(list)
    with serving(folder, tmp_path, *WATCHED) as server, asking(server, answers):
        for swap in range(1, SWAPS + 1):
            place(models[swap % 2], folder)
            until(lambda now=digests[swap % 2]: version(server) == now)
        samples = server.samples()
    assert samples["model_load_count_total", "taken in"] == SWAPS
    assert len(answers) == 3
    for came in answers.values():
        assert len(came) > SWAPS
        assert {name for name, _ in came} == set(digests)
        assert all(scores == expected[name] for name, scores in came)


def test_a_bad_model_is_refused_and_the_old_one_stays(trained, trained_worse, tmp_path):
    folder = tmp_path / "model"
    place(trained.model, folder)
    good = sentiment.store.digest(trained.model)
    with serving(folder, tmp_path, *WATCHED) as server:
        before = server.predict(TEXTS)
        for number, spoil in enumerate((_cut, _exchange, _forget, _sign), 1):
            shutil.copytree(trained_worse.model, spoiled := tmp_path / f"bad-{number}")
            spoil(spoiled, trained.model)
            refused = server.samples().get(("model_load_count_total", "refused"), 0)
            place(spoiled, folder)
            # a look at the one before may end only now
            until(
                lambda n=refused + 1: (
                    server.samples().get(("model_load_count_total", "refused"), 0) > n
                )
            )
            assert server.predict(TEXTS) == before
        assert server.samples()["model_version_info", good, good[:12]] == 1
        place(trained_worse.model, folder)
        worse = sentiment.store.digest(trained_worse.model)[:12]
        until(lambda: version(server) == worse)
        said = [line for line in server.log.read_text().splitlines() if "stays: " in line]
    # each reason once, not at each look; the first two are the same to who compares digests
    assert len(said) == len(set(said)) == 3


def _cut(model: Path, other: Path) -> None:
    whole = (model / "model.skops").read_bytes()
    (model / "model.skops").write_bytes(whole[: len(whole) // 2])


def _exchange(model: Path, other: Path) -> None:
    shutil.copy(other / "model.skops", model / "model.skops")


def _forget(model: Path, other: Path) -> None:
    (model / "model.skops").unlink()


def _sign(model: Path, other: Path) -> None:
    (model / "MLmodel").write_text("signature: {inputs: '[]', outputs: '[]'}\n")


def test_the_alias_of_a_registry_is_followed(trained, trained_worse, stage, tmp_path):
    registry = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/registry.db"}
    for number, paths in enumerate((trained, trained_worse), 1):
        arguments = [*paths.registration(), "--registered", f"{number}.json"]
        result = stage("register", *arguments, **registry)
        assert result.returncode == 0, result.stderr
    with serving(
        "models:/sentiment@challenger", tmp_path / "server", "--watch_seconds", "0.5", **registry
    ) as server:
        assert version(server) == "2"
        again = stage("register", *trained.registration(), "--registered", "1.json", **registry)
        assert again.returncode == 0, again.stderr
        until(lambda: version(server) == "1")
        # it came with a reference, so that drift from it can be told
        for _ in range(5):
            server.predict(BATCH)
        drift = {key[1] for key in server.samples() if key[0] == "model_drift_psi"}
        assert drift == {"score", "length", "unknown"}


def test_models_are_loaded_and_unloaded_over_v2_where_that_is_allowed(trained, tmp_path):
    with serving(trained.model, tmp_path, "--model_control", "explicit") as server:
        assert _control(server, "unload") == 200
        assert server.ask(PREDICT, b'{"instances": ["x"]}', JSON)[0] == 404
        assert server.ask("/v1/models/sentiment")[0] == 404
        assert _control(server, "load") == 200
        assert server.predict(["x"])
        assert _control(server, "unload", "another") == 404
        assert _control(server, "load", "another") == 404


def test_and_nowhere_else(server):
    status, reason = server.refusal("/v2/repository/models/sentiment/unload", b"")
    assert (status, "--model_control" in reason) == (403, True)
    assert server.refusal("/v2/repository/models/sentiment/load", b"")[0] == 403
    assert server.predict(["x"])


def _control(server: Server, verb: str, name: str = "sentiment") -> int:
    return server.ask(f"/v2/repository/models/{name}/{verb}", b"")[0]


def test_flags_that_make_no_sense_are_usage_errors(tmp_path):
    for flags in (["--watch_seconds", "-1"], ["--capture_sample", "2"], ["--model_control", "x"]):
        with pytest.raises(AssertionError, match=flags[0]), serving("x", tmp_path, *flags):
            pass
    with (
        pytest.raises(AssertionError, match="ftp://x: not a folder"),
        serving("x", tmp_path, "--capture", "ftp://x"),
    ):
        pass
