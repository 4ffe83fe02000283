"""Simulated calls, and the process that posts them."""
