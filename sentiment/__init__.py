"""The model, from text to probability, on scikit-learn, NumPy, SciPy and skops."""
