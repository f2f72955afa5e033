"""Labels of captured predictions: what to label, what comes back, and what it says of the model."""
