"""Pull or push the data and models of dvc.lock, at the remote that DVC_REMOTE names.

The address goes to .dvc/config.local, which git ignores; credentials stay in the environment.
DagsHub takes its token, DVC_TOKEN, for both keys of S3.
"""

import argparse
import os

from components import cli
from components.errors import UserError
from tools.commands import run


def configure() -> None:
    """Write the remote of DVC_REMOTE and DVC_ENDPOINT_URL into DVC's local configuration."""
    if address := os.environ.get("DVC_REMOTE"):
        run(
            "dvc", "remote", "add", "--quiet", "--local", "--default", "--force", "storage", address
        )
        # other machines write there too, so DVC checks each file that it downloads
        run("dvc", "remote", "modify", "--local", "storage", "verify", "true")
    if endpoint := os.environ.get("DVC_ENDPOINT_URL"):
        run("dvc", "remote", "modify", "--local", "storage", "endpointurl", endpoint)


def credentials() -> dict[str, str]:
    token = os.environ.get("DVC_TOKEN")
    if not token:
        return {}
    return {"AWS_ACCESS_KEY_ID": token, "AWS_SECRET_ACCESS_KEY": token, "AWS_SESSION_TOKEN": ""}


def transfer(action: str, *flags: str) -> None:
    """Run ``dvc pull`` or ``dvc push``.

    Raises:
        UserError: DVC failed; the message names the variables that it depends on.
    """
    configure()
    try:
        run("dvc", action, *flags, **credentials())
    except UserError as error:
        raise UserError(f"dvc {action}: see {_variables()}, in .env or the environment") from error


def _variables() -> str:
    def shown(name: str) -> str:
        return name if os.environ.get(name) else f"{name} (not set)"

    if os.environ.get("DVC_TOKEN"):
        return f"{shown('DVC_REMOTE')} and DVC_TOKEN"
    return f"{shown('DVC_REMOTE')} and {shown('AWS_ACCESS_KEY_ID')} or {shown('DVC_TOKEN')}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.data_remote", description=__doc__)
    parser.add_argument("action", choices=["pull", "push"])
    parser.add_argument(
        "--allow-missing", action="store_true", help="pull: leave out what the remote has not"
    )
    args = parser.parse_args(argv)
    flags = ["--allow-missing"] if args.allow_missing else []
    return cli.run("data_remote", lambda: transfer(args.action, *flags))


if __name__ == "__main__":
    raise SystemExit(main())
