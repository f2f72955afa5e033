"""The stages wired into Kubeflow pipelines, compiled, and run."""
