"""Compare our predictor with the reference service and other servers under load."""
