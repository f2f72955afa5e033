"""Write requests with their predictions, masked, for monitoring."""
