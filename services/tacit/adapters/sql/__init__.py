"""Relational tables of the registry."""
