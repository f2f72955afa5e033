"""Find the words that tools/words.txt replaces, in docs, docstrings, comments and messages."""

import argparse
import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components import cli
from components.errors import UserError

LIST = Path("tools/words.txt")
# texts of other authors, or of rules that need the words
EXEMPT = {"LICENSE", "CHANGELOG.md", str(LIST), "tests/unit/test_words.py"}
DATA = {("components/behaviour/english.yaml", "somebody")}  # test cases quote users
NAMES = re.compile(r"\\\(\\\)$")  # how the list marks the name of a function


@dataclass(frozen=True)
class Entry:
    """A word, as a regular expression, and what to write instead of it."""

    pattern: re.Pattern[str]
    advice: str
    is_name: bool


@dataclass(frozen=True)
class Finding:
    path: Path
    line: int
    word: str
    advice: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.word}": {self.advice}'


def read_list(text: str) -> list[Entry]:
    """Parse the list of words.

    Raises:
        UserError: a line is not a regular expression, a tab and an advice.
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        expression, tab, advice = line.partition("\t")
        try:
            is_name = bool(NAMES.search(expression))
            expression = NAMES.sub("", expression)
            pattern = re.compile(rf"(?<![\w-]){expression}(?![\w-])", re.IGNORECASE)
        except re.error as error:
            raise UserError(f"{LIST}, line {number}: {error}") from error
        if not tab or not advice:
            raise UserError(f"{LIST}, line {number}: no tab and advice")
        entries.append(Entry(pattern, advice, is_name))
    return entries


def check(path: Path, source: str, entries: Iterable[Entry]) -> Iterator[Finding]:
    """Yield the words found in a file: all text of other files, of Python files the prose."""
    entries = list(entries)
    if path.suffix == ".py":
        tree = ast.parse(source)
        names = [entry for entry in entries if entry.is_name]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for entry in names:
                    if entry.pattern.fullmatch(node.name.lstrip("_")):
                        yield Finding(path, node.lineno, f"{node.name}()", entry.advice)
        texts = [*comments(source), *strings(tree)]
    else:
        texts = [*enumerate(source.splitlines(), 1)]
    for line, text in texts:
        for entry in entries:
            if not entry.is_name:
                for match in entry.pattern.finditer(text):
                    if (str(path), match[0].lower()) in DATA:
                        continue
                    number = line + text.count("\n", 0, match.start())
                    yield Finding(path, number, match[0], entry.advice)


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield docstrings, and other strings of two words or more: messages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def files() -> list[Path]:
    """Return the files in git that people write: code, docs, recipes and manifests."""
    kinds = ("*.py", "*.md", "*.yml", "*.yaml", "*.cfg", "*.toml", "Makefile", "Dockerfile.*")
    listed = subprocess.run(["git", "ls-files", *kinds], capture_output=True, text=True, check=True)
    paths = [Path(name) for name in listed.stdout.splitlines() if name not in EXEMPT]
    return [path for path in paths if path.exists() and "compiled" not in path.parts]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.words", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="default: all in git")
    parser.add_argument("--count", action="store_true", help="print findings by folder instead")
    args = parser.parse_args(argv)

    def work() -> None:
        entries = read_list(LIST.read_text())
        paths = args.paths or files()
        findings = [each for path in paths for each in check(path, path.read_text(), entries)]
        if args.count:
            for folder, number in Counter(each.path.parts[0] for each in findings).most_common():
                print(f"{number:5} {folder}")
        else:
            for finding in sorted(findings, key=lambda each: (each.path, each.line)):
                print(finding)
        if findings:
            raise UserError(f"{len(findings)} words of {LIST}")

    return cli.run("words", work)


if __name__ == "__main__":
    raise SystemExit(main())
