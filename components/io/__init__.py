"""Files, formats, the registry and what else the stages read and write."""
