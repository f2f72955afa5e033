"""Parse the command line, then import and start the predictor."""

import sys

from serving import flags


def main(argv: list[str] | None = None) -> int:
    args = flags.parse(argv)
    if argv is None:
        del sys.argv[1:]  # KServe parses it by its own flags when it is imported, and may exit
    from serving import start

    return start.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
