"""Detects text that UTF-8 cannot encode: unpaired surrogates, which models sometimes write.

JSON can contain such text as an escape sequence, but stores, logs and replies cannot. It is
therefore rejected before anything is stored.
"""

from __future__ import annotations

from typing import Any

from openenv_kit.errors import truncated_repr


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode a string."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe_unencodable_text(value: Any, value_name: str) -> str | None:
    """Describe the first string in a JSON value that UTF-8 cannot encode.

    Args:
        value: the JSON value. Names of fields are checked too.
        value_name: name of the value in the description.

    Returns:
        An error message with the path and the string; None if every string can be encoded.
    """
    if _are_all_strings_encodable(value):
        return None
    unchecked = [(value_name, value)]
    while unchecked:
        path, item = unchecked.pop()
        if isinstance(item, str) and not is_encodable(item):
            return (
                f"{path} is {truncated_repr(item)}, which contains half of a surrogate pair; "
                "allowed: text that UTF-8 can encode."
            )
        if isinstance(item, dict):
            for key, child in item.items():
                if isinstance(key, str) and not is_encodable(key):
                    unchecked.append((f"a field name of {path}", key))
                unchecked.append((f"{path}.{key}", child))
        elif isinstance(item, list | tuple):
            unchecked += [(f"{path}[{index}]", child) for index, child in enumerate(item)]
    return None


def _are_all_strings_encodable(value: Any) -> bool:
    # This check is much faster than the search with paths, and is nearly always sufficient.
    unchecked = [value]
    while unchecked:
        item = unchecked.pop()
        if isinstance(item, str):
            if not item.isascii() and not is_encodable(item):
                return False
        elif isinstance(item, dict):
            unchecked += item.keys()
            unchecked += item.values()
        elif isinstance(item, list | tuple):
            unchecked += item
    return True
