"""The web page, in a real Chromium, with the real predictor."""

import csv
import io
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, Route, expect

from components.io import reviews
from serving.limits import RequestLimits
from tests.browser import classify, explained, needs_chromium
from tests.serving import WATCH, Server, replace_model, serving, wait_until

TRICKY = [
    'A "great" film,\r\nreally: wonderful',
    " leading space, and a trailing one ",
    "",
    "=1+1 and @SUM(A1); not\ta formula",
    "Ünï 😀 <br />dull, dull, dull",
    '"',
]
WORDS = "#words span"
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("page")
    replace_model(trained.model, directory / "model")
    with serving(directory / "model", directory, *WATCH) as server:
        yield server


def number(shown: str) -> float:
    return float(shown.replace("\N{MINUS SIGN}", "-"))


def test_page_is_usable_by_keyboard(page, server):
    page.keyboard.press("Tab")
    page.keyboard.type("Dull from start to end, and a waste of time.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label")).to_have_text("negative")
    status = page.get_by_role("status").first
    expect(status).to_contain_text("negative. Probability of positive: ")
    page.keyboard.press("Shift+Home")
    page.keyboard.press("Delete")
    page.keyboard.type("A wonderful film, well acted and beautiful.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Classify", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(status).to_contain_text("positive. Probability of positive: ")
    for _ in range(5):  # over the examples, to the strongest words
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    strongest = page.locator("#ngrams button").first
    expect(strongest).to_be_focused()
    expect(strongest).to_have_attribute("aria-pressed", "true")
    assert " ".join(page.locator(f"{WORDS}.found").all_text_contents()).lower() == (
        strongest.text_content()
    )


def test_colours_of_words_show_contributions(page, server, trained):
    for text in [
        *reviews.read(trained.test)["text"].iloc[:3],
        "Not <b>bad</b> at all, 😀 but DULL",
    ]:
        classify(page, text)
        expect(page.locator("#words")).to_have_text(text, use_inner_text=True)
        tokens = explained(server, text)["tokens"]
        strongest = max(abs(share) for _, _, share in tokens)
        shown = page.locator(WORDS).evaluate_all(
            "spans => spans.map((each) => [each.textContent, each.className, each.title])"
        )
        assert len(shown) == len(tokens)
        for (start, end, share), (word, kind, title) in zip(tokens, shown, strict=True):
            assert word == text[start:end]
            assert number(title) == pytest.approx(share, abs=0.0051)
            level = round(4 * abs(share) / strongest)
            side = "positive" if share > 0 else "negative"
            assert kind == (f"{side} s{level}" if level else "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_differ_by_side_and_strength(open_page, scheme):
    page = open_page(color_scheme=scheme)
    classify(page, "Wonderful. It was dull, but well acted, and not bad at all; a waste of time.")
    style = page.locator("#words").evaluate(
        """(words) => Object.fromEntries(["positive", "negative"].flatMap((side) =>
          [1, 2, 3, 4].map((level) => {
            const word = document.createElement("span");
            word.className = `${side} s${level}`;
            words.append(word);
            const { backgroundColor, textDecorationStyle } = getComputedStyle(word);
            return [word.className, [backgroundColor, textDecorationStyle]];
          })))"""
    )
    assert len({colour for colour, _ in style.values()}) == 8
    assert {line for kind, (_, line) in style.items() if "positive" in kind} == {"solid"}
    assert {line for kind, (_, line) in style.items() if "negative" in kind} == {"dotted"}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(paper[4:].split(",")[0]) > 127) == (scheme == "light")


def test_table_adds_up_to_the_log_odds(page, server):
    text = "A wonderful film, well acted, if a bit dull."
    classify(page, text)
    expected = explained(server, text)
    assert page.locator("#ngrams button").all_text_contents() == [
        ngram["ngram"] for ngram in expected["ngrams"]
    ]
    figures = page.locator("#ngrams td.number:nth-of-type(2), #other, #bias").all_text_contents()
    total = sum(number(figure) for figure in figures)
    assert total == pytest.approx(expected["log_odds"], abs=0.005 * len(figures))
    assert number(page.locator("#log-odds").text_content()) == pytest.approx(
        expected["log_odds"], abs=0.0051
    )
    percent = page.locator("#probability").text_content().removesuffix("%")
    assert float(percent) == pytest.approx(100 * expected["probability"], abs=0.051)


def test_click_on_example_shows_its_answer(page, server):
    for example in page.get_by_role("group", name="Examples").get_by_role("button").all():
        with page.expect_response("**:explain"):
            example.click()
        text = page.get_by_label("Review", exact=True).input_value()
        assert text == example.get_attribute("data-text")
        expect(page.locator("#label")).to_have_text(explained(server, text)["label"])
        expect(page.locator("#words")).to_have_text(text)


def test_a_text_in_an_unseen_language_has_a_caution(page, server):
    caution, status = page.locator("#caution"), page.get_by_role("status").first
    warning = "It has not learned this language or kind of text: do not rely on the answer."
    classify(page, "A wonderful film.")
    expect(status).to_contain_text("positive. Probability of positive: ")
    expect(caution).to_be_hidden()
    expect(status).not_to_contain_text(warning)
    text = "Прекрасный фильм, замечательные актёры, отличная музыка. Wonderful!"
    classify(page, text)
    words = explained(server, text)["words"]
    assert words == {"total": 7, "known": 1, "unseen": True}
    shown = f"The model knows 1 of the 7 words of this text. {warning}"
    expect(caution).to_have_text(shown)
    expect(caution).to_be_visible()
    expect(status).to_have_text(re.compile(rf"^\w+\. Probability .*%\. {re.escape(shown)}$"))
    assert Axe().run(page).violations_count == 0
    for other in ("12345", "Dull."):
        classify(page, other)
        expect(caution).to_be_hidden()
        expect(status).to_have_text(re.compile(r"%\.$"))


def test_an_answer_without_words_is_shown(page):
    """An earlier predictor gives it, beside a canary that gave the page."""

    def drop_words(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        for explanation in answer["explanations"]:
            del explanation["words"]
        route.fulfill(response=response, json=answer)

    page.route("**:explain", drop_words)
    classify(page, "A wonderful film.")
    expect(page.locator("#label")).to_have_text("positive")
    expect(page.locator("#caution")).to_be_hidden()


def test_markup_is_shown_as_text(page):
    text = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bad</b> & good"
    classify(page, text)
    expect(page.locator("#words")).to_have_text(text)
    upload(page, [[text], [text]], "x.csv")
    expect(page.locator("#sample")).to_contain_text(text)
    assert page.locator("#words *:not(span), #sample *, #column b, main img").count() == 0


def upload(page: Page, rows: list[list[str]], name: str, **form: str) -> None:
    text = io.StringIO()
    csv.writer(text, **form).writerows(rows)
    content = text.getvalue().encode("utf-8-sig" if name.startswith("bom") else "utf-8")
    page.get_by_label("CSV file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )


def downloaded(page: Page, into: Path) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the result").click()
    download.value.save_as(into / download.value.suggested_filename)
    return (into / download.value.suggested_filename).read_bytes()


def with_answers(server: Server, rows: list[list[str]], column: int) -> list[list[str]]:
    texts = [row[column] for row in rows]
    return [
        [*row, answer["label"], answer["probability"]]
        for row, answer in zip(rows, server.predict(texts), strict=True)
    ]


def read(content: bytes, delimiter: str) -> list[list]:
    table = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter)
    header, *rows = table
    return [header, *([*row[:-1], float(row[-1])] for row in rows)]


@pytest.mark.parametrize(
    ("name", "delimiter", "newline"),
    [("plain.csv", ",", "\r\n"), ("bom.csv", ";", "\r\n"), ("tabs.tsv", "\t", "\n")],
)
def test_csv_is_returned_with_two_more_columns(
    page, server, trained, tmp_path, name, delimiter, newline
):
    texts = [*TRICKY, *reviews.read(trained.test)["text"].iloc[:64]]
    header = ["id", "Review", "label", "note,;\t"]
    rows = [[str(i), text, "?", 'a,b;c\t"d"\n'] for i, text in enumerate(texts)]
    form = {"delimiter": delimiter, "lineterminator": newline, "quoting": csv.QUOTE_ALL}
    upload(page, [header, *rows], name, **form)
    expect(page.get_by_label("Column with the reviews").locator(":checked")).to_have_text("Review")
    expect(page.locator("#sample")).to_contain_text('A "great" film')
    page.get_by_role("button", name="Classify 70 reviews").click()
    status = page.get_by_role("status").last
    positive = sum(row[-2] == "positive" for row in with_answers(server, rows, 1))
    expect(status).to_have_text(f"Done: {positive} positive, {70 - positive} negative.")
    expect(page.get_by_role("link", name="Download the result")).to_be_focused()
    content = downloaded(page, tmp_path)
    stem, _, ending = name.partition(".")
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}-sentiment.{ending}"]
    assert content.startswith(b"\xef\xbb\xbf") == (stem == "bom")
    assert content.endswith(newline.encode())
    expected = [[*header, "predicted_label", "probability"], *with_answers(server, rows, 1)]
    assert read(content.removeprefix(b"\xef\xbb\xbf"), delimiter) == expected


def test_batch_can_be_cancelled_and_continued(page, server, tmp_path):
    rows = [[f"film {i} was {'good' if i % 3 else 'dull'}", str(i)] for i in range(200)]
    upload(page, [["a", "b"], *rows], "many.csv")
    run = page.locator("#run")
    page.evaluate(
        """() => {
          window.seen = [];
          const progress = document.getElementById("progress");
          new MutationObserver(() => {
            seen.push([progress.value, progress.max]);
            if (seen.length === 3) document.getElementById("run").click();
          }).observe(progress, { attributes: true });
        }"""
    )
    run.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").last).to_have_text("Stopped after 96 of 200.")
    expect(run).to_have_text("Continue with 104 reviews")
    expect(run).to_be_focused()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Download the result")
    expect(link).to_be_focused()
    seen = [value for value, most in page.evaluate("seen") if most == 200]
    assert seen == sorted(seen)
    assert {32, 64, 96, 128, 160, 192, 200} <= set(seen)
    expected = with_answers(server, rows, 0)
    assert read(downloaded(page, tmp_path), ",")[1:] == expected


@pytest.fixture
def replaced(server, trained, trained_worse) -> Iterator[Callable[[], None]]:
    """A function that replaces the served model; the first model returns after the test."""
    folder = server.log.parent / "model"
    first = server.version()

    def replace() -> None:
        replace_model(trained_worse.model, folder)
        wait_until(lambda: server.version() != first)

    yield replace
    replace_model(trained.model, folder)
    wait_until(lambda: server.version() == first)


def test_change_of_model_within_a_file_is_shown(page, server, replaced, tmp_path):
    rows = [[f"film {i} was {'good' if i % 3 else 'dull'}"] for i in range(100)]
    before, first, requests = with_answers(server, rows, 0), server.version(), []

    def pass_on(route: Route) -> None:
        requests.append(route)
        if len(requests) == 3:
            replaced()
        route.continue_()

    page.route("**:predict", pass_on)
    upload(page, [["text"], *rows], "swapped.csv")
    page.get_by_role("button", name="Classify 100 reviews").click()
    status = page.get_by_role("status").last
    expect(status).to_contain_text("Done: ")
    expect(status).to_contain_text(
        f"The model changed at review 65: versions {first} and {server.version()} answered."
    )
    after = with_answers(server, rows, 0)
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert read(downloaded(page, tmp_path), ",")[1:] == [*before[:64], *after[64:]]
    # again, with all answers from one version
    page.get_by_label("Column with the reviews").dispatch_event("change")
    page.get_by_role("button", name="Classify 100 reviews").click()
    expect(status).to_have_text(re.compile("^Done: .* negative\\.$"))


def test_another_column_can_be_selected(page, server, tmp_path):
    rows = [["a long text that is dull and bad", "wonderful"], ["a long text, also bad", "good"]]
    upload(page, [["one", "two"], *rows], "two.csv")
    column = page.get_by_label("Column with the reviews")
    expect(column.locator(":checked")).to_have_text("one")
    column.select_option("two")
    expect(page.locator("#sample")).to_contain_text("wonderful")
    page.get_by_role("button", name="Classify 2 reviews").click()
    expect(page.get_by_role("link", name="Download the result")).to_be_visible()
    assert read(downloaded(page, tmp_path), ",")[1:] == with_answers(server, rows, 1)


def test_batches_respect_the_limits_of_the_server(page, server):
    sizes = []
    page.on("request", lambda r: r.post_data and sizes.append(len(r.post_data_buffer)))
    long = "é" * (RequestLimits().max_characters - 10_000)  # three of them exceed the limit
    rows = [[long] for _ in range(5)] + [["short"] for _ in range(40)]
    upload(page, [["text"], *rows], "large.csv")
    page.get_by_role("button", name="Classify 45 reviews").click()
    expect(page.get_by_role("link", name="Download the result")).to_be_visible(timeout=60_000)
    assert len(sizes) == 4
    assert max(sizes) <= RequestLimits().max_request_characters


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no row below"),
        (b"text\r\n\r\n", "no row below"),
        (b"a,b\n1,2\n\n3\n", "Line 4 has 1 field, and the first row names 2 columns."),
        (b'a,b\n"1\n2",3\n4,5,6\n', "Line 4 has 3 fields"),
        (b'a\nfine\n"never closed\n', "mark in line 3 is never closed"),
        (b"text\ncaf\xe9\n", "not UTF-8"),
    ],
)
def test_invalid_csv_is_refused_with_a_reason(page, content, words):
    page.get_by_label("CSV file").set_input_files(
        {"name": "bad.csv", "mimeType": "text/csv", "buffer": content}
    )
    expect(page.get_by_role("alert").last).to_contain_text(words)
    expect(page.locator("#run")).to_be_hidden()


