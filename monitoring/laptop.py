"""The configuration of Prometheus and Alertmanager for this machine, made of the cluster's."""

import json
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CONFIG = Path(__file__).parent.parent / "manifests/monitoring/config"
DURATION = re.compile(r"(?<![\w.])(\d+)([smhdw])(?![\w])")
MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class Ports(NamedTuple):
    predictor: int = 8080
    grpc: int = 8081
    prometheus: int = 9090
    alertmanager: int = 9093
    receiver: int = 9095
    exporter: int = 9096


def faster(text: str, times: float) -> str:
    """Divide every duration of a configuration, such as 5m: its time runs so many times faster."""
    if times == 1:
        return text

    def divided(match: re.Match[str]) -> str:
        whole = int(match[1]) * MILLISECONDS[match[2]]
        return f"{max(round(whole / times), 1) if whole else 0}ms"

    return DURATION.sub(divided, text)


def local_routes(text: str, receiver: int, token: Path) -> str:
    """Return Alertmanager's configuration for this machine: its receiver, and nobody's Slack."""
    config = yaml.safe_load(text)
    for each in config["receivers"]:
        each.pop("slack_configs", None)
        for webhook in each.get("webhook_configs", []):
            path = webhook["url"].rpartition("/")[2]
            webhook["url"] = f"http://127.0.0.1:{receiver}/{path}"
            webhook["http_config"]["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(config, sort_keys=False)


def write(directory: Path, ports: Ports, predictor: str, times: float) -> None:
    """Write the configuration of Prometheus and Alertmanager, and a token for the receiver."""
    directory.mkdir(parents=True, exist_ok=True)
    token = directory / "token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe())
    for name, local in (("rules.yml", "rules.yml"), ("laptop.yml", "prometheus.yml")):
        (directory / local).write_text(faster((CONFIG / name).read_text(), times))
    routes = local_routes((CONFIG / "alertmanager.yml").read_text(), ports.receiver, token)
    (directory / "alertmanager.yml").write_text(faster(routes, times))
    of_predictor = {"namespace": "sentiment", "predictor": predictor}
    for job, port, labels in (
        ("sentiment", ports.predictor, of_predictor),
        ("receiver", ports.receiver, {"namespace": "sentiment"}),
        ("exporter", ports.exporter, {"namespace": "sentiment"}),
        ("alertmanager", ports.alertmanager, {}),
    ):
        found: list[dict[str, Any]] = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        (directory / f"{job}.json").write_text(json.dumps(found))
