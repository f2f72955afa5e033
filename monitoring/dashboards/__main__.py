"""Write the dashboards as the JSON that Grafana takes."""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from components.io.files import replacing
from monitoring.dashboards import model, pipeline, service
from monitoring.dashboards.board import MODEL, PIPELINE, SERVICE, dashboard

OUTPUT = Path("manifests/monitoring/dashboards")
DOCS = "https://github.com/example/sentiment-mlops/blob/main/docs"
_OURS = {
    "namespace": 'label_values(up{job="sentiment"}, namespace)',
    "predictor": 'label_values(up{job="sentiment", namespace="$namespace"}, predictor)',
}
_EXPORTED = {"namespace": 'label_values(up{job="sentiment-exporter"}, namespace)'}


def dashboards(docs: str = DOCS) -> dict[str, Dashboard]:
    """Return the dashboards by the names of their files."""
    return {
        "service": dashboard(
            SERVICE,
            "Sentiment: service",
            "Traffic, errors, latency and saturation of the predictors.",
            service.panels(),
            _OURS,
            docs,
        ),
        "model": dashboard(
            MODEL,
            "Sentiment: model",
            "What the model is asked and says, drift, and a canary beside the stable predictor.",
            model.panels(),
            _OURS,
            docs,
        ),
        "pipeline": dashboard(
            PIPELINE,
            "Sentiment: pipelines",
            "Runs of the pipelines, and what became of the models that they made.",
            pipeline.panels(),
            _EXPORTED,
            docs,
        ),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dashboards", description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    parser.add_argument("--docs", default=DOCS, help="where docs/ is read; default: %(default)s")
    args = parser.parse_args(argv)
    for name, board in dashboards(args.docs).items():
        path = args.output / f"{name}.json"
        with replacing(path) as partial:
            partial.write_text(json.dumps(board, cls=JSONEncoder, indent=1, sort_keys=True) + "\n")
        print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
