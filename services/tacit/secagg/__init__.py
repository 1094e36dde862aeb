"""Secure aggregation: shares and masks. Pure."""
