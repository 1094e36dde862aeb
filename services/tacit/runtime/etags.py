"""Conditional requests by entity tag (RFC 9110, section 13.1.2)."""

from collections.abc import Iterable


def held(sent: Iterable[str], tag: str) -> bool:
    """Whether an If-None-Match names a representation: by weak comparison, ``*`` is any.

    Args:
        sent: The values of every If-None-Match field line, each a list with commas.
        tag: The representation's strong tag, without its quotes.
    """
    tags = [item.strip().removeprefix("W/") for line in sent for item in line.split(",")]
    return "*" in tags or f'"{tag}"' in tags
