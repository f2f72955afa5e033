"""Draw rows and what each needs as an SVG image: a list, with an arc for each need."""

import textwrap
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW, LEFT, NAME, WIDTH = 40, 210, 130, 960  # pixels
COLUMNS = 97  # of a note's line


@dataclass(frozen=True)
class Row:
    name: str
    note: str
    needs: tuple[str, ...] = ()


def draw(title: str, rows: list[Row]) -> str:
    """Return an SVG image: a line for each row, and an arc from each row that it needs."""
    at = {row.name: number for number, row in enumerate(rows)}
    middle = {name: ROW * number + ROW // 2 + 10 for name, number in at.items()}
    parts = []
    for row in rows:
        y = middle[row.name]
        for need in row.needs:
            parts.append(_arc(middle[need], y, at[row.name] - at[need]))
        parts.append(
            f'<rect x="{LEFT}" y="{y - 13}" width="{NAME}" height="26" rx="4" fill="#e8eef7"'
            ' stroke="#3b5b92"/>'
            f'<text x="{LEFT + NAME // 2}" y="{y + 4}" text-anchor="middle">'
            f"{escape(row.name)}</text>" + _note(row.note, y)
        )
    height = ROW * len(rows) + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">\n'
        f"<title>{escape(title)}</title>\n"
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#3b5b92"/></marker>\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _arc(start: int, end: int, rows: int) -> str:
    if rows == 1:
        x = LEFT + NAME // 2
        path = f"M{x} {start + 13}V{end - 13}"
    else:
        reach = LEFT - min(190, 14 + 13 * rows) - 4
        path = f"M{LEFT} {start + 5}C{reach} {start + 5} {reach} {end - 5} {LEFT} {end - 5}"
    return f'<path d="{path}" fill="none" stroke="#3b5b92" marker-end="url(#tip)"/>'


def _note(text: str, y: int) -> str:
    lines = textwrap.wrap(text, COLUMNS) or [""]
    top = y + 4 - 7 * (len(lines) - 1)
    return "".join(
        f'<text x="{LEFT + NAME + 14}" y="{top + 14 * at}" fill="#333">{escape(line)}</text>'
        for at, line in enumerate(lines)
    )
