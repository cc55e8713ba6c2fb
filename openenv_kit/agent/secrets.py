"""Keeping keys and passwords out of everything that is printed or written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

SHORTEST = 8
"""A shorter value is no secret but a placeholder such as `none`, and cutting it out of every
text would garble them."""
CUT = "[secret]"

Clean = Callable[[str], str]


def cleaner(secrets: Iterable[str]) -> Clean:
    """A function that cuts every secret out of a text."""
    # The longest first: one secret may be part of another.
    worth = sorted((each for each in secrets if len(each) >= SHORTEST), key=len, reverse=True)
    return partial(re.compile("|".join(map(re.escape, worth))).sub, CUT) if worth else str


def clean_value(value: Any, clean: Clean) -> Any:
    """Return a JSON value with every text in it cleaned, names of fields included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): clean_value(each, clean) for name, each in value.items()}
    if isinstance(value, list):
        return [clean_value(each, clean) for each in value]
    return value
