"""Set up a cluster for the overlay `local`, delete it, or run a command with its addresses set.

`up` skips what is done already: after an interruption, run it again.
"""

import argparse
import logging
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from components import cli
from components.errors import UserError
from deploy.images import Engine
from tools.cluster import access, applied, champion, images, manifests, programs, versions
from tools.cluster.components import COMPONENTS, KUBEFLOW, delete, ensure
from tools.cluster.credentials import NAMESPACE
from tools.cluster.kind import CONTEXT, REGISTRY, Kind, use_engine
from tools.cluster.kube import Kube, Record, current_context
from tools.cluster.steps import Step, run

OTHERS = ("images", *(each.name for each in applied.FOLDERS), "champion")

log = logging.getLogger("cluster")


def setup(args: argparse.Namespace) -> list[Step]:
    """Return the steps that set up the cluster.

    Raises:
        UserError: ``--have`` names an unknown part.
    """
    known = {*(each.name for each in (*COMPONENTS, KUBEFLOW)), *OTHERS}
    if unknown := set(args.have) - known:
        raise UserError(f"HAVE: no part is called {', '.join(sorted(unknown))}; see --help")
    pinned = versions.read()
    kube, engine = Kube(args.context), Engine(args.engine, args.registry)
    made, copied = args.folder / "images.json", args.folder / "manifests"
    steps = []
    if args.cluster == "kind":
        kind = _kind(args)
        steps = [
            Step("registry", partial(kind.start_registry, pinned.images["registry"])),
            Step("cluster", partial(kind.create, pinned.images["node"])),
            Step("registry in the cluster", kind.connect_registry),
        ]
    wanted = [*COMPONENTS, KUBEFLOW] if args.kubeflow else [*COMPONENTS]
    steps += [Step(each.name, partial(ensure, kube, each, pinned)) for each in wanted]
    steps.append(Step("images", partial(images.ensure, engine, args.base, made)))
    if folders := [each for each in applied.FOLDERS if each.name not in args.have]:
        passwords = args.folder / "secrets.json"
        secrets = partial(applied.ensure_secrets, kube, copied, folders, passwords)
        steps += [
            Step("manifests", partial(_write_manifests, args, pinned)),
            Step("secrets", secrets),
            *(Step(each.name, partial(applied.apply, kube, copied, each)) for each in folders),
        ]
    steps.append(Step("champion", partial(_train, kube, args.folder / "project")))
    return [step for step in steps if step.name not in args.have]


def _write_manifests(args: argparse.Namespace, pinned: versions.Versions) -> str:
    named = pinned.images | images.read(args.folder / "images.json")
    folder = args.folder / "manifests"
    return f"written, {manifests.copy(folder, named, args.component)}"


def _train(kube: Kube, project: Path) -> str:
    with access.environment(kube, NAMESPACE, prometheus=False):
        return champion.ensure(project)


def tear_down(args: argparse.Namespace) -> None:
    """Delete the kind cluster or, of another one, what `up` has made there."""
    own = args.cluster == "kind"
    deleted = _kind(args).delete() if own else _delete_made(Kube(args.context), args.folder)
    for each in deleted:
        log.info("deleted %s", each)
    if not deleted:
        log.info("nothing to delete")
    shutil.rmtree(args.folder / "manifests", ignore_errors=True)
    log.info("kept %s, with passwords and programs", args.folder)


def _delete_made(kube: Kube, folder: Path) -> list[str]:
    deleted = applied.delete(kube, folder / "manifests")
    made, pinned = Record(kube).read(), versions.read()
    for component in reversed([each for each in (*COMPONENTS, KUBEFLOW) if each.name in made]):
        delete(kube, component, pinned)
        deleted.append(component.name)
    return deleted


def run_command(args: argparse.Namespace) -> int:
    """Run a command with CONTEXT and the addresses and keys of MLflow, S3 and Prometheus."""
    with access.environment(Kube(args.context), NAMESPACE):
        given = os.environ | {"CONTEXT": args.context}
        return subprocess.run(args.command, env=given).returncode


def _kind(args: argparse.Namespace) -> Kind:
    use_engine(args.engine)
    return Kind(args.engine, args.folder / "kind.creating")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.cluster",
        description=__doc__,
        epilog="Names in capitals are variables of the environment, or of make.",
    )
    add, default = parser.add_argument, os.environ.get
    kinds, names = ["kind", "existing"], [*(each.name for each in (*COMPONENTS, KUBEFLOW)), *OTHERS]
    add(
        "--cluster",
        choices=kinds,
        default=default("CLUSTER", "kind"),
        help="default: CLUSTER, or kind",
    )
    add("--context", default=default("CONTEXT"), help="default: CONTEXT, or kind's, or the current")
    add("--engine", default=default("CONTAINER"), help="default: CONTAINER, or docker, or podman")
    folder = Path(".cluster")
    add(
        "--folder", type=Path, default=folder, help="for passwords, manifests; default: %(default)s"
    )
    commands = parser.add_subparsers(dest="verb", required=True)
    add = commands.add_parser("up", help="set up what is missing").add_argument
    add("--registry", default=default("REGISTRY"), help=f"default: REGISTRY; with kind {REGISTRY}")
    add(
        "--base",
        default=default("BASE", ""),
        help="image to build on; default: BASE, or that of the Dockerfiles",
    )
    add(
        "--kubeflow",
        action="store_true",
        default=bool(default("KUBEFLOW")),
        help="install Kubeflow Pipelines, too; also KUBEFLOW=1",
    )
    add(
        "--component",
        type=Path,
        default=default("COMPONENT"),
        metavar="FOLDER",
        help="of kustomize, to add to the overlay; default: COMPONENT, or none",
    )
    add(
        "--have",
        default=default("HAVE", ""),
        metavar="NAMES",
        help=f"parts to leave out, separated by spaces; default: HAVE; of {', '.join(names)}",
    )
    commands.add_parser("down", help="delete what up has made")
    commands.add_parser("programs", help="build kind and helm with Go")
    command = commands.add_parser("run", help="run a command with MLFLOW_TRACKING_URI and others")
    command.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    return parser


def _work(args: argparse.Namespace) -> int:
    if args.verb == "programs":
        programs.build(versions.read(), args.folder.resolve() / "bin")
        return 0
    programs.use_built(args.folder / "bin")
    args.folder = args.folder.resolve()
    args.engine = args.engine or programs.find_engine()
    own = args.cluster == "kind"
    args.have = args.have.split() if args.verb == "up" else []
    needed = ["kubectl", *(["kind", args.engine] if own and args.verb != "run" else [])]
    if args.verb == "up":
        charts = {each.name for each in COMPONENTS} - set(args.have)
        needed += ["git", *(["helm"] if charts else [])]
        needed += [] if "images" in args.have else [args.engine]
    programs.require([*dict.fromkeys(needed)])
    args.context = args.context or (CONTEXT if own else current_context())
    if args.verb == "run":
        return run_command(args)
    if args.verb == "down":
        tear_down(args)
        return 0
    args.registry = args.registry or (REGISTRY if own else "")
    if not args.registry and "images" not in args.have:
        raise UserError("an existing cluster needs REGISTRY: where it pulls images from")
    run(setup(args))
    log.info("next: make cluster-test, or python -m tools.cluster run -- COMMAND")
    return 0


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    return cli.run("cluster", lambda: _work(args))


if __name__ == "__main__":
    raise SystemExit(main())
