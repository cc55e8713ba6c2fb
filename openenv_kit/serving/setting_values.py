"""Types of settings that are parsed from strings: tokens, participants, origins and paths.

The message of each ValueError describes the allowed values. `settings` inserts it after "allowed:".
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

MIN_TOKEN_LENGTH = 16
"""Length of the shortest bearer token, in characters. A shorter one could be guessed."""

ORIGIN_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#@\[\]\s]+|\[[0-9a-f:.]+\](:\d+)?)")
"""Pattern of an origin as sent by browsers: scheme, host and an optional port."""

ROOT_PATH_PATTERN = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Pattern of a path that needs no escaping."""

PARTICIPANT_NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Pattern of participant names, which appear in the signed records of sealed episodes."""


class ReservedParticipant(StrEnum):
    """Participant names that are reserved, so that settings must not define them."""

    ANONYMOUS = "anonymous"
    """Every caller of a server without tokens."""
    TRAINER = "trainer"
    """Every caller with the trainer's token."""


def _require_long_ascii_token_or_empty(text: str) -> str:
    if text and (len(text) < MIN_TOKEN_LENGTH or not text.isascii()):
        raise ValueError(f"ASCII text of at least {MIN_TOKEN_LENGTH} characters")
    return text


def _parse_origins_unless_parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    origins = [entry.strip().rstrip("/").lower() for entry in value.split(",") if entry.strip()]
    if not all(origin == "*" or ORIGIN_PATTERN.fullmatch(origin) for origin in origins):
        raise ValueError("origins such as https://trainer.example, or *")
    return origins


def _validate_root_path_and_strip_slash(text: str) -> str:
    path = text.removesuffix("/")
    if path and not ROOT_PATH_PATTERN.fullmatch(path):
        raise ValueError("a path such as /lab/env, of letters, digits and ._~-")
    return path


def _parse_participant_tokens_unless_parsed(value: object) -> object:
    """Parse a string such as `alice=TOKEN,bob=TOKEN` into a dict of tokens by participant name."""
    if not isinstance(value, str):
        return value
    tokens: dict[str, str] = {}
    for entry in value.split(","):
        name, _, token = (part.strip() for part in entry.partition("="))
        is_reserved = name in tuple(ReservedParticipant)
        is_valid_name = PARTICIPANT_NAME_PATTERN.fullmatch(name) and not is_reserved
        is_valid_token = len(token) >= MIN_TOKEN_LENGTH and token.isascii()
        if not is_valid_name or name in tokens or not is_valid_token:
            raise ValueError(
                "entries name=token, separated by commas; each name once, 1 to 64 letters, digits, "
                f"'.', '_' or '-', except {', '.join(ReservedParticipant)}; each token ASCII "
                f"text of at least {MIN_TOKEN_LENGTH} characters without commas"
            )
        tokens[name] = token
    return tokens


SecretToken = Annotated[str, AfterValidator(_require_long_ascii_token_or_empty), Field(repr=False)]
ParticipantTokens = Annotated[
    dict[str, str],
    BeforeValidator(_parse_participant_tokens_unless_parsed),
    Field(default_factory=dict, repr=False),
]
RootPath = Annotated[str, AfterValidator(_validate_root_path_and_strip_slash)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_parse_origins_unless_parsed)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)]
