"""Consortium side: versions of the global model."""
