"""Named things in the order of their declaration."""

from __future__ import annotations

import inspect
from typing import Protocol, TypeVar

from openenv_kit.errors import UnknownNameError


class HasName(Protocol):
    """Anything that has a name."""

    @property
    def name(self) -> str:
        """What commands call it."""


def first_docstring_line(documented_object: object) -> str:
    """First line of a docstring, which describes what is declared; empty where there is none."""
    return (inspect.getdoc(documented_object) or "").split("\n", 1)[0]


Entry = TypeVar("Entry", bound=HasName)


class Registry(dict[str, Entry]):
    """Entries by name, in the order of declaration; `kind` is what errors call one of them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, entry: Entry) -> None:
        """Add an entry under its name.

        Raises:
            TypeError: the name is taken.
        """
        if entry.name in self:
            raise TypeError(f"{self.kind} {entry.name!r} is declared twice")
        self[entry.name] = entry

    def find(self, name: object) -> Entry:
        """The entry of that name; raises UnknownNameError, which names the nearest."""
        if isinstance(name, str) and name in self:
            return self[name]
        raise UnknownNameError(self.kind, name, self)
