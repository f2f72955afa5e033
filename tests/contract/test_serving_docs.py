"""docs/serving.md lists the limits and the errors of the predictor as the code has them."""

from dataclasses import fields

from serving import errors
from serving.limits import RequestLimits
from tests.conftest import REPO

PAGE = (REPO / "docs" / "serving.md").read_text()


def test_documented_limits_are_the_defaults():
    for limit in fields(RequestLimits):
        assert f"| `--{limit.name}` | {limit.default:,} |" in PAGE


def test_documented_errors_have_their_codes():
    for kind in errors.KINDS.values():
        line = next(line for line in PAGE.splitlines() if f"`{kind.label}`" in line)
        assert str(int(kind.status)) in line
        assert kind.label == "compressed" or kind.code.name in line
