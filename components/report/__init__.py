"""What the stages tell people: measures, plots, the model card and release notes."""
