"""Prove deployments on a cluster with KServe and a gateway, and write what was seen as evidence."""
