"""Consortium side: leads runs; opens nothing."""
