"""Alerts, the metrics of pipelines, retraining on drift, and dashboards."""
