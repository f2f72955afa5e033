"""Decode and check requests: v1, v2 and KServe's data plane."""
