"""A suite of behaviour is a YAML file: what it may say, what it asks, and what is refused."""

import re

import numpy as np
import pytest
import yaml

from components.behaviour import judging, reading
from components.behaviour.suite import MOST_CASES
from components.errors import UserError
from components.report.languages import Share
from tests.conftest import REPO

GERMAN = """
language: de
classes: [negative, positive]
texts:
  positive: [Ein guter Film., Schön. Sehr gut.]
  negative: [Ein mieser Film.]
cases:
  - capability: negation
    texts: ["{was} ist {wort}.", "{was} ist nicht {wort}."]
    fill: {was: [Das, Es], wort: [gut, "{schön}"]}
    expect: {lower: positive, not: positive}
  - capability: edits
    texts: ["{text}", "<p>{text:breaks}", "{text:upper} {text:2 times}"]
    expect: {steady: "{class}"}
"""


def parse(text: str):
    return reading.parse(text.encode(), "mine.yaml")


def asked(**expect: object):
    """Return the one case of a suite of three classes."""
    texts = ["a", "b"]
    case = {"capability": "x", "texts": texts, "expect": expect}
    suite = {"language": "en", "classes": ["bad", "fair", "good"], "cases": [case]}
    (found,) = parse(yaml.safe_dump(suite)).each_case()
    return lambda *p: found.passes(np.array(p), ["bad", "fair", "good"])


def test_places_are_filled_in_every_combination():
    negation = [case.texts for case in parse(GERMAN).each_case() if case.capability == "negation"]
    assert negation == [
        ("Das ist gut.", "Das ist nicht gut."),
        ("Das ist {schön}.", "Das ist nicht {schön}."),  # what fills a place is left as it is
        ("Es ist gut.", "Es ist nicht gut."),
        ("Es ist {schön}.", "Es ist nicht {schön}."),
    ]
    edits = [case for case in parse(GERMAN).each_case() if case.capability == "edits"]
    assert [case.own for case in edits] == ["positive", "positive", "negative"]
    assert edits[1].texts == (
        "Schön. Sehr gut.",
        "<p>Schön.<br /><br />Sehr gut.",
        "SCHÖN. SEHR GUT. Schön. Sehr gut. Schön. Sehr gut.",
    )


def test_expectations_name_a_class_among_three():
    surely, hardly, bad = [0.1, 0.2, 0.7], [0.3, 0.25, 0.45], [0.6, 0.3, 0.1]
    assert asked(right="good")(surely, hardly)
    assert not asked(right="good")(surely, bad)
    assert not asked(steady="good")(surely, hardly)  # right, and too far apart
    assert asked(steady="good")(surely, [0.1, 0.29, 0.61])
    assert not asked(steady="good")(bad, bad)  # close, and wrong
    assert asked(lower="good")(surely, hardly)
    assert not asked(lower="good")(hardly, hardly)
    assert asked(higher="fair")(surely, hardly)
    assert asked(**{"not": "good"})(surely, hardly)
    assert not asked(**{"not": "good"})(hardly, surely)
    assert asked(between={"good": [0.4, 0.8], "bad": [0, 0.4]})(surely, hardly)
    assert not asked(between={"good": [0.4, 0.8], "bad": [0, 0.3]})(surely, hardly)
    assert not asked(lower="good", higher="bad", right="good")(surely, bad)  # all must hold
    assert asked(right=["good", "bad"])(surely, bad)
    assert not asked(right=["good", "bad"])(bad, surely)
    assert not asked(right=["bad", "bad"])(surely, bad)


def test_a_probability_that_must_not_fall_may_fall_a_little():
    first, close, far = [0.0, 0.01, 0.99], [0.05, 0.05, 0.9], [0.1, 0.1, 0.8]
    assert asked(not_lower="good")(first, close)
    assert not asked(not_lower="good")(first, far)
    assert asked(not_lower="good")(far, first)
    assert asked(not_higher="good")(close, first)
    assert not asked(not_higher="good")(far, first)


@pytest.mark.parametrize(
    ("text", "typo"),
    [
        ("A wonderful film.", "A wonedrful film."),
        ("Ab cd.", "bA cd."),
        ("a b", "a b"),
        ("...", "..."),
        ("größer, kleiner", "größer, kliener"),
    ],
)
def test_a_typo_swaps_two_letters_of_the_longest_word(text, typo):
    suite = parse(GERMAN.replace("[gut, ", f"['{text}', ").replace("ist {wort}", "ist {wort:typo}"))
    assert next(suite.each_case()).texts[0] == f"Das ist {typo}."


