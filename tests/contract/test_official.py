"""Benchmarks of accuracy, run on a folder in the form of aclImdb and on a table of the stages."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import ablation, acl_imdb, folds, official
from components.errors import UserError
from components.io import reviews

SIDE = 60  # reviews of a class in a half
FILM_SIZE = 4  # reviews


@pytest.fixture(scope="module")
def folder(imdb, tmp_path_factory) -> Path:
    """A folder in the form of aclImdb, of some hundred built-in reviews."""
    folder = tmp_path_factory.mktemp("official") / "aclImdb"
    for name, label in acl_imdb.LABELS.items():
        texts = iter(imdb["text"][imdb["label"] == label].drop_duplicates())
        for half in ("train", "test"):
            (folder / half / name).mkdir(parents=True)
            for number in range(SIDE):
                path = folder / half / name / f"{number}_{3 + 5 * label}.txt"
                path.write_text(next(texts), encoding="utf-8")
            films = [f"http://film/{half}/{name}/{n // FILM_SIZE}" for n in range(SIDE)]
            (folder / half / f"urls_{name}.txt").write_text("\n".join(films) + "\n")
    return folder


def test_reviews_are_read_with_their_films(folder):
    table = acl_imdb.read(folder, "train")
    assert table["label"].value_counts().to_dict() == {0: SIDE, 1: SIDE}
    assert table["group"].value_counts().unique().tolist() == [FILM_SIZE]
    for number in (2, 10):  # sorted as numbers, not as texts
        row = table[table["label"] == 1].iloc[number]
        assert row["group"] == f"http://film/train/pos/{number // FILM_SIZE}"
        assert row["text"] == (folder / "train" / "pos" / f"{number}_8.txt").read_text("utf-8")


def test_halves_and_folds_are_measured(folder, capsys):
    assert official.main(["--data", str(folder)]) == 0
    printed = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if " | " in line]
    cells = {name: value for name, value, *_ in rows[1:]}
    learned, validated = map(int, re.findall(r"\d+", cells["reviews to train"]))
    assert learned + validated == 2 * SIDE  # none is kept for a test
    assert cells["test reviews"] == str(2 * SIDE)
    pattern = r"([01]\.\d+) \(([01]\.\d+) to ([01]\.\d+)\)"
    for name in ("accuracy (95% interval)", "random", f"by film, {2 * SIDE // FILM_SIZE} films"):
        accuracy, low, high = map(float, re.fullmatch(pattern, cells[name]).groups())
        assert low < accuracy < high
    assert float(cells["log loss"]) > 0
    assert 0 < float(cells["calibration error"]) < 1
    assert float(cells["CPU seconds, count to train"]) > 0
    assert float(cells["peak MB"]) > 0
    assert "Random folds flatter by" in printed


def test_missing_data_name_the_address(tmp_path, capsys):
    assert official.main(["--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path}/train/neg: no reviews here" in error
    assert acl_imdb.ADDRESS in error


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("train/neg/review.txt", "train/neg/review.txt: not named as 123_7.txt"),
        ("train/neg/600_1.txt", "train/urls_neg.txt: no line 601, for review 600"),
    ],
)
def test_files_of_another_form_are_named(folder, path, message):
    odd = folder / path
    odd.write_text("odd")
    try:
        with pytest.raises(UserError, match=re.escape(message)):
            acl_imdb.read(folder, "train")
    finally:
        odd.unlink()


def test_folds_keep_groups_together():
    groups = ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e", None, None]
    texts = [f"review {number}" for number in range(len(groups))]
    table = pd.DataFrame({"text": texts, "label": [0, 1] * 6, "group": groups})
    held_out = [set(fold.tolist()) for _, fold in folds.by_group(table)]
    for first in range(0, 10, 2):
        assert any({first, first + 1} <= fold for fold in held_out)
    assert sorted(row for fold in held_out for row in fold) == list(range(12))


def test_difference_is_paired(folder):
    data = folds.read(acl_imdb.read(folder, "train"))
    base = data.right(data.model())
    better = base.copy()
    wrong = (~base).nonzero()[0][:3]
    better[wrong] = True
    found = data.difference(better, base)
    assert found.mean == pytest.approx(3 / (2 * SIDE))
    share = found.mean
    assert found.by_review == pytest.approx((share * (1 - share) / (2 * SIDE - 1)) ** 0.5)
    assert found.by_fold > 0
    assert data.difference(base, base) == (0, 0, 0)


def test_variants_are_compared_by_group(folder, tmp_path, capsys, monkeypatch):
    rows = ("the model", "without inverse document frequency", "binary counts")
    monkeypatch.setattr(ablation, "ROWS", {name: ablation.ROWS[name] for name in rows})
    reviews.write(tmp_path / "grouped.parquet", acl_imdb.read(folder, "train"))
    tables = []
    for given in (["--data", str(tmp_path / "grouped.parquet")], ["--official", str(folder)]):
        assert ablation.main([*given, "--rows", "100"]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("100 reviews, 5 folds by group\n")
        cells = [line.strip("| ").split(" | ") for line in printed.splitlines()[4:]]
        assert [name for name, *_ in cells] == list(rows)
        assert cells[0][2:5] == ["+0.00", "0.00", "0.00"]
        assert float(cells[1][3]) > 0
        assert cells[2][5] != cells[0][5]  # the log loss: other weights reach the fit
        tables.append([row[:7] for row in cells])
    assert tables[0] == tables[1]


def test_variants_need_two_classes(tmp_path, capsys):
    table = pd.DataFrame({"text": ["a"], "label": [2], "source": ["own"]}).astype({"label": "int8"})
    reviews.write(tmp_path / "three.parquet", table, ("bad", "fair", "good"))
    assert ablation.main(["--data", str(tmp_path / "three.parquet")]) == 1
    assert "three.parquet: has more than two classes" in capsys.readouterr().err
