"""Pieces of help text and of figures."""

import math


def examples(*commands: str) -> str:
    """An epilog that shows commands to copy; the leading character keeps the help from joining its lines."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


def epsilon(value: float) -> str:
    """An epsilon with six decimals, rounded up: what is printed never promises more than what holds."""
    return f"{math.ceil(value * 10**6) / 10**6:.6f}"
