"""A stand-in for kubectl: objects are files of STAND_IN, and a forward of a port copies bytes.

An object is the file NAMESPACE.KIND.NAME, and ports.json has the port behind each Service. Logs of
pods are in the file ``logs``, Argo's workflows in ``workflows``, the rendered overlay in
``rendered``. What is applied and deleted is appended to the file of the verb.
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN"])
VALUED = {"--namespace", "--selector", "--output", "--container", "--request-timeout"}


def copy(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.close()


def forward(service: str, ports: str) -> None:
    behind = json.loads((FOLDER / "ports.json").read_text())
    if service not in behind:
        sys.exit(f'Error from server (NotFound): services "{service}" not found')
    local = int(ports.partition(":")[0])
    with socket.create_server(("127.0.0.1", local)) as listener:
        print(f"Forwarding from 127.0.0.1:{local} -> 1", flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", behind[service]))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()


def split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return flags, each as --name=value, as --name value or alone, and the other words."""
    flags: dict[str, str] = {}
    words = []
    left = iter(arguments)
    for each in left:
        name, equals, value = each.partition("=")
        if not each.startswith("--"):
            words.append(each)
        else:
            flags[name[2:]] = value if equals or name not in VALUED else next(left)
    return flags, words


def main(arguments: list[str]) -> None:
    flags, words = split(arguments)
    verb, *rest = words
    if verb == "port-forward":
        forward(rest[0].removeprefix("service/"), rest[1])
    elif verb in ("apply", "delete"):
        with (FOLDER / verb).open("a") as file:
            for each in json.load(sys.stdin)["items"]:
                file.write(f"{each['kind']}/{each['metadata']['name']}\n")
    elif verb == "get" and "workflows.argoproj.io" in rest:
        print((FOLDER / "workflows").read_text())
    elif words == ["get", "deployments"]:
        print('{"items": []}')
    elif verb == "get":
        path = FOLDER / f"{flags['namespace']}.{rest[0]}.{rest[1]}"
        print(path.read_text() if path.exists() else "", end="")
    elif verb == "version":
        print('{"serverVersion": {"gitVersion": "v1.36.1"}}')
    elif verb == "kustomize":
        print((FOLDER / "rendered").read_text())
    elif verb == "logs":
        print((FOLDER / "logs").read_text())
    elif words[:2] == ["create", "token"]:
        assert flags["audience"] == "pipelines.kubeflow.org"
        print("a-token", end="")
    elif verb not in ("config", "rollout"):
        sys.exit(f"error: the stand-in has no {verb}")


if __name__ == "__main__":
    main(sys.argv[1:])
