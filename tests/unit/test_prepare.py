from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components import prepare, validate
from components.errors import UserError
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


def test_split_with_a_share_of_zero_may_be_empty(imdb, tmp_path):
    reviews.write(tmp_path / "reviews.parquet", imdb.iloc[::100])
    outputs = {name: tmp_path / name for name in prepare.SPLITS}
    rows = prepare.prepare(tmp_path / "reviews.parquet", outputs, 0.1, test_fraction=0)
    assert rows["test"] == 0
    assert rows["train"] + rows["valid"] == 250


def test_copies_empties_and_conflicts_drop(imdb, tmp_path):
    odd = table(
        ("Good", 1), (" good ", 1), ("", 0), (None, 1), ("so so", 0), ("So  so", 1), ("x", 0)
    )
    whole = pd.concat([odd, imdb.iloc[::50]], ignore_index=True)
    splits = split(whole, tmp_path / "odd", shard_rows=100)
    texts = [text for each in splits.values() for text in each["text"] if len(text) < 10]
    assert sorted(texts) == ["Good", "x"]


def sides(splits: dict[str, pd.DataFrame], column: str) -> dict[str, set[str]]:
    """Return the splits that each value of a column is in."""
    found: dict[str, set[str]] = {}
    for name, each in splits.items():
        for value in each[column].dropna():
            found.setdefault(value, set()).add(name)
    return found


def in_groups(rows: int, groups: int, seed: int = 0) -> pd.DataFrame:
    """Return reviews of films; every tenth is of none, every fiftieth a copy of another."""
    films = np.random.default_rng(seed).integers(groups, size=rows)
    numbers = [n - 30 if n % 50 == 49 else n for n in range(rows)]
    frame = table(*((f"review {n} is long", n // 10 % 2) for n in numbers))
    return frame.assign(group=[f"film {f}" if n % 10 else None for n, f in enumerate(films)])


def test_a_group_is_on_one_side(tmp_path, caplog):
    caplog.set_level("INFO", "prepare")
    splits = split(in_groups(3000, 600), tmp_path / "all", shard_rows=100)
    assert set(map(len, sides(splits, "group").values())) == {1}
    assert set(map(len, sides(splits, "text").values())) == {1}
    rows = sum(map(len, splits.values()))
    assert abs(len(splits["test"]) / rows - 0.2) < 0.05
    groups = {name: each["group"].nunique() for name, each in splits.items()}
    for name, count in groups.items():
        assert f"{name}: {count} groups" in caplog.messages
    assert "300 reviews have no group, and are split by their text" in caplog.messages
    largest = max(reviews.rows(path) for path in (tmp_path / "all").rglob("train/*.parquet"))
    assert largest < 300  # so that memory holds one shard
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_group_keeps_its_side_as_data_grow(tmp_path):
    whole = in_groups(3000, 200)
    before = sides(split(whole[::2], tmp_path / "before"), "group")
    after = split(whole.sample(frac=1, random_state=1), tmp_path / "after", shard_rows=70)
    found = sides(after, "group")
    assert all(found[group] == side for group, side in before.items() if group in found)


def test_no_test_review_was_in_training_before_the_data_grew(tmp_path):
    """Copies of a text in several groups: one that is on the side of training is kept."""
    films = np.random.default_rng(0).integers(100, size=800)
    rows = [(f"copy {n % 400}", n % 400 % 2) for n in range(800)]
    whole = table(*rows).assign(group=[f"film {film}" for film in films])
    learned: set[str] = set()
    for part in (whole[400:], whole[200:], whole):  # older reviews come last
        found = split(part, tmp_path / str(len(part)))
        assert set(map(len, sides(found, "text").values())) == {1}
        assert learned.isdisjoint(found["test"]["text"])
        learned |= set(found["train"]["text"])
        assert sum(map(len, found.values())) == 400


def test_copies_of_two_labels_drop_across_groups(tmp_path):
    odd = table(("so so", 0), ("So  so", 1)).assign(group=["film 1", "film 2"])
    splits = split(pd.concat([odd, in_groups(1000, 100)]), tmp_path / "odd")
    assert "so so" not in sides(splits, "text")


def test_reviews_without_groups_are_split_as_before(imdb, tmp_path):
    part = imdb.iloc[::10]
    plain = split(part, tmp_path / "plain")
    empty = split(part.assign(group=None), tmp_path / "empty")
    for name in prepare.SPLITS:
        pd.testing.assert_frame_equal(plain[name], empty[name].drop(columns="group"))


def test_too_few_groups_are_refused_with_a_way_out(tmp_path):
    frame = in_groups(1000, 100).assign(group=["a", "b"] * 500)
    with pytest.raises(
        UserError, match=r"class negative, positive; .*, or a group_column with more groups than 2"
    ):
        split(frame, tmp_path / "two")


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
