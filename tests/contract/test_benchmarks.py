"""The servers of the benchmark load the same model, and their modules exist; others compare."""

import csv
import random
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import expected_accuracy, training
from benchmarks.serving.contenders import CONTENDERS
from components.reading import generated
from tests.conftest import REPO

LOCKS = REPO / "benchmarks" / "serving" / "requirements"
PEERS = sorted({contender.requirements for contender in CONTENDERS} - {None})


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("peer", PEERS)
def test_peers_lock_our_versions_of_the_model(peer: str):
    ours, theirs = locked(REPO / "requirements" / "train.txt"), locked(LOCKS / f"{peer}.txt")
    for name in ("joblib", "numpy", "scikit-learn", "scipy", "skops"):
        assert theirs[name] == ours[name], "run make lock"
    lock = (LOCKS / f"{peer}.txt").read_text()
    assert lock.count("==") <= lock.count("--hash="), "a package without a hash"
    assert "://" not in lock


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_modules_of_contenders_exist(contender):
    texts = [contender.command, *contender.environment.values()]
    modules = re.findall(r"benchmarks\.serving\.servers\.(\w+)", " ".join(texts))
    assert modules or contender.name in {"ours", "ours-capture", "mlflow"}
    for module in modules:
        assert (REPO / "benchmarks" / "serving" / "servers" / f"{module}.py").exists()


@pytest.fixture
def analyzers():
    pytest.importorskip("nltk")  # of the extra bench
    from benchmarks import analyzers

    return analyzers


def table(printed: str) -> dict[str, list[str]]:
    """Return the cells of each row by its name."""
    rows = (line.strip("| ").split(" | ") for line in printed.splitlines() if line[:1] == "|")
    return {name: cells for name, *cells in rows}


def inflected(path: Path) -> Path:
    """Write short Finnish texts in which most forms of a word occur once or twice."""
    draw = random.Random(0)
    endings = ["ssa", "sta", "lla", "lta", "lle", "na", "ksi", "n", "t", "a"]
    words = {"good": ["hyvä", "iloise", "mukava"], "bad": ["huono", "surkea", "tylsä"]}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "text"])
        for number in range(160):
            label = ("good", "bad")[number % 2]
            word = draw.choice(words[label]) + draw.choice(endings)
            writer.writerow([label, f"{word} elokuva{draw.choice(endings)} {number}"])
    return path


def test_analyzers_are_compared(analyzers, tmp_path, capsys):
    path = inflected(tmp_path / "finnish.csv")
    assert analyzers.main(["--data", str(path), "--language", "finnish", "--train", "60"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("finnish: 160 texts, 2 classes, learned 60\n")
    rows = table(printed)
    model, stems = rows["the model's"], rows["Snowball stems"]
    assert float(stems[1]) > float(model[1]) + 0.05
    points, low, high = (float(value) for value in re.findall(r"[+-]\d+\.\d+", stems[2]))
    assert low < points < high
    assert points == pytest.approx(100 * (float(stems[1]) - float(model[1])), abs=0.02)
    chosen = next(
        cells for name, cells in rows.items() if name.startswith("chosen of the model's,")
    )
    assert float(chosen[0]) <= min(float(model[0]), float(stems[0]))


@pytest.mark.parametrize(
    ("content", "message"),
    [("text,labels\na,b\n", "has no column label"), ("text,label\na,b\n", "needs two classes")],
)
def test_analyzers_name_what_a_file_lacks(analyzers, tmp_path, capsys, content, message):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(SystemExit) as error:
        analyzers.main(["--data", str(path), "--language", "finnish"])
    assert error.value.code == 2
    assert f"--data: {path}: {message}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def remarks() -> pd.DataFrame:
    rows = [(row.text, expected_accuracy.CLASSES.index(row.label)) for row in generated.read()]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.fixture(scope="module")
def judged(remarks) -> dict[str, expected_accuracy.Row]:
    """The shifts of the built-in remarks, by their names."""
    *learned, kept = expected_accuracy.parts(remarks)
    judge = expected_accuracy.Judge(*learned)
    kept = kept.reset_index(drop=True)
    shifts = expected_accuracy.shifts(kept, expected_accuracy.CLASSES, (5,))
    return {name: judge.judge("remarks", name, texts) for name, texts in shifts}


def test_expected_accuracy_is_right_or_not_believed(judged):
    none, changed = judged["none"], judged["10% of labels changed"]
    assert none.expected == pytest.approx(none.true, abs=expected_accuracy.WRONG)
    assert none.is_believed
    assert changed.expected == none.expected
    assert changed.is_wrong  # the one failure that no limit sees
    assert changed.is_believed
    cut = judged["first 5 words"]
    assert cut.is_wrong
    assert not cut.is_believed
    assert not judged["90% neutral"].is_believed


def test_expected_accuracy_prints_each_row_and_set_of_limits(judged):
    rows = [judged["none"], judged["first 5 words"], judged["10% of labels changed"]]
    head, _, *lines = expected_accuracy.table(rows)
    assert {line.count("|") for line in (head, *lines)} == {13}
    assert [line.split(" | ")[5].startswith("**") for line in lines] == [False, True, True]
    assert [line.split(" | ")[-1] for line in lines] == ["yes |", "no |", "yes |"]
    sentence, *_, every = expected_accuracy.compare(rows)
    assert sentence.startswith("2 of 3 estimates are wrong; ")
    assert every == "| score, length, class, unknown, unseen | 1 | 0 |"


def test_shifts_are_of_their_size(remarks):
    draw = random.Random(0)
    text = "letters " * 2_000
    mistyped = expected_accuracy.mistype(text, 0.1, draw)
    assert mistyped != text
    assert expected_accuracy.mistype(text, 0, draw) == text
    assert mistyped.count("letters") / 2_000 == pytest.approx(0.9**7, abs=0.05)
    half = expected_accuracy.of_class(remarks, 2, 0.5)
    assert (half["label"] == 2).mean() == pytest.approx(0.5, abs=0.01)
    other = remarks.assign(text="other")
    both = expected_accuracy.mixed(remarks, other, 0.2)
    assert len(both) == len(remarks)
    assert (both["text"] == "other").mean() == pytest.approx(0.2, abs=0.01)


def test_stages_of_the_training_benchmark_are_in_the_order_of_their_files():
    names = [name for name, _ in training.stages()]
    order = ("source", "ingest", "merge", "trial@1", "select@1", "trial@3", "select@3", "train")
    places = [names.index(name) for name in order]
    assert places == sorted(places)
