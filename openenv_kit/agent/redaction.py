"""Keeping keys and passwords out of everything that is printed or written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from openenv_kit.agent.text_repair import repair_text

SHORTEST = 8
"""A shorter value is no secret but a placeholder such as `none`, and cutting it out of every
text would garble them."""
CUT = "[secret]"

Clean = Callable[[str], str]


def cleaner(secrets: Iterable[str]) -> Clean:
    """Return a function that cuts every secret out of a text and repairs it, see `repair_text`."""
    # The longest first: one secret may be part of another.
    worth = sorted((each for each in secrets if len(each) >= SHORTEST), key=len, reverse=True)
    if not worth:
        return repair_text
    cut = partial(re.compile("|".join(map(re.escape, worth))).sub, CUT)
    return lambda text: cut(repair_text(text))


def clean_value(value: Any, clean: Clean) -> Any:
    """Return a JSON value with every text in it cleaned, names of fields included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): clean_value(each, clean) for name, each in value.items()}
    if isinstance(value, list):
        return [clean_value(each, clean) for each in value]
    return value
