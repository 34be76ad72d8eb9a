"""Retrieval and detection metrics."""
