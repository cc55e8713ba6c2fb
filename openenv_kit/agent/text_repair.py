"""Replaces text that cannot be encoded, such as unpaired surrogates in model output."""

from __future__ import annotations

from typing import Any

from openenv_kit.unencodable_text import is_encodable


def repair_surrogates(text: str) -> str:
    """Return a string with surrogates replaced, so that UTF-8 can encode it.

    Two surrogates that form a pair become the character that they encode. An unpaired surrogate
    becomes U+FFFD, the replacement character.
    """
    if is_encodable(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def repair_json_surrogates(value: Any) -> Any:
    """Return a JSON value with surrogates replaced in all strings, including keys."""
    if isinstance(value, str):
        return repair_surrogates(value)
    if isinstance(value, dict):
        return {
            repair_surrogates(str(key)): repair_json_surrogates(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [repair_json_surrogates(item) for item in value]
    return value


def replace_unencodable_characters(text: str, encoding: str | None) -> str:
    """Replace characters that an encoding does not support with question marks.

    Args:
        text: the string.
        encoding: name of the encoding; None to change nothing.
    """
    if not encoding:
        return text
    return text.encode(encoding, "replace").decode(encoding)
