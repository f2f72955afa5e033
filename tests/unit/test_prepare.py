import pandas as pd

from components import prepare, reviews, validate


def table(*rows: tuple[str | None, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(source="test")
    return frame.astype({"label": "int8"})


def test_a_text_never_changes_sides_as_data_grows(imdb):
    before = prepare.prepare(imdb.iloc[::3], 0.1, 0.2)
    after = prepare.prepare(imdb.sample(frac=1, random_state=0), 0.1, 0.2)
    for split in prepare.SPLITS:
        assert set(before[split]["text"]) <= set(after[split]["text"])


def test_the_splits_have_their_shares_and_nothing_in_common(imdb):
    splits = prepare.prepare(imdb, 0.1, 0.2)
    rows = sum(map(len, splits.values()))
    assert rows == imdb["text"].map(reviews.key).nunique() == 24_904
    assert abs(len(splits["test"]) / rows - 0.2) < 0.01
    assert abs(len(splits["valid"]) / rows - 0.1) < 0.01
    keys = [key for split in splits.values() for key in split["text"].map(reviews.key)]
    assert len(keys) == len(set(keys))


def test_copies_empties_and_conflicts_go():
    splits = prepare.prepare(
        table(
            ("Good", 1), (" good ", 1), ("", 0), (None, 1), ("so so", 0), ("So  so", 1), ("x", 0)
        ),
        0.1,
        0.2,
    )
    assert sorted(text for split in splits.values() for text in split["text"]) == ["Good", "x"]


def test_validate_counts_what_it_says():
    report = validate.validate(
        table(("Good", 1), ("good", 1), ("so", 0), ("so", 1), (None, 0), ("caf\ufffd", 0)),
        validate.Limits(min_rows=1),
    )
    assert report["rows"] == 6
    assert report["shares"] == {
        "empty": 1 / 6,
        "smaller_class": 0.5,
        "duplicates": 2 / 6,
        "conflicts": 1 / 6,
        "too_long": 0.0,
        "damaged": 1 / 6,
    }
    assert [breach.split()[0] for breach in report["breaches"]] == [
        *("empty", "duplicates", "conflicts", "damaged")
    ]


def test_validate_passes_the_built_in_reviews(imdb):
    report = validate.validate(imdb, validate.Limits())
    assert report["breaches"] == []
    assert report["sources"] == {"imdb": 25_000}
