"""Suites of behaviour: cases as data, and what a model makes of them."""
