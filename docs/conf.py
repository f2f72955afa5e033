"""How Sphinx makes the site of these pages; `make site` takes any of its warnings for an error.

The pages are written for GitHub: what only Sphinx wants, the tree of pages and addresses of files
that are no pages, is put in while they are read.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
REPOSITORY = f"https://github.com/{os.environ.get('GITHUB_REPOSITORY', 'example/sentiment-mlops')}"
LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")

project = "Sentiment MLOps"
extensions = ["myst_parser"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # Pygments knows no colon in a rule's name
html_theme = "furo"
html_title = project
html_show_sphinx = html_show_copyright = html_show_sourcelink = False


def prepare(app: Sphinx, page: str, content: list[str]) -> None:
    """Point links that leave the site at the repository; add the tree of pages to the first."""
    tree = _tree(content[0]) if page == "index" else ""
    folder = (HERE / page).parent

    def outward(link: re.Match[str]) -> str:
        path = (folder / link["path"]).resolve()
        if path.is_file() and path.is_relative_to(HERE):
            return link[0]
        if not path.exists():
            raise ExtensionError(f"{page}.md: there is no {link['path']}")
        kind = "blob" if path.is_file() else "tree"
        inside = path.relative_to(HERE.parent)
        return f"]({REPOSITORY}/{kind}/main/{inside}{link['anchor'] or ''})"

    content[0] = LINK.sub(outward, content[0]) + tree


def _tree(index: str) -> str:
    """Return a toctree for each part of the first page, of the pages that it links to.

    A page that it does not name is in no tree, which is a warning.
    """
    trees = ""
    for part in index.split("\n## ")[1:]:
        pages = [link["path"] for link in LINK.finditer(part) if link["path"].endswith(".md")]
        inside = "\n".join(page for page in dict.fromkeys(pages) if not page.startswith("../"))
        trees += f"\n```{{toctree}}\n:hidden:\n:caption: {part.splitlines()[0]}\n\n{inside}\n```\n"
    return trees + "\n```{toctree}\n:hidden:\n:glob:\n:caption: Runbooks\n\nrunbooks/*\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", prepare)
