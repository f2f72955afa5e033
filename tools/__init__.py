"""Demonstrations, load, and checks that the Makefile runs."""
