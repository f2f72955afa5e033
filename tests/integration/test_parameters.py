"""Values of params.yaml reach a stage through DVC unchanged, shell characters included."""

import shutil
import subprocess

import pandas as pd
import yaml

from components.io import reviews
from tests.conftest import REPO

COLUMN = "Review Text (a & b) #1 $HOME; 'x' \"y\" `true`"
FILE = "IMDB Dataset & more #1 $HOME (2).csv"
LABEL = "sentiment (0 & 1)"


def test_odd_names_survive_dvc_repro(tmp_path, imdb):
    for name in ("components", "sentiment"):
        (tmp_path / name).symlink_to(REPO / name)
    shutil.copy(REPO / "dvc.yaml", tmp_path)
    texts = imdb.iloc[::250]
    frame = pd.DataFrame({COLUMN: texts["text"], LABEL: texts["label"]})
    frame.to_csv(tmp_path / FILE, index=False)
    values = yaml.safe_load((REPO / "params.yaml").read_text())
    values["ingest"] = {"source": FILE, "text_column": COLUMN, "label_column": LABEL}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    for command in (["dvc", "init", "--no-scm", "--quiet"], ["dvc", "repro", "validate"]):
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "data/reviews.parquet")
    assert table["text"].tolist() == texts["text"].tolist()
    assert table["label"].tolist() == texts["label"].tolist()
