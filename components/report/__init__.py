"""Reports for people: measures, plots, the model card and release notes."""