FIELDS = st.text(st.sampled_from(',;\t"\n\r =-aé😀'), max_size=6)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), min_size=1, max_size=6)
)


@settings(deadline=None, max_examples=300)
@given(
    rows=TABLES,
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_csv_is_read_and_written_as_in_python(csv_in_chromium, rows, delimiter, quoting):
    header = ["a", "b", "c", "d"][: len(rows[0])]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows([header, *rows])
    parsed, written = csv_in_chromium(text.getvalue())
    assert parsed == [header, *rows]
    assert list(csv.reader(io.StringIO(written, newline=""), delimiter=delimiter)) == parsed


@pytest.fixture(scope="module")
def csv_in_chromium(browser, server):
    page = browser.new_page()
    page.goto(server.address)
    yield lambda text: page.evaluate(
        """async (text) => {
          const { parse, format } = await import("/page/csv.js");
          const { header, rows, form } = parse(text);
          return [[header, ...rows], format([header, ...rows], form)];
        }""",
        text,
    )
    page.close()


def test_errors_of_the_server_are_shown(browser, trained, tmp_path):
    page = browser.new_page()
    with serving(trained.model, tmp_path, "--model_control", "explicit") as server:
        page.goto(server.address)
        classify(page, "A wonderful film.")
        unload = urllib.request.Request(
            f"{server.address}/v2/repository/models/sentiment/unload", b"", method="POST"
        )
        urllib.request.urlopen(unload).close()
        classify(page, "A wonderful film.")
        alert = page.get_by_role("alert").first
        expect(alert).to_contain_text("The server says: ")
        expect(alert).to_contain_text("sentiment")
        expect(page.locator("#answer")).to_be_hidden()
        upload(page, [["text"], ["one"], ["two"]], "x.csv")
        page.get_by_role("button", name="Classify 2 reviews").click()
        expect(page.get_by_role("alert").last).to_contain_text("Reviews 1 to 2: The server says: ")
        page.reload()
        page.get_by_role("button", name="Harsh criticism").click()
        expect(alert).to_have_text("The server has no model at the moment.")
    page.get_by_role("button", name="Harsh criticism").click()
    expect(alert).to_have_text("The server is unreachable.")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page, trained, scheme):
    page = open_page(color_scheme=scheme)

    def check() -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()

    check()
    classify(page, reviews.read(trained.test)["text"].iloc[0])
    page.locator("#ngrams button").first.click()
    check()
    upload(page, [["text"], ["good"]], "x.csv")
    expect(page.locator("#run")).to_be_visible()
    check()
    page.locator("#run").click()
    expect(page.get_by_role("link", name="Download the result")).to_be_visible()
    check()
    upload(page, [["text"]], "x.csv")
    expect(page.get_by_role("alert").last).not_to_be_empty()
    check()


