"""Write the release notes of a version: what changed against the champion that it replaced."""

import argparse
from pathlib import Path

from components import cli
from components.errors import UserError
from components.io import registry
from components.io.files import replacing
from components.report.release_notes import compose


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.notes", description=__doc__)
    parser.add_argument("--name", default="sentiment", help="default: %(default)s")
    parser.add_argument("--version", metavar="N", help="default: the champion")
    parser.add_argument("--output", type=Path, help="Markdown file to write instead of printing")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        with registry.connected() as client:
            number = args.version
            if number is None:
                champion = registry.champion(client, args.name)
                if champion is None:
                    raise UserError(f"{args.name} has no champion; say --version N")
                number = str(champion.version)
            text = compose(client, args.name, number)
        if args.output is None:
            print(text, end="")
            return
        with replacing(args.output) as partial:
            partial.write_text(text)

    return cli.run("notes", work)


if __name__ == "__main__":
    raise SystemExit(main())
