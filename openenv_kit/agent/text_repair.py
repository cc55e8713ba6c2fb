"""Repairs text that cannot be encoded. Some models write half of a surrogate pair."""

from __future__ import annotations

from typing import Any

from openenv_kit.unencodable_text import is_encodable


def repair_surrogates(text: str) -> str:
    """Return a text that UTF-8 can encode.

    Two halves of a surrogate pair become the character that they encode; a single half becomes
    U+FFFD, the replacement character.
    """
    if is_encodable(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def repair_json_surrogates(value: Any) -> Any:
    """Return a JSON value with every text in it repaired, keys included."""
    if isinstance(value, str):
        return repair_surrogates(value)
    if isinstance(value, dict):
        return {
            repair_surrogates(str(key)): repair_json_surrogates(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [repair_json_surrogates(item) for item in value]
    return value


def replace_unencodable(text: str, encoding: str | None) -> str:
    """Return a text in which characters that an encoding does not have are question marks.

    Args:
        text: the text.
        encoding: name of the encoding; None to change nothing.
    """
    if not encoding:
        return text
    return text.encode(encoding, "replace").decode(encoding)
