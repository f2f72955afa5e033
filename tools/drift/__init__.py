"""The drift demo: drift, a fall of accuracy, labels, and the accuracy regained."""
