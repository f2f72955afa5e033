"""The scorer's kernel in C: its source, the command that compiles it, and its use from Python."""
