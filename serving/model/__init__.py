"""The loaded model: where it comes from, what replaces it, what it has seen."""
