"""Our predictor beside the reference service and other servers, under real load."""
