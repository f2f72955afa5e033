"""Write the alert rules and routes of manifests/monitoring as objects of the Prometheus operator.

The rules get the thresholds of params.yaml first: monitor.max_psi and gate.min_accuracy.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from components.io.files import replacing
from monitoring.settings import MANIFESTS, NAME, NAMESPACE

SECRET = "alertmanager"  # noqa: S105 - the name of a Secret
HEADER = "# Written by `python -m monitoring.generate` from config/{}; change that file.\n"
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*?)"?\s*')
DRIFT = "predictor:model_drift_psi:max >"  # in the rule SentimentDrift
LIVE = "version:pipeline_live_accuracy_high:max <"  # in SentimentLiveAccuracyLow


def set_thresholds(rules: str, max_psi: float, min_accuracy: float) -> str:
    """Return the text of the alert rules with these limits of drift and of live accuracy."""
    for comparison, limit in ((DRIFT, max_psi), (LIVE, min_accuracy)):
        rules, replaced = re.subn(rf"(?<={re.escape(comparison)} )[\d.]+", f"{limit:g}", rules)
        if replaced != 1:
            raise UserError(f"rules.yml: no rule has `{comparison}` and a number")
    return rules


def prometheus_rule(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": config,
    }


def alertmanager_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's configuration as an object of the alerts' namespace."""
    inhibit_rules = [
        {
            "sourceMatch": _matchers(rule["source_matchers"]),
            "targetMatch": _matchers(rule["target_matchers"]),
            "equal": rule["equal"],
        }
        for rule in config["inhibit_rules"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "route": _route(config["route"]),
            "inhibitRules": inhibit_rules,
            "receivers": [_receiver(receiver) for receiver in config["receivers"]],
        },
    }


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _matchers(texts: list[str]) -> list[dict[str, str]]:
    matchers = []
    for text in texts:
        match = MATCHER.fullmatch(text)
        if match is None:
            raise UserError(f"alertmanager.yml: {text!r} is not a matcher")
        matchers.append({"name": match[1], "matchType": match[2], "value": match[3]})
    return matchers


def _route(config: dict[str, Any]) -> dict[str, Any]:
    route = {_camel_case(key): value for key, value in config.items()}
    if "matchers" in route:
        route["matchers"] = _matchers(route["matchers"])
    if "routes" in route:
        route["routes"] = [_route(child) for child in route["routes"]]
    return route


def _receiver(config: dict[str, Any]) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": config["name"]}
    for kind in config.keys() - {"name"}:
        receiver[_camel_case(kind)] = [_integration(each) for each in config[kind]]
    return receiver


def _integration(config: dict[str, Any]) -> dict[str, Any]:
    """Return a Slack or webhook configuration, its secret files as keys of the Secret."""
    integration = {_camel_case(key): value for key, value in config.items()}
    if "apiUrlFile" in integration:
        integration["apiURL"] = _secret_key(integration.pop("apiUrlFile"))
    if "httpConfig" in integration:
        file = integration["httpConfig"]["authorization"]["credentials_file"]
        integration["httpConfig"] = {"authorization": {"credentials": _secret_key(file)}}
    return integration


def _secret_key(file: str) -> dict[str, str]:
    return {"name": SECRET, "key": Path(file).name}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write(folder: Path, max_psi: float, min_accuracy: float) -> None:
    """Write config/rules.yml and operator/*.yaml of manifests/monitoring to ``folder``."""
    config = MANIFESTS / "config"
    rules = set_thresholds((config / "rules.yml").read_text(), max_psi, min_accuracy)
    routes = (config / "alertmanager.yml").read_text()
    objects = (
        ("rules.yml", "rules.yaml", prometheus_rule(yaml.safe_load(rules))),
        ("alertmanager.yml", "alerts.yaml", alertmanager_config(yaml.safe_load(routes))),
    )
    with replacing(folder / "config/rules.yml") as partial:
        partial.write_text(rules)
    for source, name, written in objects:
        with replacing(folder / "operator" / name) as partial:
            text = yaml.dump(written, Dumper=_Dumper, sort_keys=False, width=1000)
            partial.write_text(HEADER.format(source) + text)
