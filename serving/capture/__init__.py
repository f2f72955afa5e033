"""Requests and answers kept for monitoring, masked."""
