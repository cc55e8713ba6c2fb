"""Public members that a class declares."""

from __future__ import annotations

import inspect


def members(kind: type) -> set[str]:
    """Return the public names that a class itself declares, with or without a value."""
    return {name for name in {*vars(kind), *inspect.get_annotations(kind)} if name[0] != "_"}