@pytest.mark.parametrize("width", [320, 1280])
def test_content_fits_the_width_of_the_screen(open_page, width):
    page = open_page(viewport={"width": width, "height": 700})
    classify(page, f"Wonderful {'w' * 400} http://example.org/{'a/' * 200} not bad at all")
    upload(page, [["long " * 60], ["w" * 400]], "x.csv")
    expect(page.locator("#run")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#verdict")).to_be_in_viewport()


def fetch(url: str, method: str = "GET", **headers: str):
    """Ask as a browser does; other clients get JSON at /."""
    named = {"accept": "text/html,*/*;q=0.8"} | headers
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in named.items()}, method=method
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/page/style.css", "text/css"), ("/page/batch.js", "text/javascript")],
)
def test_files_have_strict_headers_and_are_cached(server, path, kind):
    status, headers, content = fetch(server.address + path)
    assert status == 200
    assert headers["content-type"].startswith(kind)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag in (headers["etag"], f'"other", W/{headers["etag"]}'):
        assert fetch(server.address + path, if_none_match=tag)[::2] == (304, b"")
    assert fetch(server.address + path, if_none_match='"other"')[::2] == (200, content)
    assert fetch(server.address + path, "HEAD")[::2] == (200, b"")
    assert fetch(server.address + path, "POST")[0] == 405


