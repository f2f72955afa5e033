"""The stages: one module, one function and one command line each."""
