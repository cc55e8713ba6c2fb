"""Formats counts for reports and messages."""

from __future__ import annotations


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return a count followed by its noun, such as `1 day` or `1,234 days`.

    Args:
        count: the number.
        noun: noun in the singular.
        plural: noun in the plural; if empty, an s is appended to the singular.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
