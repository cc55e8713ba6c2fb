"""Removes API keys and passwords from all output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from openenv_kit.agent.text_repair import repair_surrogates

MIN_SECRET_CHARACTERS = 8
"""Shorter values are not treated as secrets.

They are placeholders such as `none`; replacing them everywhere would make the output unreadable.
"""
SECRET_PLACEHOLDER = "[secret]"

Redact = Callable[[str], str]
"""Function that replaces all secrets in a string."""


def build_redactor(secrets: Iterable[str]) -> Redact:
    """Return a function that replaces every secret in a string with a placeholder.

    The function also replaces unpaired surrogates; see `repair_surrogates`.
    """
    long_secrets = [secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS]
    if not long_secrets:
        return repair_surrogates
    # One secret may be part of another, so longer secrets are matched first.
    long_secrets.sort(key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, long_secrets)))
    replace_secrets = partial(pattern.sub, SECRET_PLACEHOLDER)
    return lambda text: replace_secrets(repair_surrogates(text))


def redact_json(value: Any, redact: Redact) -> Any:
    """Return a JSON value with secrets replaced in all strings, including keys."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(key)): redact_json(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_json(item, redact) for item in value]
    return value
