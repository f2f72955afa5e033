"""The check of words finds them in prose, and leaves data and other names alone."""

from pathlib import Path

import pytest

from components.errors import UserError
from tools import words

ENTRIES = words.read_list(
    "# a comment\n\nnobody\tname the actor\n(come|comes) of\tfollow from\nheld\\(\\)\ta verb\n"
)
SOURCE = '''"""Nobody reads this docstring.

What comes of it.
"""
# nobody comments
nobody = "nobody"  # the name and the value are data
message = f"nobody answers {nobody}"


def held() -> None: ...
def beheld() -> None: ...
'''


def check(name: str, text: str) -> list[tuple[int, str]]:
    return sorted((each.line, each.word) for each in words.check(Path(name), text, ENTRIES))


def test_prose_of_python_is_checked():
    assert check("a.py", SOURCE) == [
        *((1, "Nobody"), (3, "comes of"), (5, "nobody"), (7, "nobody"), (10, "held()"))
    ]


def test_all_text_of_markdown_is_checked():
    assert check("a.md", "# Title\n\nIt came from nobody, nobody-else.\n") == [(3, "nobody")]


def test_texts_for_the_model_are_data():
    entries = words.read_list("somebody\tname the actor\n")
    source = 'text = "Somebody told me"  # somebody\n'
    assert not [*words.check(Path("components/behaviour/english.yaml"), source, entries)]
    assert len([*words.check(Path("sentiment/model.py"), source, entries)]) == 2


def test_a_finding_names_its_place_and_advice():
    (finding,) = words.check(Path("docs/a.md"), "one\nnobody\n", ENTRIES)
    assert str(finding) == 'docs/a.md:2: "nobody": name the actor'


@pytest.mark.parametrize(
    ("line", "message"), [("nobody", "line 1: no tab"), ("(nobody\tx", "line 1: missing")]
)
def test_a_wrong_list_is_an_error(line: str, message: str):
    with pytest.raises(UserError, match=message):
        words.read_list(line)


def test_the_list_in_the_repository_is_read():
    text = (Path(__file__).parents[2] / words.LIST).read_text()
    assert len(words.read_list(text)) > 15
