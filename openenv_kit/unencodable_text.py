"""Finds text that UTF-8 cannot encode: half of a surrogate pair, which models write now and then.

JSON can contain it as an escape sequence, but no store, log or reply can. So it is rejected as a
wrong value before anything is stored.
"""

from __future__ import annotations

from typing import Any

from openenv_kit.errors import truncated_repr


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe_unencodable_text(value: Any, value_name: str) -> str | None:
    """Return what is wrong with the first text in a JSON value that UTF-8 cannot encode.

    Args:
        value: the value; names of fields are looked at too.
        value_name: what the value is called.

    Returns:
        A sentence that names the place, the text and what is allowed; None if nothing is wrong.
    """
    if _is_all_encodable(value):
        return None
    waiting = [(value_name, value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str) and not is_encodable(item):
            return (
                f"{path} is {truncated_repr(item)}, which contains half of a surrogate pair; "
                "allowed: text that UTF-8 can encode."
            )
        if isinstance(item, dict):
            for key, below in item.items():
                if isinstance(key, str) and not is_encodable(key):
                    waiting.append((f"a field name of {path}", key))
                waiting.append((f"{path}.{key}", below))
        elif isinstance(item, list | tuple):
            waiting += [(f"{path}[{index}]", below) for index, below in enumerate(item)]
    return None


def _is_all_encodable(value: Any) -> bool:
    """Return whether UTF-8 can encode every text of a JSON value; nearly always it can."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if not item.isascii() and not is_encodable(item):
                return False
        elif isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return True
