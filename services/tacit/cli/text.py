"""Pieces of help text."""


def examples(*commands: str) -> str:
    """An epilog that shows commands to copy; the leading character keeps the help from joining its lines."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
