"""Write rules and routes as the objects that the Prometheus operator takes, into its folder.

manifests/monitoring/config is where they are changed.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

from components import cli
from components.errors import UserError
from components.io.files import replacing
from monitoring.laptop import CONFIG

FOLDER = CONFIG.parent / "operator"
SECRET = "alertmanager"  # noqa: S105 - its name
MADE = "# Made by `python -m monitoring.operator` of config/{}; change that.\n"
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*?)"?\s*')


def rules(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sentiment", "namespace": "sentiment"},
        "spec": config,
    }


def alerts(config: dict[str, Any]) -> dict[str, Any]:
    """Return Alertmanager's configuration as an object of the namespace that its alerts name."""
    inhibited = [
        {
            "sourceMatch": _matchers(each["source_matchers"]),
            "targetMatch": _matchers(each["target_matchers"]),
            "equal": each["equal"],
        }
        for each in config["inhibit_rules"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "sentiment", "namespace": "sentiment"},
        "spec": {
            "route": _route(config["route"]),
            "inhibitRules": inhibited,
            "receivers": [_receiver(each) for each in config["receivers"]],
        },
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _matchers(texts: list[str]) -> list[dict[str, str]]:
    found = []
    for text in texts:
        match = MATCHER.fullmatch(text)
        if match is None:
            raise UserError(f"alertmanager.yml: {text!r} is not a matcher")
        found.append({"name": match[1], "matchType": match[2], "value": match[3]})
    return found


def _route(route: dict[str, Any]) -> dict[str, Any]:
    made = {_camel(key): value for key, value in route.items()}
    if "matchers" in made:
        made["matchers"] = _matchers(made["matchers"])
    if "routes" in made:
        made["routes"] = [_route(each) for each in made["routes"]]
    return made


def _receiver(receiver: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": receiver["name"]}
    for kind in receiver.keys() - {"name"}:
        made[_camel(kind)] = [_channel(each) for each in receiver[kind]]
    return made


def _channel(channel: dict[str, Any]) -> dict[str, Any]:
    """Return a channel whose secrets, files in our own Alertmanager, are keys of a Secret."""
    made = {_camel(key): value for key, value in channel.items()}
    if "apiUrlFile" in made:
        made["apiURL"] = _key(made.pop("apiUrlFile"))
    if "httpConfig" in made:
        file = made["httpConfig"]["authorization"]["credentials_file"]
        made["httpConfig"] = {"authorization": {"credentials": _key(file)}}
    return made


def _key(file: str) -> dict[str, str]:
    return {"name": SECRET, "key": Path(file).name}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write(folder: Path) -> None:
    for source, make in (("rules.yml", rules), ("alertmanager.yml", alerts)):
        made = make(yaml.safe_load((CONFIG / source).read_text()))
        with replacing(folder / f"{make.__name__}.yaml") as partial:
            text = yaml.dump(made, Dumper=_Plain, sort_keys=False, width=1000)
            partial.write_text(MADE.format(source) + text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.operator", description=__doc__)
    parser.parse_args(argv)
    return cli.run("operator", lambda: write(FOLDER))


if __name__ == "__main__":
    raise SystemExit(main())