def test_the_digest_is_of_the_content():
    suite = parse(GERMAN)
    assert suite.digest() == parse("# a comment\n" + GERMAN).digest()
    assert suite.digest() != parse(GERMAN.replace("mieser", "übler")).digest()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("language: de", "language: no", "language: False: it should be a valid string; quote a"),
        ("language: de", "language: xx", "language: 'xx' is not the code of a language that is"),
        ("language: de\n", "", "language: is required"),
        ("classes: [negative, positive]", "classes: [positive]", "classes: ['positive']: "),
        ("texts:\n  positive", "texts:\n  postive", "texts: 'postive' is none of classes: negativ"),
        ("lower: positive,", "lower: postive,", "case 1: expect: lower: 'postive' is none of clas"),
        ("lower: positive,", "lower: 5,", "case 1: expect.lower: 5: it should be a valid string"),
        ("lower: positive,", "right: [positive], lower: positive,", "case 1: expect: right: 1 cla"),
        ("lower: positive,", "right: [good, bad], lower: positive,", "right: 'good' is none of"),
        ("lower: positive,", "lowr: positive,", "case 1: expect.lowr: no such field"),
        ("{lower: positive, not: positive}", "{}", "case 1: expect: names no expectation"),
        ("{was: [Das, Es], wort:", "{wort:", "case 1: texts: fill has no 'was'"),
        ("{was: [Das", "{war: [x], was: [Das", "case 1: fill: no text has a place {war}"),
        ("wort: [gut,", "wort: [no,", "case 1: fill.wort.1: False: it should be a valid string"),
        ("{text:upper}", "{text:uper}", "case 2: texts: 'uper' is no edit; there are upper"),
        ("2 times", "20000 times", "case 2: texts: '20000 times' is no edit"),
        ('["{text}", "<p>{text:breaks}", ', "[", "case 2: expect: steady compares texts, and"),
        ("{steady:", "{between: {negative: [1, 0]}, steady:", "between: 1 and 0 are no bounds"),
        ("{lower: positive,", '{lower: "{class}",', "case 1: expect: {class} is the class of {te"),
        ("positive: [Ein guter Film., Schön. Sehr gut.]\n  negative: [Ein mieser Film.]",
         "{}", "case 2: texts: the suite has no texts for the place {text}"),
        ("language: de", "language: de\nlanguage: en", "not YAML ('language' stands twice)"),
        ("cases:", "fälle:", "cases: is required"),
        ("wort: [", f"wort: [{'x, ' * MOST_CASES}", f"cases: they make 40007, and {MOST_CASES}"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_case_and_field(old, new, message):
    assert old in GERMAN
    with pytest.raises(UserError) as raised:
        parse(GERMAN.replace(old, new, 1))
    said = " ".join(str(raised.value).split())
    assert said.startswith("mine.yaml: ")
    assert message in said


@pytest.mark.parametrize("text", ["", "5", "[1]", "{", "\0", "a: " + "[" * 5000])
def test_what_is_no_suite_is_refused(text):
    with pytest.raises(UserError, match=r"mine\.yaml: "):
        parse(text)


def test_a_suite_is_read_from_an_address(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GERMAN)
    assert reading.read(str(path)) == parse(GERMAN)
    assert reading.read("none") is None
    with pytest.raises(UserError, match="no such file or folder"):
        reading.read(str(tmp_path / "other.yaml"))
    with pytest.raises(UserError, match=r"evaluate\.behaviour: .*: Is a directory"):
        reading.read(str(tmp_path))
    path.write_bytes(GERMAN.encode("latin-1"))
    with pytest.raises(UserError, match=r"evaluate\.behaviour: .*mine\.yaml: not YAML"):
        reading.read(str(path))


def test_the_documented_suite_is_one():
    page = (REPO / "docs/own-data.md").read_text().partition("## Languages and behaviour")[2]
    suite = parse(page.partition("```yaml\n")[2].partition("```")[0])
    assert len([*suite.each_case()]) == 6 + 2 + 2
    words = {word for block in suite.cases for word, _ in block.expect.named()}
    documented = set(
        re.findall(r"`(\w+): ", page.partition("| `expect` |")[2].partition("\n\n")[0])
    )
    expectations = {"right", "steady", "higher", "lower", "not_higher", "not_lower", "not"}
    assert documented == expectations | {"between"}
    assert words < documented


@pytest.mark.parametrize(
    ("languages", "classes", "unfit"),
    [
        ({"de": 0.5, "en": 0.5}, "negative positive", None),
        ({"de": 1}, "positive negative", None),
        ({"de": 1}, "bad good", "is of the classes negative, positive, the model of bad, good"),
        ({"de": 1}, "negative neutral positive", "the model of negative, neutral, positive"),
        ({"en": 0.97, "und": 0.03}, "negative positive",
         "the suite mine is in German, the training reviews in English (97%), undetermined (3%)"),
        ({"de": 0.4, "und": 0.6}, "negative positive", "in German (40%), undetermined (60%)"),
    ],
)  # fmt: skip
def test_a_suite_fits_by_classes_and_language(languages, classes, unfit):
    found = [Share(name, share) for name, share in languages.items()]
    said = judging._unfit(parse(GERMAN), "mine", classes.split(), found)
    assert said == unfit or (unfit is not None and unfit in said)
