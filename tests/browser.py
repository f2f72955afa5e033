"""What tests of the web page share; the browser itself is a fixture of ``tests/system``."""

import json
import shutil

import pytest
from playwright.sync_api import Page

from tests.serving import EXPLAIN, JSON, Server

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")  # GitHub's Ubuntu has both
FLAGS = ["--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-sync"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: make packages")


def classify(page: Page, text: str) -> None:
    page.get_by_label("Review", exact=True).fill(text)
    with page.expect_response("**:explain"):
        page.get_by_role("button", name="Classify", exact=True).click()


def explained(server: Server, text: str, **parameters) -> dict:
    body = {"instances": [text], "parameters": {"tokens": True} | parameters}
    return server.ask(EXPLAIN, json.dumps(body).encode(), JSON)[1]["explanations"][0]
