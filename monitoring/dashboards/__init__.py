"""Grafana dashboards as code: what each shows, how it looks, and the JSON that Grafana takes."""
