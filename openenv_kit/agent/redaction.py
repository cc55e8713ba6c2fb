"""Keeping keys and passwords out of everything that is printed or written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from openenv_kit.agent.text_repair import repair_surrogates

MIN_SECRET_CHARACTERS = 8
"""A shorter value is no secret but a placeholder such as `none`, and cutting it out of every
text would garble them."""
SECRET_PLACEHOLDER = "[secret]"

Redact = Callable[[str], str]


def build_redactor(secrets: Iterable[str]) -> Redact:
    """Return a function that removes every secret from a text.

    The function also repairs the text, see `repair_surrogates`.
    """
    # The longest first: one secret may be part of another.
    worth = sorted(
        (each for each in secrets if len(each) >= MIN_SECRET_CHARACTERS), key=len, reverse=True
    )
    if not worth:
        return repair_surrogates
    cut = partial(re.compile("|".join(map(re.escape, worth))).sub, SECRET_PLACEHOLDER)
    return lambda text: cut(repair_surrogates(text))


def redact_json(value: Any, redact: Redact) -> Any:
    """Return a JSON value with every text in it cleaned, names of fields included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(name)): redact_json(each, redact) for name, each in value.items()}
    if isinstance(value, list):
        return [redact_json(each, redact) for each in value]
    return value
