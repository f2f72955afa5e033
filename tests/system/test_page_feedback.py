"""The page's question whether an answer is right, in a real Chromium, with the real predictor."""

import json
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser import classify, explained, needs_chromium
from tests.serving import Server, serving, wait_until

pytestmark = needs_chromium
PRAISE = "A wonderful film, well acted and beautiful."
GREY = "The lamp is grey."


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("page")
    with serving(trained.model, directory, "--capture", str(directory / "captured")) as server:
        yield server


@pytest.fixture(scope="module")
def three_classes(three, tmp_path_factory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("page-three")
    with serving(three.model, directory, "--capture", str(directory / "captured")) as server:
        yield server


@pytest.fixture
def sent(page) -> list[dict]:
    """The items of feedback that the page sends."""
    return record(page)


def record(page: Page) -> list[dict]:
    items: list[dict] = []
    page.on(
        "request",
        lambda r: r.url.endswith(":feedback") and items.extend(r.post_data_json["feedback"]),
    )
    return items


def question(page: Page):
    return page.get_by_role("group", name="Was this right?")


def button(page: Page, name: str):
    return question(page).get_by_role("button", name=name, exact=True)


def thanks(page: Page):
    return question(page).get_by_role("status")


def ask(page: Page, text: str) -> str:
    """Classify a text; return the id of its prediction."""
    with page.expect_response("**:predict") as response:
        classify(page, text)
    return response.value.headers["x-request-id"]


@pytest.mark.parametrize(
    ("pressed", "label"), [("Yes", "positive"), ("No, it is negative", "negative")]
)
def test_the_right_class_is_sent_once_with_the_id(page, server, sent, pressed, label):
    expect(question(page)).to_be_hidden()
    name = ask(page, PRAISE)
    expect(question(page)).to_be_visible()
    with page.expect_response("**:feedback") as response:
        button(page, pressed).click()
    assert response.value.status == 202
    expect(thanks(page)).to_have_text(f"Thank you, noted: {label}.")
    for each in question(page).get_by_role("button").all():
        expect(each).to_have_attribute("aria-disabled", "true")
        each.click(force=True)
    assert sent == [{"id": name, "index": 0, "label": label, "by": "page"}]
    second = ask(page, PRAISE)  # again, and asked about again
    expect(thanks(page)).to_be_empty()
    button(page, "Yes").click()
    expect(thanks(page)).to_have_text("Thank you, noted: positive.")
    assert [item["id"] for item in sent] == [name, second]
    assert name != second


def test_the_prediction_that_is_shown_is_captured(trained, open_page, tmp_path):
    captured = tmp_path / "captured"
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        page = open_page(server)
        names = [ask(page, PRAISE), ask(page, "Dull.")]
        button(page, "Yes").click()
        expect(thanks(page)).to_have_text("Thank you, noted: negative.")
    events = [json.loads(line) for path in captured.rglob("*.jsonl") for line in path.open()]
    data = [event["data"] for event in events if event["type"] == "sentiment.prediction"]
    assert [(each["request_id"], each["text"]) for each in data] == [
        (names[0], PRAISE),
        (names[1], "Dull."),
    ]
    (feedback,) = (event["data"] for event in events if event["type"] == "sentiment.feedback")
    assert feedback == {"request_id": names[1], "index": 0, "label": "negative", "by": "page"}


def test_question_is_usable_by_keyboard(page, sent):
    page.keyboard.press("Tab")
    page.keyboard.type(PRAISE)
    page.keyboard.press("Control+Enter")
    expect(question(page)).to_be_visible()
    for _ in range(6):  # over the button and the examples
        page.keyboard.press("Tab")
    expect(button(page, "Yes")).to_be_focused()
    page.keyboard.press("Tab")
    no = button(page, "No, it is negative")
    expect(no).to_be_focused()
    page.keyboard.press("Space")
    expect(thanks(page)).to_have_text("Thank you, noted: negative.")
    expect(no).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#ngrams button").first).to_be_focused()
    assert [item["label"] for item in sent] == ["negative"]


def test_question_is_hidden_where_feedback_is_off(trained, open_page, tmp_path):
    with serving(trained.model, tmp_path) as server:
        page = open_page(server)
        paths = []
        page.on("request", lambda request: paths.append(request.url))
        classify(page, PRAISE)
        expect(page.locator("#label")).to_have_text("positive")
        expect(question(page)).to_be_hidden()
        assert not [path for path in paths if path.endswith(":predict")]


def test_question_is_hidden_without_an_id(page):
    """An earlier predictor names no request, beside a canary that gave this page."""

    def drop_id(route: Route) -> None:
        response = route.fetch()
        headers = {k: v for k, v in response.headers.items() if k != "x-request-id"}
        route.fulfill(response=response, headers=headers)

    page.route("**:predict", drop_id)
    classify(page, PRAISE)
    expect(page.locator("#label")).to_have_text("positive")
    expect(question(page)).to_be_hidden()


def test_page_works_without_the_metadata(browser, server):
    """A gateway may pass v1 alone."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/v2/**", lambda route: route.fulfill(status=404, body="no"))
        page.goto(server.address)
        classify(page, PRAISE)
        expect(page.locator("#label")).to_have_text("positive")
        expect(question(page)).to_be_hidden()


def test_refused_feedback_is_shown_and_can_be_sent_again(browser, trained, tmp_path):
    with browser.new_context() as context:
        page = context.new_page()
        sent = record(page)
        refusals = [True]

        def refuse(route: Route) -> None:
            if refusals and refusals.pop():
                error = json.dumps({"error": "feedback waits to be written; try again in 5 s"})
                route.fulfill(status=503, body=error)
            else:
                route.continue_()

        page.route("**:feedback", refuse)
        with serving(trained.model, tmp_path, "--capture", str(tmp_path / "captured")) as server:
            page.goto(server.address)
            ask(page, PRAISE)
            yes = button(page, "Yes")
            yes.click()
            alert = question(page).get_by_role("alert")
            expect(alert).to_have_text(
                "The server says: feedback waits to be written; try again in 5 s"
            )
            expect(yes).to_have_attribute("aria-disabled", "false")
            expect(yes).to_be_focused()
            yes.click()
            expect(thanks(page)).to_have_text("Thank you, noted: positive.")
            expect(alert).to_be_empty()
            ask(page, PRAISE)
        button(page, "Yes").click()
        expect(alert).to_have_text("The server is unreachable.")
        expect(thanks(page)).to_be_empty()
        assert len(sent) == 3


def test_late_answer_to_feedback_is_not_shown_for_the_next_review(page):
    waiting: list[Route] = []
    page.route("**:feedback", lambda route: waiting.append(route))
    ask(page, PRAISE)
    button(page, "Yes").click()
    wait_until(lambda: bool(page.evaluate("1") and waiting))
    ask(page, "Dull.")
    expect(page.locator("#label")).to_have_text("negative")
    with page.expect_response("**:feedback"):
        waiting[0].continue_()
    expect(thanks(page)).to_be_empty()
    expect(button(page, "Yes")).to_have_attribute("aria-disabled", "false")


def test_one_of_many_classes_can_be_chosen(open_page, three_classes):
    page = open_page(three_classes)
    sent = record(page)
    name = ask(page, GREY)
    no = button(page, "No")
    right = question(page).get_by_role("group", name="The right class")
    expect(right).to_be_hidden()
    expect(no).to_have_attribute("aria-expanded", "false")
    no.focus()
    page.keyboard.press("Enter")
    expect(no).to_have_attribute("aria-expanded", "true")
    assert right.get_by_role("button").all_text_contents() == ["negative", "positive"]
    assert sent == []
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(thanks(page)).to_have_text("Thank you, noted: positive.")
    expect(button(page, "positive")).to_be_focused()
    button(page, "negative").click(force=True)
    no.click(force=True)
    expect(right).to_be_visible()
    assert sent == [{"id": name, "index": 0, "label": "positive", "by": "page"}]
    ask(page, "The kettle: broke, useless.")
    expect(right).to_be_hidden()


def test_any_of_many_classes_can_be_explained(open_page, three_classes):
    page = open_page(three_classes)
    name = ask(page, GREY)
    choice = page.get_by_label("Explain", exact=True)
    expect(choice.locator(":checked")).to_have_text("neutral")
    button(page, "Yes").click()
    predictions: list[str] = []
    page.on("request", lambda r: r.url.endswith(":predict") and predictions.append(r.url))
    page.get_by_label("Review", exact=True).fill("Another text, not yet sent.")
    choice.focus()
    with page.expect_response("**:explain"):
        choice.select_option("positive")
    expected = explained(three_classes, GREY, **{"class": "positive"})
    expect(page.locator("#label")).to_have_text("neutral")
    expect(page.locator(".verdict em")).to_have_text("positive")
    expect(page.locator("#words")).to_have_text(GREY)
    expect(page.locator("#log-odds")).to_have_text(
        f"{expected['log_odds']:+.2f}".replace("-", "\N{MINUS SIGN}")
    )
    expect(choice).to_be_focused()
    expect(choice.locator(":checked")).to_have_text("positive")
    expect(thanks(page)).to_have_text("Thank you, noted: neutral.")  # of the same prediction
    assert predictions == []
    assert name


def test_choice_of_class_is_hidden_with_two_classes(page):
    ask(page, PRAISE)
    expect(page.locator("#label")).to_have_text("positive")
    expect(page.locator("#explained")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page, three_classes, scheme):
    page = open_page(three_classes, color_scheme=scheme)

    def check() -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    ask(page, GREY)
    button(page, "No").click()
    check()
    button(page, "positive").click()
    expect(thanks(page)).to_have_text("Thank you, noted: positive.")
    check()


@pytest.mark.parametrize("width", [320, 1280])
def test_question_fits_the_width_of_the_screen(open_page, three_classes, width):
    page = open_page(three_classes, viewport={"width": width, "height": 700})
    ask(page, GREY)
    button(page, "No").click()
    button(page, "positive").click()
    expect(thanks(page)).to_have_text("Thank you, noted: positive.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
