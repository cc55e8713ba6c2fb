"""Sealed splits and the secret salt from which their tasks are generated.

The tasks of a sealed split are generated with a secret that only the server has, so they cannot be
generated from the public code. A commitment to the tasks can be published in advance.
"""

from __future__ import annotations

import os

from openenv_kit.errors import InvalidValueError
from openenv_kit.variables import SALT_VARIABLE

SEALED_SPLIT = "sealed"
"""Name of the sealed split."""

MIN_SALT_CHARACTERS = 32
"""Minimum length of the salt; a shorter salt could be brute-forced with the commitment."""


def is_sealed_split(split: object) -> bool:
    """Return whether a value of the reset argument `split` names a sealed split.

    A sealed split of one level, such as `sealed_rung_1`, is sealed too.
    """
    return isinstance(split, str) and SEALED_SPLIT in split.split("_")


def has_sealed_salt() -> bool:
    """Return whether the salt is set; its length is not checked."""
    return bool(os.environ.get(SALT_VARIABLE))


def read_sealed_salt() -> str:
    """Return the secret salt from the environment variable.

    Raises:
        InvalidValueError: the salt is missing or too short. The message does not contain the salt.
    """
    salt = os.environ.get(SALT_VARIABLE, "")
    if len(salt) >= MIN_SALT_CHARACTERS:
        return salt
    shown_value = f"<{len(salt)} characters>" if salt else None
    raise InvalidValueError(
        SALT_VARIABLE, shown_value, f"a secret of at least {MIN_SALT_CHARACTERS} characters"
    )
