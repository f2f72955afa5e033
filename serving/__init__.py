"""The KServe predictor: the champion behind HTTP and gRPC."""
