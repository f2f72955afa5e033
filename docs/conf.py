"""How Sphinx makes the site of these pages; `make site` takes any of its warnings for an error.

The pages are written for GitHub. What only a site wants is put in while they are read: the tree of
pages, which index.md has as a table, and addresses of files that are no pages.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
REPOSITORY = f"https://github.com/{os.environ.get('GITHUB_REPOSITORY', 'example/sentiment-mlops')}"
LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
MERMAID = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
# what GitHub shows beside the code, and where it is on the site
ELSEWHERE = {
    HERE.parent / "README.md": "readme",
    HERE.parent / "benchmarks/README.md": "benchmarks",
}
SOURCES = {page: file for file, page in ELSEWHERE.items()}

project = "Sentiment MLOps"
extensions = ["myst_parser"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # Pygments knows no colon in a rule's name
html_theme = "furo"
html_title = project
html_show_sphinx = html_show_copyright = html_show_sourcelink = False
html_copy_source = False


def prepare(app: Sphinx, page: str, content: list[str]) -> None:
    """Lead links to the site's pages, or else to the repository; add the tree to the first page."""
    file = SOURCES.get(page, HERE / f"{page}.md")
    folder = (HERE / page).parent

    def led(link: re.Match[str]) -> str:
        path = (file.parent / link["path"]).resolve()
        if not path.exists():
            raise ExtensionError(f"{page}.md: there is no {link['path']}")
        if path in ELSEWHERE:
            target = os.path.relpath(HERE / f"{ELSEWHERE[path]}.md", folder)
        elif path.is_file() and path.is_relative_to(HERE):
            target = os.path.relpath(path, folder)
        else:
            kind = "blob" if path.is_file() else "tree"
            target = f"{REPOSITORY}/{kind}/main/{path.relative_to(HERE.parent)}"
        return f"]({target}{link['anchor'] or ''})"

    text = LINK.sub(led, file.read_text() if page in SOURCES else content[0])
    text = MERMAID.sub("![The stages](pictures/stages.svg)", text)  # drawn by a script on GitHub
    content[0] = text + _tree(text) if page == "index" else text


def _tree(index: str) -> str:
    """Return a toctree for each row; a page that is in none of them is a warning."""
    trees = []
    for row in re.findall(r"^\| (.*\]\(.*) \|$", index, re.MULTILINE):
        caption = row.partition(" | ")[0].capitalize()
        entries = [
            f"{title} <{page}>" for title, page in re.findall(r"\[(.*?)\]\((.*?\.md)\)", row)
        ]
        if row.endswith("/docs/runbooks)"):
            entries.append("runbooks/*")
        trees.append("\n".join([":hidden:", ":glob:", f":caption: {caption}", "", *entries]))
    return "".join(f"\n```{{toctree}}\n{tree}\n```\n" for tree in trees)


def setup(app: Sphinx) -> None:
    app.connect("source-read", prepare)
