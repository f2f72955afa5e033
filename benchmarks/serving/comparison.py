"""Measure one server: install it, start it, check its answers, then load it."""

import json
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.serving import contenders, environments
from benchmarks.serving.contenders import Contender
from benchmarks.serving.load import Measurement, Workload, measure
from benchmarks.serving.server import UnfitError, running
from components.io.processes import free_ports

TOLERANCE = 1e-9


@dataclass
class Results:
    """The measurements of each contender by its name, or the reason why there are none."""

    measured: defaultdict[tuple[str, Workload], list[Measurement]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The same inputs for all servers: texts, their expected probabilities, folders of models."""

    texts: Sequence[str]
    expected: Sequence[float]
    folders: dict[str, Path]
    scratch: Path

    def run(self, contender: Contender, workloads: Sequence[Workload], results: Results) -> None:
        """Measure ``contender`` under each workload, unless it failed in an earlier round."""
        if contender.name in results.failures:
            return
        directory = self.scratch / contender.name
        directory.mkdir(exist_ok=True)
        http, grpc, metrics = free_ports(3)
        fill = partial(
            str.format,
            http=http,
            grpc=grpc,
            metrics=metrics,
            model=self.folders.get(contender.model, ""),
        )
        url = f"http://127.0.0.1:{http}"
        environment = {key: fill(value) for key, value in contender.environment.items()}
        environment["PYTHONPATH"] = str(environments.ROOT)
        if contender.model in self.folders:
            environment["MODEL"] = str(self.folders[contender.model])
        try:
            python = environments.python(contender.requirements)
            command = [python, "-m", *fill(contender.command).split()]
            ready = partial(self._is_ready, contender, url)
            with running(command, environment, directory, ready) as server:
                self._check(contender, url)
                for workload in workloads:
                    results.measured[contender.name, workload].append(
                        measure(url, contender.protocol, self.texts, workload, directory, server)
                    )
        except UnfitError as error:
            results.failures[contender.name] = str(error)

    def _is_ready(self, contender: Contender, url: str) -> bool:
        try:
            _request(contender, url, self.texts[:1])
        except (OSError, UnfitError):
            return False
        return True

    def _check(self, contender: Contender, url: str) -> None:
        """Compare answers with the Pipeline's; the reference's own model must only answer.

        Raises:
            UnfitError: the answers differ.
        """
        sizes = (1, 8) if contender.protocol.batches else (1,)
        for size in sizes:
            for start in range(0, 64, size):
                texts = self.texts[start : start + size]
                answers = _request(contender, url, texts)
                expected = {
                    contenders.PIPELINE: self.expected[start : start + size],
                    contenders.NOTHING: [0.5] * size,
                }.get(contender.model, answers)
                pairs = zip(answers, expected, strict=False)
                if len(answers) != size or any(abs(a - b) > TOLERANCE for a, b in pairs):
                    raise UnfitError(f"{answers} where the model gives {expected}")


def _request(contender: Contender, url: str, texts: Sequence[str]) -> list[float]:
    protocol = contender.protocol
    request = urllib.request.Request(
        url + protocol.path,
        protocol.body(list(texts)).encode(),
        {"Content-Type": protocol.content_type},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = response.read().decode()
    except urllib.error.HTTPError as error:
        raise UnfitError(f"{error.code} {error.read()[:200]!r}") from error
    try:
        return protocol.probabilities(answer)
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise UnfitError(f"the answer has no probabilities: {answer[:200]!r}") from error
