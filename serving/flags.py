"""The flags of the predictor, each of which the environment can set as well."""

import argparse
import os
from collections.abc import Mapping, Sequence
from threading import TIMEOUT_MAX

from serving import limits

_PREFIX = "SERVING_"
_UNPREFIXED = {"model_uri", "model_version"}
_OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRUE, _FALSE = ("true", "1", "yes", "y", "on", "t"), ("false", "0", "no", "n", "off", "f")
_ENVIRONMENT = (
    "The environment sets a flag by SERVING_ and the name of the flag in capitals, such as"
    " SERVING_HTTP_PORT; for --model_uri and --model_version by MODEL_URI and MODEL_VERSION. The"
    " command line overrides the environment; an empty variable counts as unset."
)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        usage="%(prog)s [--FLAG VALUE ...], see --help",
        description="Serve the model with KServe: v1 and v2 over HTTP, v2 over gRPC, and /metrics.",
        epilog=_ENVIRONMENT,
        allow_abbrev=False,
        exit_on_error=False,
    )
    _add_model(parser.add_argument_group("model"))
    _add_network(parser.add_argument_group("network"))
    _add_observability(parser.add_argument_group("observability"))
    limits.add_flags(parser.add_argument_group("limits"))
    return parser


def parse(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> argparse.Namespace:
    """Return the settings of the command line and the environment, or exit with a usage error."""
    flags = parser()
    try:
        flags.set_defaults(**_read_environment(flags, environment))
        args, unknown = flags.parse_known_args(argv)
    except argparse.ArgumentError as error:
        flags.error(str(error))
    if unknown:
        flags.error(
            f"unrecognized arguments: {' '.join(unknown)}; of KServe's flags, this server has only"
            " those that --help lists"
        )
    if (args.ssl_certfile is None) != (args.ssl_keyfile is None):
        flags.error("--ssl_certfile and --ssl_keyfile: give both, or neither")
    if args.enable_grpc and args.http_port == args.grpc_port != 0:  # 0 is any free port
        flags.error(f"--http_port and --grpc_port are both {args.http_port}")
    if args.traces is None:
        args.traces = "otlp" if any(map(environment.get, _OTLP)) else "none"
    try:
        limits.from_flags(args)
    except ValueError as error:
        flags.error(str(error))
    return args


def variable(name: str) -> str:
    """Return the environment variable of a flag, named as in the namespace."""
    return name.upper() if name in _UNPREFIXED else _PREFIX + name.upper()


def _read_environment(
    flags: argparse.ArgumentParser, environment: Mapping[str, str]
) -> dict[str, object]:
    """Return the values of all variables that are set, checked as those of the flags."""
    values = {}
    for name in vars(flags.parse_args([])):
        if value := environment.get(variable(name)):
            try:
                values[name] = getattr(flags.parse_args([f"--{name}={value}"]), name)
            except argparse.ArgumentError as error:
                flags.error(f"{variable(name)}: {error.message}")
    return values


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model_name",
        type=_name,
        default="sentiment",
        help="the name of the model in all paths and calls (default: %(default)s)",
    )
    group.add_argument(
        "--model_uri",
        default="/mnt/models",
        help="a folder, models:/NAME@ALIAS or models:/NAME/VERSION (default: %(default)s)",
    )
    group.add_argument(
        "--model_version",
        type=_version,
        help="the version to report for a folder; default: its digest",
    )
    group.add_argument(
        "--watch_seconds",
        type=_seconds,
        default=0.0,
        help="check --model_uri this often for another model, and load it; default: never",
    )
    group.add_argument(
        "--model_control",
        choices=["none", "explicit"],
        default="none",
        help="whether clients may load and unload the model over v2 (default: %(default)s)",
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--http_port",
        type=limits.whole_number,
        default=8080,
        help="the port of HTTP (default: %(default)s)",
    )
    group.add_argument(
        "--grpc_port",
        type=limits.whole_number,
        default=8081,
        help="the port of gRPC (default: %(default)s)",
    )
    group.add_argument(
        "--enable_grpc",
        type=_boolean,
        default=True,
        metavar="{true,false}",
        help="whether to serve gRPC (default: true)",
    )
    group.add_argument(
        "--timeout_keep_alive",
        "--timeout-keep-alive",
        type=_whole_seconds,
        default=65,
        metavar="SECONDS",
        help="close an HTTP connection without a request after this time; longer than the idle"
        " timeout of a proxy, or its requests fail at times (default: %(default)s)",
    )
    for option, what in (("--ssl_certfile", "certificate"), ("--ssl_keyfile", "private key")):
        group.add_argument(
            option, metavar="FILE", help=f"the {what} for HTTPS; gRPC stays without TLS"
        )


def _add_observability(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--capture",
        help="write requests, predictions and feedback to this folder or s3://bucket/prefix/;"
        " default: capture nothing, and take no feedback",
    )
    group.add_argument(
        "--capture_sample",
        type=_fraction,
        default=1.0,
        help="the fraction of requests to write, from 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--access_log",
        choices=["none", "json"],
        default="none",
        help="write a line of JSON to stdout for each request (default: %(default)s)",
    )
    group.add_argument(
        "--traces",
        choices=["none", "otlp"],
        help="send a span for each request to OTEL_EXPORTER_OTLP_ENDPOINT, over HTTP; default:"
        " otlp if this variable is set, or else none",
    )


def _name(text: str) -> str:
    if not text or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} has no path: it must be a name without /")
    return text


def _version(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise argparse.ArgumentTypeError(
            f"{text!a} cannot be sent in the header x-model-version: it must be of printable ASCII"
            " characters, without spaces around it"
        )
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds to wait")
    return value


def _whole_seconds(text: str) -> int:
    value = limits.whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than a second")
    return value


def _fraction(text: str) -> float:
    value = _number(text.removesuffix("%"))
    if text.endswith("%") or not 0 <= value <= 1:
        hint = f"; {value:g}% is {value / 100:g}" if 0 <= value <= 100 else ""
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1{hint}")
    return value


def _boolean(text: str) -> bool:
    for value, words in ((True, _TRUE), (False, _FALSE)):
        if text.lower() in words:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not true or false")
