"""Measurements: what was tried, and the figures that the docs state."""
