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
    """Return the least difference that ``rows`` test reviews show, at most the share itself."""
    low, high = 0.0, disagreement
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rows_for(middle, disagreement) <= rows else (middle, high)
    return high


def describe(rows: int, disagreement: float = USUAL_DISAGREEMENT) -> str:
    """Return a line that says both of ``rows`` test reviews."""
    if disagreement < POINT:
        return (
            f"the models disagree on {disagreement:.2%} of {rows} test reviews, less than a point"
        )
    wanted, models = rows_for(POINT, disagreement), f"models that disagree on {disagreement:.0%}"
    more = f"{wanted - rows} more show one point" if wanted > rows else "one point is seen"
    if rows < rows_for(disagreement, disagreement):
        return f"{rows} test reviews show no difference between {models} of them; {more}"
    seen = 100 * visible_difference(rows, disagreement)
    return f"{rows} test reviews show {seen:.1f} points between {models} of them; {more}"
