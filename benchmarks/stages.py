"""The stages from the shards of prepare to the metrics, for the default candidate on all rows.

Paths are relative to the folder that a stage runs in.
"""

SPLITS = ("--train", "train", "--valid", "valid", "--test", "test")  # folders of prepare
FIT: list[list[object]] = [
    ["count", *SPLITS[:4], "--counts", "counts"],
    ["merge", "--counts", "counts", "--matrix", "matrix"],
    ["trial", "--matrix", "matrix", "--candidates", "default", "--trials", "trials"],
    ["select", "--trials", "trials", "--selection", "selection.json"],
    ["train", "--matrix", "matrix", "--selections", "selection.json", "--model", "model"],
]
METRICS = "metrics.json"


def evaluate(test: str) -> list[object]:
    """Return the command that measures the model on the reviews ``test``."""
    return [
        *("evaluate", "--model", "model", "--train", "train", "--test", test),
        *("--metrics", METRICS, "--predictions", "predictions.parquet"),
        *("--plots", "plots", "--findings", "findings.json"),
    ]
