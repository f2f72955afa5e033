"""The served model: load it, watch its source, collect its metrics."""
