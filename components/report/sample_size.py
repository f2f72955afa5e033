"""The difference in accuracy that test reviews can show, and the reviews that a difference takes.

Both are for a two-sided test at 5% of two models on the same reviews, with a power of 80% (Connor
1987, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design"). They
depend on the share of reviews on which only one of the two models is right.
"""

import math

_LEVEL, _POWER = 1.959964, 0.841621  # normal quantiles of 97.5% and 80%
USUAL_DISAGREEMENT = 0.05  # of models that were trained on most of the same reviews
POINT = 0.01


def rows_for(difference: float, disagreement: float) -> int:
    """Return the number of test reviews that show a difference.

    Raises:
        ValueError: the models differ on too few reviews for the difference.
    """
    if not 0 < difference <= disagreement:
        raise ValueError(f"no difference of {difference} with {disagreement} of the reviews")
    spread = _POWER * math.sqrt(disagreement - difference**2)
    return math.ceil((_LEVEL * math.sqrt(disagreement) + spread) ** 2 / difference**2)


def visible_difference(rows: int, disagreement: float) -> float:
    """Return the least difference that ``rows`` test reviews show; the share itself if none."""
    low, high = 0.0, disagreement
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rows_for(middle, disagreement) <= rows else (middle, high)
    return high


def describe(rows: int, disagreement: float = USUAL_DISAGREEMENT) -> str:
    """Return a line that says both of ``rows`` test reviews."""
    share = max(disagreement, POINT)
    seen, wanted = visible_difference(rows, share), rows_for(POINT, share)
    more = f"{wanted - rows} more show one point" if wanted > rows else "one point is seen"
    return (
        f"{rows} test reviews show a difference of {100 * seen:.1f} points between models that"
        f" disagree on {share:.0%} of them; {more}"
    )
