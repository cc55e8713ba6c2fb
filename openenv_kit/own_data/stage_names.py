"""Converts the names of stages in a table to identifiers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import permutations

from openenv_kit.errors import find_nearest_name
from openenv_kit.own_data.cleaned_table import TableRefused
from openenv_kit.own_data.options import StageRename

MAX_NAME_CHARACTERS = 40


def name_stages(texts: Sequence[str], renames: Sequence[StageRename]) -> tuple[str, ...]:
    """Return the name of each stage: lower-case letters, digits and underscores.

    Args:
        texts: names of the stages as they are spelled in the table.
        renames: values of `--rename`.

    Raises:
        TableRefused: a name is empty, occurs twice or equals the name of a step rate, such as
            `visits_to_orders`, or a stage to rename does not exist.
    """
    chosen = {rename.old: rename.new for rename in renames}
    for old in chosen:
        if old not in texts:
            nearest = find_nearest_name(old, texts)
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            raise TableRefused(f"--rename {old}: no stage has this name.{hint}")
    names = tuple(make_slug(chosen.get(text, text)) for text in texts)
    for text, name in zip(texts, names, strict=True):
        if not name:
            raise TableRefused(
                f"The stage {text[:MAX_NAME_CHARACTERS]!r} has no letters or digits; pass --rename "
                "OLD=NEW."
            )
        if names.count(name) > 1:
            raise TableRefused(f"Two stages get the name {name}; pass --rename OLD=NEW for one.")
    rates = {f"{first}_to_{second}" for first, second in permutations(names, 2)}
    for name in names:
        if name in rates:
            raise TableRefused(
                f"The stage {name} has the name of the rate between two other stages; pass "
                "--rename OLD=NEW."
            )
    return names


def make_slug(text: str) -> str:
    """Convert a text to an identifier of at most 40 characters: a to z, 0 to 9 and underscore."""
    decomposed = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", decomposed.lower()).strip("_")
    return slug[:MAX_NAME_CHARACTERS].strip("_")
