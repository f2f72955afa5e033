"""The form of a response by the header Accept."""

import pytest

from serving.http.accept import choose

JSON, HTML = "application/json", "text/html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),  # curl, requests and KServe's client
        ("application/json", JSON),
        ("image/png", JSON),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),  # a browser
        ("application/json, text/html", JSON),
        ("text/html, application/json", JSON),
        ("application/json;q=0.5, text/html;q=0.6", HTML),
        ("application/json;q=0.5, text/html; q=0.4", JSON),
        ("text/html;q=0, */*", JSON),
        ("application/json;q=0, */*;q=0.1", HTML),
        ("text/html;level=1;q=0.9, application/json;q=0.8", HTML),
        ("text/html;q=x, application/json;q=0.1", JSON),
        ("text/html;q=nan, application/json;q=0.1", JSON),
        (";,;q=1,,", JSON),
    ],
)
def test_highest_quality_is_chosen(accept, expected):
    assert choose(accept, [JSON, HTML]) == expected
