"""Registries of named objects, such as tools or policies."""

from __future__ import annotations

import inspect
from typing import Protocol, TypeVar

from openenv_kit.errors import UnknownNameError


class HasName(Protocol):
    """An object with a name."""

    @property
    def name(self) -> str:
        """Unique name of the object, as used on the command line."""


def get_first_docstring_line(documented_object: object) -> str:
    """Return the first line of an object's docstring; empty if it has no docstring."""
    return (inspect.getdoc(documented_object) or "").split("\n", 1)[0]


Entry = TypeVar("Entry", bound=HasName)


class Registry(dict[str, Entry]):
    """Dictionary of named entries, in the order of registration.

    Args:
        kind: noun for an entry in error messages, such as `policy`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, entry: Entry) -> None:
        """Add an entry under its name.

        Raises:
            TypeError: there is already an entry with this name.
        """
        if entry.name in self:
            raise TypeError(f"{self.kind} {entry.name!r} is declared twice")
        self[entry.name] = entry

    def find(self, name: object) -> Entry:
        """Return the entry with a name.

        Raises:
            UnknownNameError: there is no entry with this name.
        """
        if isinstance(name, str) and name in self:
            return self[name]
        raise UnknownNameError(self.kind, name, self)
