from pathlib import Path

import pandas as pd

from components import prepare, validate
from components.io import reviews


def table(*rows: tuple[str | None, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["text", "label"]).assign(source="test")
    return frame.astype({"label": "int8"})


def split(frame: pd.DataFrame, directory: Path, **given: int) -> dict[str, pd.DataFrame]:
    directory.mkdir()
    reviews.write(directory / "reviews.parquet", frame)
    outputs = {name: directory / name for name in prepare.SPLITS}
    rows = prepare.prepare(directory / "reviews.parquet", outputs, 0.1, 0.2, **given)
    found = {name: reviews.read(path) for name, path in outputs.items()}
    assert {name: len(each) for name, each in found.items()} == rows
    return found


def test_texts_keep_their_split_as_data_grow(imdb, tmp_path):
    before = split(imdb.iloc[::3], tmp_path / "before")
    after = split(imdb.sample(frac=1, random_state=0), tmp_path / "after")
    for name in prepare.SPLITS:
        assert set(before[name]["text"]) <= set(after[name]["text"])


def test_splits_are_disjoint_and_sized(imdb, tmp_path):
    splits = split(imdb, tmp_path / "all")
    rows = sum(map(len, splits.values()))
    assert rows == imdb["text"].map(reviews.key).nunique() == 24_904
    assert abs(len(splits["test"]) / rows - 0.2) < 0.01
    assert abs(len(splits["valid"]) / rows - 0.1) < 0.01
    keys = [key for each in splits.values() for key in each["text"].map(reviews.key)]
    assert len(keys) == len(set(keys))


def test_shard_size_does_not_change_splits(imdb, tmp_path):
    table = imdb.iloc[::10]
    large, small = split(table, tmp_path / "large"), split(table, tmp_path / "s", shard_rows=100)
    for name in prepare.SPLITS:
        assert sorted(large[name]["text"]) == sorted(small[name]["text"])
    shards = reviews.shards(tmp_path / "s" / "train")
    assert len(shards) == 18
    assert all(50 < reviews.rows(path) < 150 for path in shards)
    assert not list(tmp_path.rglob("*.arrow"))


def test_copies_empties_and_conflicts_drop(imdb, tmp_path):
    odd = table(
        ("Good", 1), (" good ", 1), ("", 0), (None, 1), ("so so", 0), ("So  so", 1), ("x", 0)
    )
    whole = pd.concat([odd, imdb.iloc[::50]], ignore_index=True)
    splits = split(whole, tmp_path / "odd", shard_rows=100)
    texts = [text for each in splits.values() for text in each["text"] if len(text) < 10]
    assert sorted(texts) == ["Good", "x"]


def test_validate_counts_each_problem():
    report = validate.validate(
        [
            table(("Good", 1), ("so", 0), (None, 0)),
            table(("good", 1), ("so", 1), ("caf\ufffd", 0)),
        ],
        validate.ValidationLimits(min_rows=1),
    )
    assert report.rows == 6
    assert report.shares == {
        "empty": 1 / 6,
        "duplicates": 2 / 6,
        "conflicts": 1 / 6,
        "smallest_class": 0.5,
        "too_long": 0.0,
        "damaged": 1 / 6,
    }
    assert [breach.split()[0] for breach in report.breaches] == [
        *("empty", "duplicates", "conflicts", "damaged")
    ]


def test_built_in_reviews_pass_validation(imdb):
    report = validate.validate([imdb], validate.ValidationLimits())
    assert report.breaches == []
    assert report.sources == {"imdb": 25_000}
