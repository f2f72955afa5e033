"""Configure Sphinx for the site of these pages; `make site` treats each warning as an error.

The pages are written for GitHub. Sphinx adds what the site needs while it reads them: the tree of
pages, from the table in index.md, and links to files that are not pages. GitHub draws Mermaid
blocks; the site shows their text.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
REPOSITORY = f"https://github.com/{os.environ.get('GITHUB_REPOSITORY', 'example/sentiment-mlops')}"
LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
# READMEs beside the code, and their names on the site
READMES = {
    HERE.parent / "README.md": "readme",
    HERE.parent / "benchmarks/README.md": "benchmarks",
}
SOURCES = {page: file for file, page in READMES.items()}

project = "Sentiment MLOps"
extensions = ["myst_parser"]
myst_heading_anchors = 3
# Pygments knows neither Mermaid nor a colon in the name of a Prometheus rule
suppress_warnings = ["misc.highlighting_failure"]
html_theme = "furo"
html_title = project
html_show_sphinx = html_show_copyright = html_show_sourcelink = False
html_copy_source = False


def prepare(app: Sphinx, page: str, content: list[str]) -> None:
    """Point links at the site's pages, or else at the repository; add the tree to index.md."""
    file = SOURCES.get(page, HERE / f"{page}.md")
    folder = (HERE / page).parent

    def rewrite(link: re.Match[str]) -> str:
        path = (file.parent / link["path"]).resolve()
        if not path.exists():
            raise ExtensionError(f"{page}.md: there is no {link['path']}")
        if path in READMES:
            target = os.path.relpath(HERE / f"{READMES[path]}.md", folder)
        elif path.is_file() and path.is_relative_to(HERE):
            target = os.path.relpath(path, folder)
        else:
            kind = "blob" if path.is_file() else "tree"
            target = f"{REPOSITORY}/{kind}/main/{path.relative_to(HERE.parent)}"
        return f"]({target}{link['anchor'] or ''})"

    text = LINK.sub(rewrite, file.read_text() if page in SOURCES else content[0])
    content[0] = text + _tree(text) if page == "index" else text


def _tree(index: str) -> str:
    """Return a toctree for each row of the table; Sphinx warns of a page that is in none."""
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
