"""Write requests with their predictions, masked, and feedback about them."""
