"""Grafana dashboards as code; `python -m monitoring.dashboards` writes Grafana's JSON."""