def test_only_files_of_the_page_are_served(server):
    for path in ("/page", "/page/", "/page/index.html", "/page/../page.py", "/page/%2e%2e/page.py"):
        assert fetch(server.address + path)[0] == 404, path


def test_three_classes_have_their_names_and_probabilities(browser, three, tmp_path):
    rows = [["The kettle: broke, useless."], ["The lamp is grey."], ["Lovely, excellent desk!"]]
    with (
        serving(three.model, tmp_path) as server,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(server.address)
        for [text], name in zip(rows, ("negative", "neutral", "positive"), strict=True):
            classify(page, text)
            explanation = explained(server, text)
            expect(page.locator("#label")).to_have_text(name)
            expect(page.locator(".verdict em")).to_have_text(name)
            expect(page.locator(".legend em").first).to_have_text("another class")
            shown = page.locator("#classes").text_content()
            others = [each for each in explanation["probabilities"] if each != name]
            assert [part.split(":")[0] for part in shown.split(", ")] == others
        upload(page, [["text"], *rows], "three.csv")
        page.locator("#run").click()
        done = page.get_by_role("status").last
        expect(done).to_have_text("Done: 1 positive, 1 neutral, 1 negative.")
        (tmp_path / "out").mkdir()
        header, *lines = csv.reader(io.StringIO(downloaded(page, tmp_path / "out").decode()))
    names = ("negative", "neutral", "positive")
    assert header == ["text", "label", *(f"probability_{name}" for name in names)]
    assert [line[1] for line in lines] == [*names]
    for line in lines:
        assert sum(map(float, line[2:])) == pytest.approx(1)
