"""Formats counts for reports and messages."""

from __future__ import annotations


def count_text(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, such as `1 day` or `1,234 days`.

    Args:
        count: the number.
        noun: noun in the singular.
        plural: noun in the plural; empty for the singular with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
