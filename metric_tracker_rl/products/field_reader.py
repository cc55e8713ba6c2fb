"""Reads and checks the fields of a product file. Errors contain the path of the invalid field."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from openenv_kit.errors import ConfigurationError, build_unknown_name_message, truncated_repr

NAME_PATTERN = re.compile(r"[a-z0-9_]{1,40}")
ALLOWED_NAME = "1 to 40 of the characters a to z, 0 to 9 and _"


class ProductRefused(ConfigurationError):
    """Raised if a product file or a product mapping is invalid."""


class FieldReader:
    """Reads and checks the fields of one mapping in a product file.

    Args:
        content: the mapping.
        path: path of the mapping within the product, such as `level.easy`; empty for the root.
        allowed: keys that the mapping may have.

    Raises:
        ProductRefused: the content is not a mapping, or has an unknown key.
    """

    def __init__(self, content: object, path: str, allowed: Collection[str]) -> None:
        self._path = path
        if not isinstance(content, Mapping):
            raise build_refusal(path or "the product", content, "a table of keys and values")
        for key in content:
            if key not in allowed:
                place = f" in {path}" if path else ""
                raise ProductRefused(build_unknown_name_message(f"key{place}", key, allowed))
        self._content: Mapping[str, Any] = content

    def get_path(self, key: str) -> str:
        """Return the path of a field within the product."""
        return f"{self._path}.{key}" if self._path else key

    def has_key(self, key: str) -> bool:
        """Return whether the mapping has this key."""
        return key in self._content

    def read_value(self, key: str) -> Any:
        """Return the value of a key without checking its type.

        Raises:
            ProductRefused: the key is missing.
        """
        if key not in self._content:
            raise ProductRefused(f"{self.get_path(key)} is missing.")
        return self._content[key]

    def read_boolean(self, key: str) -> bool:
        """Return the value of a key, which must be a boolean."""
        value = self.read_value(key)
        if not isinstance(value, bool):
            raise build_refusal(self.get_path(key), value, "true or false")
        return value

    def read_integer(self, key: str, low: int, high: int) -> int:
        """Return the value of a key, which must be an integer from `low` to `high` (inclusive)."""
        return require_integer(self.get_path(key), self.read_value(key), low, high)

    def read_number(self, key: str, low: float, high: float) -> float:
        """Return the value of a key, which must be a number from `low` to `high` (inclusive)."""
        return require_number(self.get_path(key), self.read_value(key), low, high)

    def read_numbers(self, key: str, length: int, low: float, high: float) -> tuple[float, ...]:
        """Return the value of a key, which must be a list of `length` numbers in the given range.

        Both bounds of the range, `low` and `high`, are allowed.
        """
        return require_numbers(self.get_path(key), self.read_value(key), length, low, high)

    def read_text(self, key: str, max_characters: int) -> str:
        """Return the value of a key, which must be a single line of printable text."""
        value = self.read_value(key)
        if not (isinstance(value, str) and len(value) <= max_characters and is_plain_line(value)):
            allowed = f"one line of at most {max_characters} printable characters"
            raise build_refusal(self.get_path(key), value, allowed)
        return value

    def read_choice(self, key: str, allowed: Collection[str]) -> str:
        """Return the value of a key, which must be one of the allowed names."""
        return require_choice(self.get_path(key), self.read_value(key), allowed)

    def read_list(self, key: str, min_length: int, max_length: int) -> list[Any]:
        """Return the value of a key, which must be a list with an allowed number of items.

        The items may have any type.
        """
        return require_list(self.get_path(key), self.read_value(key), min_length, max_length)


def build_refusal(path: str, value: object, allowed: str) -> ProductRefused:
    """Return an error that states the path of an invalid value, the value and what is allowed."""
    return ProductRefused(f"{path} is {truncated_repr(value)}; allowed: {allowed}.")


def require_integer(path: str, value: object, low: int, high: int) -> int:
    """Return the value if it is an integer from `low` to `high`.

    Raises:
        ProductRefused: the value is outside the range or not an integer. Booleans are not allowed.
    """
    if type(value) is int and low <= value <= high:
        return value
    raise build_refusal(path, value, f"an integer from {low} to {high}")


def require_number(path: str, value: object, low: float, high: float) -> float:
    """Return the value as a float if it is a number from `low` to `high`.

    Raises:
        ProductRefused: the value is outside the range or not a number. NaN and booleans are not
            allowed.
    """
    # A boolean is an instance of int, so it has to be excluded.
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise build_refusal(path, value, f"a number from {low:g} to {high:g}")


def require_list(path: str, value: object, min_length: int, max_length: int) -> list[Any]:
    """Return the value if it is a list with `min_length` to `max_length` items.

    Raises:
        ProductRefused: the value is not a list, or has too few or too many items.
    """
    if not isinstance(value, list):
        raise build_refusal(path, value, "a list")
    if not min_length <= len(value) <= max_length:
        span = f"{min_length}" if min_length == max_length else f"{min_length} to {max_length}"
        raise ProductRefused(f"{path} has {len(value)} values; allowed: {span}.")
    return value


def require_numbers(
    path: str, value: object, length: int, low: float, high: float
) -> tuple[float, ...]:
    """Return the value as a tuple if it is a list of `length` numbers from `low` to `high`.

    Raises:
        ProductRefused: the value is no such list.
    """
    numbers = require_list(path, value, length, length)
    return tuple(
        require_number(f"{path}[{place}]", number, low, high)
        for place, number in enumerate(numbers)
    )


def require_choice(path: str, value: object, allowed: Collection[str]) -> str:
    """Return the value if it is one of the allowed names.

    Raises:
        ProductRefused: the value is not one of them.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise ProductRefused(build_unknown_name_message(f"{path}", value, allowed))


def require_slug(path: str, value: object) -> str:
    """Return the value if it consists of 1 to 40 lower-case letters, digits and underscores.

    Raises:
        ProductRefused: the value is not such a text.
    """
    if isinstance(value, str) and NAME_PATTERN.fullmatch(value):
        return value
    raise build_refusal(path, value, ALLOWED_NAME)


def is_plain_line(text: str) -> bool:
    """Return whether a text is a single line of printable characters."""
    return text.isprintable()
