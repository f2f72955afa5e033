"""The site is whole and asks no other host; pictures, messages and commands are the code's."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pipelines import pictures
from tests.conftest import REPO
from tests.documents import blocks, commands, pages

FETCHED = r"""(?:src|srcset|poster)=["']?(?:https?:)?//|<link[^>]*href=["']?(?:https?:)?//"""
FETCHED += r"""|url\(["']?(?:https?:)?//|@import|<script[^>]*>[^<]*(?:https?:)?//[^<]*</script>"""
CODE = ("components", "deploy", "monitoring", "pipelines", "sentiment", "serving", "tools")
# they talk to a cluster or its parts, whatever they are told; real ones read them in test_layers
# and test_runbooks
OUTWARD = {"amtool", "kubectl"}
ABOVE = {"make site", "python -m pipelines.pictures"}  # in this file
PLAIN = {".", "cd", "cp", "export", "pytest", "set"}


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Make the site as `make site` does, of another folder."""
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", "site"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]
    *command, _, _, _ = recipe.split()
    command += [str(site.parent / "doctrees"), str(source), str(site)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", autouse=True)
def sphinx() -> None:
    command = ["make", "--old-file", ".venv/installed", ".site/installed"]
    subprocess.run(command, cwd=REPO, capture_output=True, check=True, timeout=300)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(REPO / "docs", tmp_path / "docs")
    for file in ("README.md", "benchmarks/README.md"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(REPO / file, tmp_path / file)
    return tmp_path


def test_the_site_is_whole_and_fetches_nothing_from_other_hosts(tmp_path):
    result = build(REPO / "docs", tmp_path / "site")
    assert result.returncode == 0, result.stderr
    made = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    assert len(made) > 30
    for path in made:
        found = re.search(FETCHED, path.read_text())
        assert found is None, f"{path}: {found[0]}"
    for name in ("readme", "own-data", "benchmarks", "runbooks/SentimentDrift"):
        assert (tmp_path / f"site/{name}.html").exists()


@pytest.mark.parametrize(
    ("page", "text", "words"),
    [
        ("watch.md", "[x](nowhere.md)", "there is no nowhere.md"),
        ("watch.md", "[x](deploy.md#nowhere)", "nowhere"),
        ("unlisted.md", "# A page that index.md does not know", "included in any toctree"),
    ],
)
def test_what_is_broken_is_an_error(copy, page: str, text: str, words: str):
    with (copy / "docs" / page).open("a") as file:
        file.write(f"\n{text}\n")
    # each alone: what else the pages link to is not in the copy
    for other in (copy / "docs").glob("*.md"):
        if other.name not in ("index.md", page):
            other.write_text("# x\n")
    result = build(copy / "docs", copy / "site")
    assert result.returncode != 0
    assert words in result.stderr


@pytest.mark.parametrize("fetch", ['<script src="//cdn.example.org/x.js">', "url(https://x.org/f)"])
def test_what_is_fetched_is_noticed(fetch: str):
    assert re.search(FETCHED, fetch)
    assert not re.search(FETCHED, '<a href="https://example.org">')


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return pictures.pictures()


@pytest.mark.parametrize("name", ["stages.svg", "packages.svg", "jobs.svg"])
def test_a_picture_is_that_of_the_code(drawn, name: str):
    assert (REPO / "docs/pictures" / name).read_text() == drawn[name], "run make pictures"
    assert f"pictures/{name}" in (REPO / "docs/architecture.md").read_text()


def test_a_picture_shows_a_need():
    rows = pictures.packages()
    assert ("sentiment",) in [row.needs for row in rows]
    changed = [row for row in rows if row.name != "serving"]
    assert pictures.draw("x", changed) != pictures.draw("x", rows)
    assert {row.name for row in pictures.jobs()} >= {"test: lock", "release", "deploy: deploy"}


def flat(node: ast.expr) -> str:
    """Return a string as the page quotes it, with … for what is put into it."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%(\(\w+\))?[ds]", "…", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(flat(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return flat(node.left) + flat(node.right)
    return "…"


@cache
def said() -> set[str]:
    """Return all that the code can say, and what the Makefile does."""
    found = set()
    for package in CODE:
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                    found.add(" ".join(flat(node).split()))
    makefile = (REPO / "Makefile").read_text()
    return found | set(re.sub(r"%[ds]\.%d|%[ds]", "…", makefile).splitlines())


def messages() -> list[str]:
    text = (REPO / "docs/troubleshooting.md").read_text()
    return re.findall(r"^\| `(.+?)`[^|]*\|", text, re.MULTILINE)


def stands(message: str) -> bool:
    return any(message.rstrip("…") in each for each in said())


@pytest.mark.parametrize("message", messages())
def test_a_message_stands_in_the_code(message: str):
    assert len(re.sub(r"[…:\W]", "", message)) > 5, "says too little to be looked up"
    assert stands(message)


def test_a_message_of_nobody_is_noticed():
    assert len(messages()) > 30
    assert not stands("…: no such file or binder")
    assert not stands("the counts were not made by …")


@cache
def texts() -> str:
    own = [path for path in sorted((REPO / "tests").rglob("*.py")) if path != Path(__file__)]
    own += [*sorted((REPO / ".github").rglob("*.yml")), REPO / ".ci/run"]
    return "\n".join(path.read_text() for path in own)


def recipe(target: str) -> Iterator[str]:
    """Yield the commands of a make target and those of what it needs."""
    made = re.search(
        rf"^{target}:(?!.*?\?=)([^#\n]*).*\n((?:\t.*\n)*)", (REPO / "Makefile").read_text(), re.M
    )
    assert made is not None
    yield from (line.lstrip("\t@") for line in made[2].splitlines())


def is_run(command: str) -> bool:
    """Tell whether a test, or a workflow that the tests run, runs such a command."""
    if command in ABOVE:
        return True
    words = [word for word in command.split() if "=" not in word]
    text = texts()
    if words[0] == "make":
        return all(
            re.search(rf'"make",[^\]]*"{target}"|\b_?make[ (]"?{target}\b', text)
            or re.search(rf"^test:.*\b{target}\b", (REPO / "Makefile").read_text(), re.MULTILINE)
            or all(map(is_run, recipe(target)))
            for target in words[1:]
        )
    if words[:2] == ["python", "-m"]:
        package, _, name = words[2].rpartition(".")
        started = (REPO / "Makefile").read_text() + "".join(
            path.read_text()
            for folder in ("monitoring", "pipelines", "tools")
            for path in (REPO / folder).glob("*.py")
        )
        return bool(
            re.search(rf"\b{re.escape(words[2])}\b|from {package} import [^\n]*\b{name}\b", text)
            or f'"-m", "{words[2]}"' in started
            or (package == "components" and f"python -m {words[2]} " in started)
        )
    if words[0] in ("dvc", "git"):
        return f'"{words[1]}"' in text
    return words[0] in PLAIN | OUTWARD or (words[0] == "curl" and "//localhost" in command)


def marked(page: str, block: str) -> bool:
    needs = r"(AWS|a cluster|GitHub|time)\b"
    return bool(re.match(f"# needs {needs}", block) or re.search(f"^Needs {needs}", page, re.M))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPO)))
def test_a_command_is_run_by_a_test_or_says_what_it_needs(page: Path):
    text = page.read_text()
    for block in blocks(text):
        if not marked(text, block.lstrip()):
            for command in commands(block):
                assert is_run(command), f"no test runs it, and it is not marked: {command}"


@pytest.mark.parametrize("command", ["python -m benchmarks.ablation", "helm install x", "dvc gc"])
def test_a_command_that_nobody_runs_is_noticed(command: str):
    assert not is_run(command)
    assert marked("", f"# needs a cluster\n{command}\n")
    assert not marked("", f"# needs luck\n{command}\n")
