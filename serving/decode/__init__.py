"""Decode and check requests: v1, v2, feedback and KServe's data plane."""
