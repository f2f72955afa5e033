"""The model: from text to features to probability. Knows scikit-learn, NumPy and skops."""
