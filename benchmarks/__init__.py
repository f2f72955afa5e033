"""Measure the model, training and serving, for the figures in the docs."""
