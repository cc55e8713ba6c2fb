"""Keeping keys and passwords out of everything that is printed or written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

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
