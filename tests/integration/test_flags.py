"""Each flag of the predictor works, from the command line and from the environment."""

import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kserve import model_server

from serving import flags
from tests.conftest import REPO, free_port, running
from tests.serving import PREDICT, serving

# another value than the default of each flag that does not take any text
VALUES = {
    "watch_seconds": "2.5",
    "model_control": "explicit",
    "enable_grpc": "false",
    "capture_sample": "0.5",
    "access_log": "json",
    "traces": "otlp",
    "http_port": "9000",
    "grpc_port": "9001",
    "max_in_flight_bytes": "9999999",
}
NAMES = list(vars(flags.parser().parse_args([])))
PAIR = {"ssl_certfile": "ssl_keyfile", "ssl_keyfile": "ssl_certfile"}  # refused without the other
OURS = {
    option for action in flags.parser()._actions for option in action.option_strings
}  # of KServe's flags, those that this server has
KSERVES = sorted(set(model_server.parser._option_string_actions) - OURS)


def value_of(name: str) -> str:
    default = getattr(flags.parse([], {}), name)
    return VALUES.get(name, str(default + 1) if isinstance(default, int) else "text")


@pytest.mark.parametrize("name", NAMES)
def test_environment_sets_each_flag(name):
    value = value_of(name)
    others = [f"--{PAIR[name]}=text"] if name in PAIR else []
    expected = flags.parse([f"--{name}={value}", *others], {})
    assert getattr(expected, name) != getattr(flags.parse([], {}), name)
    assert flags.parse(others, {flags.variable(name): value}) == expected
    other = {flags.variable(name): str(getattr(flags.parse([], {}), name))}
    assert flags.parse([f"--{name}={value}", *others], other) == expected
    assert flags.parse([], {flags.variable(name): ""}) == flags.parse([], {})


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"model_uri", "model_version"}))
def test_variable_is_the_flag_in_capitals(name):
    assert flags.variable(name) == f"SERVING_{name.upper()}"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SERVING_MAX_INSTANCES", "0", "0 is less than 1"),
        ("SERVING_HTTP_PORT", "http", "'http' is not a whole number"),
        ("SERVING_MAX_INSTANCES", "many", "'many' is not a whole number"),
        ("SERVING_WATCH_SECONDS", "often", "'often' is not a number"),
        ("SERVING_CAPTURE_SAMPLE", "half", "'half' is not a number"),
        ("SERVING_MODEL_NAME", "films/en", "'films/en' has no path: it must be a name without /"),
        ("SERVING_MODEL_CONTROL", "all", "invalid choice"),
        ("SERVING_ENABLE_GRPC", "maybe", "maybe is not true or false"),
        ("SERVING_CAPTURE_SAMPLE", "5%", "5% is 0.05"),
        ("SERVING_TIMEOUT_KEEP_ALIVE", "0", "less than a second"),
    ],
)
def test_bad_value_names_its_variable(capsys, name, value, reason):
    with pytest.raises(SystemExit) as stopped:
        flags.parse([], {name: value})
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"error: {name}: " in error
    assert reason in error


@pytest.mark.parametrize("option", KSERVES)
def test_other_flags_of_kserve_are_refused(capsys, option):
    with pytest.raises(SystemExit) as stopped:
        flags.parse([option, "1"], {})
    assert stopped.value.code == 2
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


def test_our_parser_comes_before_that_of_kserve(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "serving", "--event-loop", "x"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("usage: python -m serving")
    assert "unrecognized arguments: --event-loop x" in result.stderr


def test_one_port_for_both_servers_is_refused(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["--http_port", "9000", "--grpc_port", "9000"], {})
    assert "--http_port and --grpc_port are both 9000" in capsys.readouterr().err
    flags.parse(["--http_port", "9000", "--grpc_port", "9000", "--enable_grpc", "false"], {})
    flags.parse(["--http_port", "0", "--grpc_port", "0"], {})


def test_one_file_of_tls_is_refused(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["--ssl_certfile", "x"], {})
    assert "give both" in capsys.readouterr().err


def test_environment_configures_a_server(trained, tmp_path):
    environment = {"SERVING_MODEL_NAME": "sentiment", "MODEL_VERSION": "12"}
    environment |= {"SERVING_MAX_INSTANCES": "2", "SERVING_ENABLE_GRPC": "false"}
    # gRPC is off, so the port of gRPC may be in use
    with (
        socket.create_server(("", 0)) as used,
        serving(
            trained.model, tmp_path, "--grpc_port", str(used.getsockname()[1]), **environment
        ) as server,
    ):
        assert server.version() == "12"
        status, reason = server.refusal(PREDICT, b'{"instances": ["a", "b", "c"]}')
        assert (status, reason) == (413, "there are more than 2 reviews")
        assert "gRPC on port" not in server.log.read_text()


def test_https_serves_on_the_port_of_the_flag(trained, tmp_path):
    certificate, key = write_certificate(tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "serving", "--model_uri", str(trained.model)]
    command += ["--http_port", str(port), "--grpc_port", str(free_port())]
    command += ["--ssl_certfile", str(certificate), "--ssl_keyfile", str(key)]
    context = ssl.create_default_context(cafile=certificate)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    urllib.request.install_opener(opener)
    try:
        address = f"https://localhost:{port}/v2/health/live"
        with (
            running(command, address, tmp_path, PYTHONPATH=str(REPO)),
            urllib.request.urlopen(address, timeout=30) as response,
        ):
            assert response.status == 200
    finally:
        urllib.request.install_opener(urllib.request.build_opener())


def test_unusable_certificate_is_one_line(tmp_path):
    (tmp_path / "cert.pem").write_text("x")
    command = [sys.executable, "-m", "serving", "--http_port", str(free_port())]
    command += ["--grpc_port", str(free_port())]
    result = subprocess.run(
        [*command, "--ssl_certfile", "cert.pem", "--ssl_keyfile", "none.pem"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "serving: error: --ssl_certfile cert.pem, --ssl_keyfile none.pem: " in result.stderr
    assert "Traceback" not in result.stderr


def write_certificate(directory):
    """Write a certificate of localhost and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
