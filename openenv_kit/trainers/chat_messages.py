"""Extracts the text content of chat messages in the formats that trainers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def list_message_texts_of_role(messages: Sequence[Mapping[str, Any]], role: str) -> list[str]:
    """Return the text content of each message with a role; see `list_message_texts`."""
    return list_message_texts([message for message in messages if message["role"] == role])


def list_message_texts(messages: Sequence[Any]) -> list[str]:
    """Return the text content of each message, with its parts joined; empty if it has none."""
    texts = []
    for message in messages:
        if isinstance(message, Mapping):
            content = message.get("content")
            if not isinstance(content, str):
                content = "".join(part.get("text") or "" for part in content or ())
            texts.append(content)
    return texts
