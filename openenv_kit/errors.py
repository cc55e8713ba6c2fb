"""Every error this package raises on purpose.

KitError
├── ConfigurationError (a ValueError)
│   ├── UnknownNameError        a task, family, difficulty, method or entity that does not exist
│   ├── InvalidValueError       a number, date or list outside what is allowed
│   │   └── RefusedResetError   a session did not take the arguments of a reset
│   ├── UnencodableTextError    a text with half of a surrogate pair
│   └── GenerationError         no draw of this configuration satisfied the reporting policy
├── ToolArgumentError (a ValueError)   an analysis method was called with wrong arguments
├── ReportError (a ValueError)         a report that cannot even be read row by row
├── ServerError                        the environment server cannot be reached or used
│   └── RefusalError                   it answered a message with an error (agent.connection)
└── ModelError                         the model's endpoint cannot be used, or gave up

Messages are written for the agent that caused them: the value given, what is allowed, and
the nearest match. They never hold a label, a seed, a path or a stack trace.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

VARIABLE_PREFIX = "OPENENV_KIT_"
"""How the kit's variables begin."""

MAX_REPR_CHARACTERS = 80
"""Longest echo of a caller's own value inside a message, in characters."""


class KitError(Exception):
    """Base of every error raised on purpose."""


class ConfigurationError(KitError, ValueError):
    """A setting, an option or an argument is not what it may be."""


class UnknownNameError(ConfigurationError):
    """A name that is not in the list it was looked up in."""

    def __init__(self, kind: str, value: Any, allowed: Iterable[str]) -> None:
        super().__init__(unknown_name_message(kind, value, allowed))


class InvalidValueError(ConfigurationError):
    """A value of the wrong type or outside its range."""

    def __init__(self, name: str, value: Any, allowed: str) -> None:
        super().__init__(f"{name} is {truncated_repr(value)}; allowed: {allowed}.")


class RefusedResetError(InvalidValueError):
    """A reset that was answered with an error, where an episode is needed to go on."""

    def __init__(self, reset: Mapping[str, Any], reason: str) -> None:
        super().__init__("reset", dict(reset), f"what a reset takes ({reason})")


class UnencodableTextError(ConfigurationError):
    """A text that UTF-8 cannot encode; see `openenv_kit.unencodable_text`."""


class GenerationError(ConfigurationError):
    """No draw of this configuration satisfied the reporting policy."""


class ToolArgumentError(KitError, ValueError):
    """An analysis method was called with arguments it cannot use."""


class ReportError(KitError, ValueError):
    """A report that cannot be read row by row, so nothing of it was graded."""


class ServerError(KitError):
    """The environment server cannot be reached, or does not do what it should."""


class ModelError(KitError):
    """The model's endpoint cannot be used, or gave up.

    Attributes:
        is_permanent: every further call would fail alike (a key, credits, a model's name).
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        self.is_permanent = is_permanent
        super().__init__(message)


def truncated_repr(value: Any) -> str:
    """Return the repr of a caller's value, cut to `MAX_REPR_CHARACTERS` to keep errors short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # e.g. an int of more digits than Python prints
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MAX_REPR_CHARACTERS else f"{text[: MAX_REPR_CHARACTERS - 1]}…"


def find_nearest_name(value: Any, allowed: Iterable[str]) -> str | None:
    """Closest allowed name, or None where nothing is close enough to be worth a guess."""
    if not isinstance(value, str) or len(value) > MAX_REPR_CHARACTERS:
        return None
    folded = {name.lower(): name for name in allowed}
    found = difflib.get_close_matches(value.strip().lower(), folded, n=1, cutoff=0.55)
    return folded[found[0]] if found else None


def unknown_name_message(kind: str, value: Any, allowed: Iterable[str]) -> str:
    """One sentence: what was given, the nearest match, and everything allowed."""
    names = tuple(allowed)
    guess = find_nearest_name(value, names)
    hint = f" Did you mean {str(guess)!r}?" if guess else ""
    return f"Unknown {kind} {truncated_repr(value)}.{hint} Allowed: {', '.join(names)}."


def require_name(kind: str, value: object, allowed: Collection[str]) -> str:
    """The value if it is an allowed name; otherwise an UnknownNameError, with the nearest one."""
    if isinstance(value, str) and value in allowed:
        return value
    raise UnknownNameError(kind, value, allowed)


def require_integer(name: str, value: object, low: int, high: int) -> int:
    """The value if it is an integer in [low, high] and no bool; otherwise an InvalidValueError."""
    if type(value) is int and low <= value <= high:
        return value
    raise InvalidValueError(name, value, f"an integer from {low} to {high}")
