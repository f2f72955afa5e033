"""The servers of the benchmark load the same model, and their modules exist; analyzers compare."""

import csv
import random
import re
from pathlib import Path

import pytest

from benchmarks.serving.contenders import CONTENDERS
from tests.conftest import REPO

LOCKS = REPO / "benchmarks" / "serving" / "requirements"
PEERS = sorted({contender.requirements for contender in CONTENDERS} - {None})


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("peer", PEERS)
def test_peers_lock_our_versions_of_the_model(peer: str):
    ours, theirs = locked(REPO / "requirements" / "serve.txt"), locked(LOCKS / f"{peer}.txt")
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
