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
from components.cli import positive
from components.errors import UserError
from pipelines import ir
from pipelines.client import (
    Schedule,
    client_errors,
    connect,
    find_version,
    require_id,
    schedule_runs,
    upload_version,
)
from pipelines.follow import follow, run_url

log = logging.getLogger("submit")


def cron(text: str) -> str:
    """Parse a schedule of five fields, minutes first, or of Kubeflow's six, seconds first."""
    fields = text.split()
    if len(fields) not in (5, 6):
        raise argparse.ArgumentTypeError(f"{text!r} has {len(fields)} fields; give five or six")
    return " ".join(["0", *fields] if len(fields) == 5 else fields)


def host(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} does not start with http:// or https://")
    return text.rstrip("/")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=__doc__)
    add = parser.add_argument
    add("--host", required=True, type=host, help="address of Kubeflow Pipelines")
    add("--pipeline", required=True, help="training, monitoring, or a compiled .yaml file")
    add("--image", help="image of every task, by digest; default: as compiled")
    add("--allow-unpinned", action="store_true", help="accept images that are named by a tag")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    add("--experiment", default="sentiment", help="default: %(default)s")
    add("--run-name", help="default: the pipeline's name and the time")
    add("--namespace", help="namespace of a user, where the server serves several")
    add("--service-account", help="identity of the tasks; default: the server's")
    add("--token-file", type=Path, help="file of a token; it is read for each request")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--recurring", type=cron, metavar="CRON", help="run on this schedule instead")
    mode.add_argument("--wait", action="store_true", help="follow the run to its end")
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--timeout", type=positive, default=21600.0, help="seconds to wait; default: 21600")
    return parser


def submit(args: argparse.Namespace) -> None:
    documents = ir.load(args.pipeline, args.image)
    values = ir.parameters(documents, args.param)
    if (unpinned := ir.unpinned(documents)) and not args.allow_unpinned:
        raise UserError(
            f"image {', '.join(unpinned)} is not pinned: name one by its digest, --image"
            " REPOSITORY@sha256:…, or give --allow-unpinned"
        )
    client = connect(args.host, args.namespace, args.token_file)
    namespace = args.namespace or client.get_user_namespace() or None  # in a pod, that of the pod
    if args.dry_run:
        _, version = find_version(client, documents, namespace)
        action = f"schedule ({args.recurring})" if args.recurring else "run"
        log.info("would %s%s %s", "" if version else "upload and ", action, ir.version(documents))
        log.info("image %s, parameters %s", ", ".join(ir.images(documents)), values or "as default")
        return
    version = upload_version(client, documents, namespace)
    experiment = client.create_experiment(args.experiment, namespace=namespace)
    experiment_id = require_id(experiment.experiment_id)
    if args.recurring:
        name = args.run_name or ir.name(documents)
        schedule = Schedule(name, args.recurring, values, args.service_account)
        recurring_id = schedule_runs(client, experiment_id, version, schedule)
        log.info("recurring run %s, %s: %s", name, args.recurring, recurring_id)
        return
    run = client.run_pipeline(
        experiment_id,
        args.run_name or f"{ir.name(documents)} {datetime.now(UTC):%Y-%m-%d %H:%M}",
        params=values,
        pipeline_id=version.pipeline_id,
        version_id=version.pipeline_version_id,
        service_account=args.service_account,
    )
    run_id = require_id(run.run_id)
    url = run_url(args.host, run_id)
    log.info("run %s", url)
    if args.wait:
        follow(client, run_id, url, args.timeout, ir.task_names(documents), namespace)
        log.info("the run succeeded")


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        with (
            warnings.catch_warnings(),
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),  # the client prints links that do not fit every server
            client_errors(args.host),
        ):
            warnings.simplefilter("ignore", FutureWarning)
            submit(args)

    return cli.run("submit", work)


if __name__ == "__main__":
    raise SystemExit(main())
