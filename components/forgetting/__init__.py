"""Forget texts: find and remove their copies, and certify what was removed and what remains."""
