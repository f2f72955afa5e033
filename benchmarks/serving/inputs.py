"""Prepare what all servers share, reviews and model, and the reference's own model."""

import pickle
from pathlib import Path

import mlflow
import mlflow.sklearn

from benchmarks import reference
from components.io import registry, reviews

LENGTH = 1_300
REFERENCE_REVIEWS = 500  # as many as the reference downloads


def texts(directory: Path, count: int) -> list[str]:
    """Return the ``count`` reviews in ``directory`` whose length is nearest to 1,300 characters."""
    every = reviews.read(directory)["text"]
    distance = (every.str.len() - LENGTH).abs()
    return every[distance.sort_values(kind="stable").index[:count]].tolist()


def model_folder(uri: str, scratch: Path) -> Path:
    """Return the folder of an MLflow model; download it to ``scratch`` from a registry."""
    if not uri.startswith("models:"):
        return Path(uri).resolve()
    with registry.connected():
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(scratch / "champion")))


def reference_model(directory: Path, scratch: Path) -> Path:
    """Train the reference's model, and return its folder, beside which the vectorizer is."""
    source, folder = scratch / "reference.parquet", scratch / "reference" / "model"
    table = reviews.read(directory)
    reviews.write(source, table.sample(REFERENCE_REVIEWS, random_state=0))
    for stage in (reference.ingest, reference.prepare, reference.features, reference.train):
        stage(source, scratch)
    model = pickle.loads((scratch / "model.pkl").read_bytes())  # noqa: S301 - written above
    mlflow.sklearn.save_model(model, folder)
    (scratch / reference.VECTORIZER).rename(folder.parent / reference.VECTORIZER)
    return folder
