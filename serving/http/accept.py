"""Choose the form of a response by the header Accept (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def choose(accept: str, offered: Sequence[str]) -> str:
    """Return the media type of the highest quality; of equal ones, and of none, the first."""
    ranges = [_parse(each) for each in accept.split(",")]
    return max(offered, key=lambda media_type: _quality(media_type, ranges))


def _parse(entry: str) -> tuple[str, float]:
    """Return the media range of an entry and its weight, which is 0 where it is no number."""
    media_range, *parameters = (each.strip().lower() for each in entry.split(";"))
    weight = next((each[2:].strip() for each in parameters if each.startswith("q=")), "1")
    try:
        return media_range, float(weight)
    except ValueError:
        return media_range, 0.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that has the media type, or else 0."""
    weights = dict(reversed(ranges))  # the first of equal ranges counts
    kind = media_type.partition("/")[0]
    return next((weights[each] for each in (media_type, f"{kind}/*", "*/*") if each in weights), 0)
