"""Alerts, the metrics of pipelines, retraining on drift, and dashboards."""

import components  # noqa: F401 - first, as it sets the HOME that MLflow needs
