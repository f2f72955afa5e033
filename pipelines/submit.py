"""Send a compiled pipeline to a Kubeflow Pipelines server and run it, once or on a schedule.

A version is uploaded only when the server has none of the same content. Credentials come from
--token-file, from KFP_TOKEN, or as the cookie of a session from KFP_COOKIE.
"""

import argparse
import logging
import os
import warnings
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

from components import cli
from components.arguments import positive
from components.errors import UserError
from pipelines import client as server
from pipelines import follow, ir
from pipelines.client import answered, connect, one_line, schedule

log = logging.getLogger("submit")


def cron(text: str) -> str:
    """Take a schedule of five fields, minutes first, or of Kubeflow's six, seconds first."""
    fields = text.split()
    if len(fields) not in (5, 6):
        raise argparse.ArgumentTypeError(f"{text!r} has {len(fields)} fields; say five, or six")
    return " ".join(["0", *fields] if len(fields) == 5 else fields)


def host(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r}: say http:// or https://")
    return text.rstrip("/")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=__doc__)
    add = parser.add_argument
    add("--host", required=True, type=host, help="address of Kubeflow Pipelines")
    add("--pipeline", required=True, help="training, monitoring, or a compiled .yaml file")
    add("--image", help="to run every task in, by digest; default: as compiled")
    add("--allow-unpinned", action="store_true", help="take images that are named by a tag")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    add("--experiment", default="sentiment", help="default: %(default)s")
    add("--run-name", help="default: the pipeline's name and the time")
    add("--namespace", help="where the server serves several users: whose")
    add("--service-account", help="that the tasks run as; default: the server's")
    add("--token-file", type=Path, help="a token that is read anew for each request")
    then = parser.add_mutually_exclusive_group()
    then.add_argument("--recurring", type=cron, metavar="CRON", help="run on this schedule instead")
    then.add_argument("--wait", action="store_true", help="follow the run to its end")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--timeout", type=positive, default=21600.0, help="seconds to wait; default: 21600")
    return parser


def submit(args: argparse.Namespace) -> None:
    documents = ir.load(args.pipeline, args.image)
    values = ir.parameters(documents, args.param)
    if (loose := ir.unpinned(documents)) and not args.allow_unpinned:
        raise UserError(
            f"image {', '.join(loose)} is not pinned: name one by its digest, --image"
            " REPOSITORY@sha256:…, or say --allow-unpinned"
        )
    client = connect(args.host, args.namespace, args.token_file)
    namespace = args.namespace or client.get_user_namespace() or None  # in a pod, its own
    if args.dry_run:
        _, version = server.find(client, documents, namespace)
        then = f"schedule ({args.recurring})" if args.recurring else "run"
        log.info("would %s%s %s", "" if version else "upload and ", then, ir.version(documents))
        log.info("image %s, parameters %s", ", ".join(ir.images(documents)), values or "as default")
        return
    version = server.upload(client, documents, namespace)
    experiment = client.create_experiment(args.experiment, namespace=namespace)
    experiment_id = answered(experiment.experiment_id)
    if args.recurring:
        name = args.run_name or ir.name(documents)
        made = schedule(
            client, name, args.recurring, experiment_id, version, values, args.service_account
        )
        log.info("recurring run %s, %s: %s", name, args.recurring, made)
        return
    run = client.run_pipeline(
        experiment_id,
        args.run_name or f"{ir.name(documents)} {datetime.now(UTC):%Y-%m-%d %H:%M}",
        params=values,
        pipeline_id=version.pipeline_id,
        version_id=version.pipeline_version_id,
        service_account=args.service_account,
    )
    where = follow.address(args.host, answered(run.run_id))
    log.info("run %s", where)
    if args.wait:
        follow.follow(client, run.run_id, where, args.timeout, ir.tasks(documents))
        log.info("the run succeeded")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        with (
            warnings.catch_warnings(),
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),  # the client prints addresses of its own making
            one_line(args.host),
        ):
            warnings.simplefilter("ignore", FutureWarning)
            submit(args)

    return cli.run("submit", work)


if __name__ == "__main__":
    raise SystemExit(main())
