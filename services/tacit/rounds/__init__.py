"""Runs and rounds as a fold over the log. Pure."""
