"""The site builds and loads nothing external; docs quote commands and messages correctly."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO
from tests.documents import blocks, commands, pages

ARCHITECTURE = REPO / "docs/architecture.md"
MAKEFILE = (REPO / "Makefile").read_text()
EXTERNAL_LOAD = re.compile(
    r"""(?:src|srcset|poster)=["']?(?:https?:)?//"""
    r"""|<link[^>]*href=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//"""
    r"""|@import"""
    r"""|<script[^>]*>[^<]*(?:https?:)?//[^<]*</script>"""
)
CODE = ("components", "deploy", "monitoring", "pipelines", "sentiment", "serving", "tools")
# these talk to a cluster or its parts; test_commands and test_runbooks check them with the tools
CLUSTER_TOOLS = {"amtool", "kubectl"}
SHELL_WORDS = {".", "cd", "cp", "export", "mkdir", "pytest", "sed", "set"}
Edges = set[tuple[str, str]]


def build_site(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of the folder ``source`` with the command of `make site`."""
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


@pytest.fixture(scope="module")
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


@pytest.mark.usefixtures("sphinx")
def test_site_builds_and_loads_nothing_external(tmp_path):
    result = build_site(REPO / "docs", tmp_path / "site")
    assert result.returncode == 0, result.stderr
    files = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 30
    for path in files:
        load = EXTERNAL_LOAD.search(path.read_text())
        assert load is None, f"{path}: {load[0]}"
    for name in ("readme", "own-data", "benchmarks", "runbooks/SentimentDrift"):
        assert (tmp_path / f"site/{name}.html").exists()


@pytest.mark.usefixtures("sphinx")
@pytest.mark.parametrize(
    ("page", "text", "message"),
    [
        ("watch.md", "[x](nowhere.md)", "there is no nowhere.md"),
        ("watch.md", "[x](deploy.md#nowhere)", "nowhere"),
        ("unlisted.md", "# A page that index.md does not list", "included in any toctree"),
    ],
)
def test_broken_pages_fail_the_build(copy, page: str, text: str, message: str):
    with (copy / "docs" / page).open("a") as file:
        file.write(f"\n{text}\n")
    for other in (copy / "docs").glob("*.md"):  # they link to files that the copy does not have
        if other.name not in ("index.md", page):
            other.write_text("# x\n")
    result = build_site(copy / "docs", copy / "site")
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize("load", ['<script src="//cdn.example.org/x.js">', "url(https://x.org/f)"])
def test_external_loads_are_recognised(load: str):
    assert EXTERNAL_LOAD.search(load)
    assert not EXTERNAL_LOAD.search('<a href="https://example.org">')


def edges(mermaid: str) -> Edges:
    """Return the edges of a Mermaid flowchart by the labels of its nodes."""
    labels = dict(re.findall(r'^\s*(\w+)\["(.+?)"\]$', mermaid, re.MULTILINE))
    found = set()
    for line in mermaid.splitlines():
        groups = [re.findall(r"\w+", group) for group in line.split("-->")]
        for sources, targets in pairwise(groups):
            found |= {(labels.get(a, a), labels.get(b, b)) for a in sources for b in targets}
    return found


def flowchart(section: str) -> Edges:
    """Return the edges of the flowchart under a heading of docs/architecture.md."""
    text = ARCHITECTURE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return edges(text.partition("```mermaid\n")[2].partition("```")[0])


def test_flowchart_of_stages_equals_dvc_dag():
    command = ["dvc", "dag", "--mermaid"]
    dag = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert flowchart("Stages") == edges(dag)


def test_flowchart_of_jobs_equals_the_workflow():
    jobs = yaml.safe_load((REPO / ".github/workflows/retrain.yml").read_text())["jobs"]
    needs = {name: job.get("needs", []) for name, job in jobs.items()}
    needs = {name: [each] if isinstance(each, str) else each for name, each in needs.items()}
    assert flowchart("From a push to a deployment") == {
        (before, name) for name, all_before in needs.items() for before in all_before
    }


def test_edges_read_groups_chains_and_labels():
    chart = 'flowchart LR\n  x["a@1"]\n  x --> b & c --> d\n'
    assert edges(chart) == {("a@1", "b"), ("a@1", "c"), ("b", "d"), ("c", "d")}


def as_quoted(node: ast.expr) -> str:
    """Return a string of the code as docs quote it, with … for each value in it."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%(\(\w+\))?[ds]", "…", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(as_quoted(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return as_quoted(node.left) + as_quoted(node.right)
    return "…"


@cache
def strings() -> set[str]:
    """Return all strings of the code, and the lines of the Makefile and of its awk program."""
    recipes = MAKEFILE + (REPO / "tools/env.awk").read_text()
    found = set(re.sub(r"%[ds]\.%d|%[ds]|\$\(MOVED\)", "…", recipes).splitlines())
    for package in CODE:
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                    found.add(" ".join(as_quoted(node).split()))
    return found


def messages() -> list[str]:
    text = (REPO / "docs/troubleshooting.md").read_text()
    return re.findall(r"^\| `(.+?)`[^|]*\|", text, re.MULTILINE)


def is_in_code(message: str) -> bool:
    return any(message.rstrip("…") in string for string in strings())


@pytest.mark.parametrize("message", messages())
def test_documented_messages_are_in_the_code(message: str):
    assert len(re.sub(r"[…:\W]", "", message)) > 5, "too short to be looked up"
    assert is_in_code(message)


def test_unknown_messages_are_recognised():
    assert len(messages()) > 30
    assert not is_in_code("…: no such file or binder")
    assert not is_in_code("the counts were not made by …")


@cache
def run_sources() -> str:
    """Return the text of all tests and workflows but this file."""
    own = [path for path in sorted((REPO / "tests").rglob("*.py")) if path != Path(__file__)]
    own += [*sorted((REPO / ".github").rglob("*.yml")), REPO / ".ci/run"]
    return "\n".join(path.read_text() for path in own)


def recipe(target: str) -> Iterator[str]:
    """Yield the commands of a make target."""
    rule = re.search(rf"^{target}:(?!.*?\?=)([^#\n]*).*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert rule is not None
    yield from (line.lstrip("\t@") for line in rule[2].splitlines())


def is_run(command: str) -> bool:
    """Tell whether a test, or a workflow that tests run, runs such a command."""
    words = [word for word in command.split() if "=" not in word]
    if words[0] == "make":
        return all(map(is_target_run, words[1:]))
    if words[:2] == ["python", "-m"]:
        return is_module_run(words[2])
    if words[0] in ("dvc", "git"):
        return f'"{words[1]}"' in run_sources()
    return words[0] in SHELL_WORDS | CLUSTER_TOOLS or (
        words[0] == "curl" and "//localhost" in command
    )


def is_target_run(target: str) -> bool:
    return bool(
        target == "site"  # by build_site above
        or re.search(rf'"make",[^\]]*"{target}"|\b_?make[ (]"?{target}\b', run_sources())
        or re.search(rf"^test:.*\b{target}\b", MAKEFILE, re.MULTILINE)
        or all(map(is_run, recipe(target)))
    )


def is_module_run(module: str) -> bool:
    package, _, name = module.rpartition(".")
    starters = MAKEFILE + "".join(
        path.read_text()
        for folder in ("monitoring", "pipelines", "tools")
        for path in (REPO / folder).glob("*.py")
    )
    imported = rf"\b{re.escape(module)}\b|from {package} import [^\n]*\b{name}\b"
    return bool(
        re.search(imported, run_sources())
        or f'"-m", "{module}"' in starters
        or (package == "components" and f"python -m {module} " in starters)
    )


def is_marked(page: str, block: str) -> bool:
    """Tell whether a block of commands, or its whole page, says what it needs."""
    needs = r"(AWS|a cluster|GitHub|time)\b"
    return bool(re.match(f"# needs {needs}", block) or re.search(f"^Needs {needs}", page, re.M))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPO)))
def test_documented_commands_are_run_or_marked(page: Path):
    text = page.read_text()
    for block in blocks(text):
        if not is_marked(text, block.lstrip()):
            for command in commands(block):
                assert is_run(command), f"no test runs it, and it is not marked: {command}"


@pytest.mark.parametrize("command", ["python -m benchmarks.overload", "helm install x", "dvc gc"])
def test_commands_without_a_test_are_recognised(command: str):
    assert not is_run(command)
    assert is_marked("", f"# needs a cluster\n{command}\n")
    assert not is_marked("", f"# needs luck\n{command}\n")
