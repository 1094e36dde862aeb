"""Tacit: federated fraud detection for banks that may not share a transaction."""

__version__ = "0.1.0"
