"""The secret behind sealed splits.

A sealed split's tasks are drawn with a key that only its server holds, so public code cannot make
them again; what is published is a commitment to them.
"""

from __future__ import annotations

import os

from openenv_kit.errors import InvalidValueError
from openenv_kit.variables import SALT_VARIABLE

SEALED_SPLIT = "sealed"
"""Name of the split."""

MIN_SALT_CHARACTERS = 32
"""Shortest salt, in characters: a commitment to a shorter one could be guessed."""


def is_sealed_split(split: object) -> bool:
    """Return whether a reset's argument `split` names a sealed split.

    The part of a sealed split that belongs to one level is sealed too, such as `sealed_rung_1`.
    """
    return isinstance(split, str) and SEALED_SPLIT in split.split("_")


def has_sealed_salt() -> bool:
    """Whether any salt is set."""
    return bool(os.environ.get(SALT_VARIABLE))


def read_sealed_salt() -> str:
    """The salt.

    Raises:
        InvalidValueError: none is set, or it is too short. Never repeats it.
    """
    salt = os.environ.get(SALT_VARIABLE, "")
    if len(salt) >= MIN_SALT_CHARACTERS:
        return salt
    given = f"<{len(salt)} characters>" if salt else None
    raise InvalidValueError(
        SALT_VARIABLE, given, f"a secret of at least {MIN_SALT_CHARACTERS} characters"
    )
