"""Exceptions that the kit and its environments raise deliberately.

KitError
├── ConfigurationError (a ValueError)  a setting, an option or a reset argument is wrong
│   ├── UnknownNameError               an unknown name, such as a task id
│   ├── InvalidValueError              a number, date or list outside its range
│   │   └── RefusedResetError          a session rejected a reset
│   ├── UnencodableTextError           text that UTF-8 cannot encode
│   └── GenerationError                no episode could be generated for a configuration
├── ToolArgumentError (a ValueError)   a tool was called with wrong arguments
├── ReportError (a ValueError)         a report that cannot be read row by row
├── TableRefused                       a user's table cannot be used (own_data.cleaned_table)
├── ServerError                        the environment server cannot be reached or used
│   ├── ServerFullError                the server is at capacity and starts no new episode
│   └── RejectedMessageError           the server replied with an error (episode_clients)
└── ModelError                         the model's endpoint cannot be used, or failed

A message contains the rejected value, the allowed values and the nearest match. It is shown to the
player that caused the error. It never contains a label, a seed, a path or a stack trace.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

MAX_REPR_CHARACTERS = 80
"""Largest length of a quoted value in an error message, in characters."""
MIN_NAME_SIMILARITY = 0.55
"""Smallest similarity, from 0 to 1, at which a name is suggested."""


class KitError(Exception):
    """Base class of all errors that the kit raises deliberately.

    They can be pickled, so that a worker process can pass them to the process that started it.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, an exception is rebuilt by calling its class with the message alone, which
        # fails for classes whose constructors take other arguments.
        return _rebuild_error, (type(self), self.args, vars(self))


class ConfigurationError(KitError, ValueError):
    """A setting, an option or an argument has a wrong value."""


class UnknownNameError(ConfigurationError):
    """A name is not one of the allowed names."""

    def __init__(self, kind: str, value: Any, allowed: Iterable[str]) -> None:
        super().__init__(build_unknown_name_message(kind, value, allowed))


class InvalidValueError(ConfigurationError):
    """A value has the wrong type or is outside its range."""

    def __init__(self, name: str, value: Any, allowed: str) -> None:
        super().__init__(f"{name} is {truncated_repr(value)}; allowed: {allowed}.")


class RefusedResetError(InvalidValueError):
    """A reset was rejected, so that no episode could be started.

    Attributes:
        reset_arguments: arguments of the reset.
    """

    def __init__(self, reset_arguments: Mapping[str, Any], reason: str) -> None:
        ConfigurationError.__init__(self, f"The reset was rejected: {reason}")
        self.reset_arguments = dict(reset_arguments)


class UnencodableTextError(ConfigurationError):
    """A value contains text that UTF-8 cannot encode; see `openenv_kit.unencodable_text`."""


class GenerationError(ConfigurationError):
    """No valid episode could be generated for a configuration."""


class ToolArgumentError(KitError, ValueError):
    """A tool was called with wrong arguments."""


class ReportError(KitError, ValueError):
    """A report cannot be read row by row, so no row was graded."""


class ServerError(KitError):
    """The environment server cannot be reached, or its reply cannot be used."""


class ServerFullError(ServerError):
    """The server is at capacity and starts no further episode now; a later retry can succeed.

    Attributes:
        retry_after_s: seconds after which the server asks the client to try again.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ModelError(KitError):
    """The model's endpoint cannot be used, or failed too often.

    Attributes:
        is_permanent: whether every further call would fail for the same reason, such as an
            invalid key, missing credit or an unknown model.
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        self.is_permanent = is_permanent
        super().__init__(message)


def _rebuild_error(
    error_type: type[KitError], arguments: tuple[Any, ...], attributes: Mapping[str, Any]
) -> KitError:
    """Create an unpickled error without calling its constructor."""
    error = error_type.__new__(error_type, *arguments)
    vars(error).update(attributes)
    return error


def truncated_repr(value: Any) -> str:
    """Return `repr(value)`, truncated to `MAX_REPR_CHARACTERS` characters.

    If `repr` fails, the name of the value's type is returned instead.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # for example an int with more digits than Python prints
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MAX_REPR_CHARACTERS else f"{text[: MAX_REPR_CHARACTERS - 1]}…"


def find_nearest_name(value: Any, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most similar to a value; None if none is similar."""
    if not isinstance(value, str) or len(value) > MAX_REPR_CHARACTERS:
        return None
    names_by_lower_case = {name.lower(): name for name in allowed}
    matches = difflib.get_close_matches(
        value.strip().lower(), names_by_lower_case, n=1, cutoff=MIN_NAME_SIMILARITY
    )
    return names_by_lower_case[matches[0]] if matches else None


def build_unknown_name_message(kind: str, value: Any, allowed: Iterable[str]) -> str:
    """Return a message with the unknown name, the nearest allowed name and all allowed names.

    Args:
        kind: noun for the named thing, such as `task`.
        value: the unknown name.
        allowed: the allowed names.
    """
    names = tuple(allowed)
    guess = find_nearest_name(value, names)
    hint = f" Did you mean {str(guess)!r}?" if guess else ""
    return f"Unknown {kind} {truncated_repr(value)}.{hint} Allowed: {', '.join(names)}."


def require_name(kind: str, value: object, allowed: Collection[str]) -> str:
    """Return the value if it is an allowed name.

    Raises:
        UnknownNameError: the value is not an allowed name.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise UnknownNameError(kind, value, allowed)


def require_integer(name: str, value: object, low: int, high: int) -> int:
    """Return the value if it is an integer from `low` to `high`, both included.

    Raises:
        InvalidValueError: the value is out of range or is not an integer. Booleans are rejected.
    """
    if type(value) is int and low <= value <= high:
        return value
    raise InvalidValueError(name, value, f"an integer from {low} to {high}")
