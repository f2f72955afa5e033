"""Forget texts: remove them from captures, feedback, queues, data and DVC's cache, and retrain.

A certificate in reports/forgotten says what was removed where, and what remains: docs/forget.md.
An interrupted run is repeated with --listed. With --older-than, only captures, feedback and queues
of that age are deleted.
"""

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path

from components import cli, stage
from components.errors import UserError
from components.forgetting import expiry, listed, removal
from components.forgetting.process import Forgetting, Places
from components.forgetting.stores import Store, open_store
from components.forgetting.wanted import IDENTITY, Wanted, parse_request
from components.reading.options import Options

log = logging.getLogger("forget")

PARAMS = Path("params.yaml")


def wanted_texts(args: argparse.Namespace, places: Places, address: str) -> Wanted:
    """Return the texts that the command line names.

    Raises:
        UserError: a file cannot be read, an id is none, or no captured request has it.
    """
    wanted = Wanted()
    for path in args.text_file:
        text = _read(path)
        if not text.strip():
            raise UserError(f"--text-file {path}: holds no text")
        wanted.add_text(f"--text-file {path}", text)
    requests = [parse_request(each) for each in args.id]
    for request in removal.find_requests(places.all(), requests, wanted) if requests else ():
        if request.index is not None or not IDENTITY.fullmatch(request.id):
            raise UserError(f"--id {request}: no such captured prediction in {places}")
        wanted.add(f"--id {request}", {request.id})
    if args.listed:
        wanted.identities |= listed.read(address).keys()
    if not wanted.identities:
        raise UserError(f"--listed: {address} lists no text")
    return wanted


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"--text-file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--text-file {path}: not a text in UTF-8") from error


def forget(args: argparse.Namespace) -> None:
    """Forget the texts that the command line names.

    Raises:
        UserError: a text was found nowhere, or a stage failed.
    """
    options: Options = stage.values("ingest", stage.of("ingest"), {}, PARAMS)
    listed.require_address(options.forgotten)
    name = stage.read_section(PARAMS, "register").get("name", "sentiment")
    places = Places(_stores(args.captured, "--captured"), _stores(args.queues, "--queues"))
    wanted = wanted_texts(args, places, options.forgotten)
    forgetting = Forgetting(wanted, options, places, name)
    forgetting.search()
    if args.dry_run:
        print(*forgetting.plan(), sep="\n")
        return
    path = forgetting.run(train=not args.no_train, remotes=args.remotes)
    print(path)


def expire(args: argparse.Namespace) -> None:
    now, did = datetime.now(UTC), "would delete" if args.dry_run else "deleted"
    if not args.captured + args.queues:
        raise UserError("--older-than: needs --captured or --queues")
    for flag, addresses in (("--captured", args.captured), ("--queues", args.queues)):
        for store in _stores(addresses, flag):
            queues = flag == "--queues"
            deleted = expiry.expire(store, args.older_than, now, queues, args.dry_run)
            for folder, files in sorted(deleted.items()):
                log.info("%s %s, %d files", did, folder, files)
            log.info("%s: %s %d files", store.address, did, deleted.total())


def _stores(addresses: list[str], flag: str) -> list[Store]:
    return [open_store(address, flag) for address in addresses]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m components.forget", description=__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--id",
        nargs="+",
        default=[],
        metavar="ID",
        help="identity of a text, 32 hexadecimal digits, or a captured request:"
        " REQUEST_ID, or REQUEST_ID/INDEX for one of its texts",
    )
    add(
        "--text-file",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file with a text, whose copies differ in white space and case only",
    )
    add("--listed", action="store_true", help="forget all texts of ingest.forgotten again")
    add("--older-than", type=cli.count, metavar="DAYS", help="delete captures and queues by age")
    where = "a folder or s3://bucket/prefix/"
    add("--captured", nargs="+", default=[], metavar="PLACE", help=f"captured requests: {where}")
    add("--queues", nargs="+", default=[], metavar="PLACE", help=f"queues to label: {where}")
    add("--remotes", action="store_true", help="also delete the objects from DVC's remotes")
    add("--no-train", action="store_true", help="leave data, model and DVC's cache as they are")
    add("--dry-run", action="store_true", help="print what would be removed, and change nothing")
    return parser


def main(argv: list[str] | None = None) -> int:
    command = parser()
    args = command.parse_args(argv)
    named = bool(args.id or args.text_file or args.listed)
    if named == (args.older_than is not None):
        command.error("needs --id, --text-file or --listed, or else --older-than")
    return cli.run("forget", lambda: forget(args) if named else expire(args))


if __name__ == "__main__":
    raise SystemExit(main())
