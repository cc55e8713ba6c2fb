"""Products that can be played: the four, and those that a user describes in a file and adds.

A file of a product is TOML. Added products are known to the process that added them, and take part
in no split, audit or named task.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from drilldown_env.domain import Dimension, Domain
from drilldown_env.domains import DOMAINS, WIDE_DOMAINS
from drilldown_env.levels import Level
from openenv_kit.errors import ConfigurationError, InvalidValueError, require_name

MOST_LEAVES = {4: 300, 5: 1_500}
"""Most combinations of values, by number of dimensions; the budget has to last for all of them."""
MOST_PAIRS = 30
"""Most pairs of values of two of four dimensions: a reply with all their weeks must be allowed."""
_LISTS = {"stages": str, "components": str, "base_rates": float, "weekday": float}
_REQUIRED = ("name", *_LISTS, "weekly_dimension", "noisy_dimension", "dimensions")
_OPTIONAL = ("volume", "affinity")

_added: dict[str, Domain] = {}


def products_of(level: Level) -> Mapping[str, Domain]:
    """Products of a level by name: the four, of five dimensions for SQL, and those added."""
    own = {name: each for name, each in _added.items() if (len(each.dims) == 5) == level.sql}
    return {**(WIDE_DOMAINS if level.sql else DOMAINS), **own}


def add_product(domain: Domain) -> None:
    """Let this process play a product, by its name, on the levels for its number of dimensions.

    Raises:
        InvalidValueError: another product has that name.
    """
    if domain.name in DOMAINS or _added.get(domain.name, domain) != domain:
        names = ", ".join({**DOMAINS, **_added})
        raise InvalidValueError("name", domain.name, f"a name other than {names}")
    _added[domain.name] = domain


def added_digest(name: str) -> dict[str, str]:
    """What tells an added product from another of its name; nothing for one of the four."""
    if name not in _added:
        return {}
    described = json.dumps(asdict(_added[name]), sort_keys=True)
    return {"product_digest": hashlib.sha256(described.encode()).hexdigest()}


def load_product(path: Path | str) -> Domain:
    """The product that a file describes.

    Raises:
        OSError: the file cannot be read.
        ConfigurationError: it does not exist, or describes none; says what is wrong and what is
            allowed.
    """
    try:
        return read_product(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} does not exist.") from None
    except (UnicodeDecodeError, ConfigurationError) as problem:
        raise ConfigurationError(f"{path}: {problem}") from None


def read_product(text: str) -> Domain:
    """The product that a text in TOML describes.

    Raises:
        ConfigurationError: it is not TOML, or a key is missing.
        UnknownNameError: a key does not exist; names the nearest.
        InvalidValueError: a value has another type, shape or range.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"not TOML: {problem}") from None
    _require_keys("product", table, _REQUIRED, _OPTIONAL)
    fields: dict[str, Any] = {name: _list(name, table[name], kind) for name, kind in _LISTS.items()}
    fields |= {name: _number(name, table[name]) for name in _OPTIONAL if name in table}
    dims = _dimensions(_table("dimensions", table["dimensions"]))
    names = [dim.name for dim in dims]
    axes = {
        role: names.index(require_name(f"{role}_dimension", table[f"{role}_dimension"], names))
        for role in ("weekly", "noisy")
    }
    domain = Domain(
        name=_text("name", table["name"]),
        dims=dims,
        weekly_dim=axes["weekly"],
        noisy_dim=axes["noisy"],
        **fields,
    )
    _require_readable(domain)
    return domain


def _dimensions(tables: Mapping[str, Any]) -> tuple[Dimension, ...]:
    found = []
    for name, given in tables.items():
        place = f"dimensions.{name}"
        keys = _table(place, given)
        _require_keys(place, keys, ("rate_effect", "values"))
        weights = _table(f"{place}.values", keys["values"])
        values = tuple((value, _number(f"weight of {value}", w)) for value, w in weights.items())
        found.append(Dimension(name, values, _number(f"{place}.rate_effect", keys["rate_effect"])))
    return tuple(found)


def _require_readable(domain: Domain) -> None:
    """Refuse what could not be read within any level's budget."""
    most = MOST_LEAVES[len(domain.shape)]
    if (leaves := prod(domain.shape)) > most:
        allowed = f"at most {most:,}, which is the numbers of values multiplied"
        raise InvalidValueError("number of combinations of values", leaves, allowed)
    one, other = sorted(domain.shape)[-2:]
    if len(domain.shape) == 4 and one * other > MOST_PAIRS:
        allowed = f"at most {MOST_PAIRS} pairs of values of any two dimensions"
        raise InvalidValueError("number of pairs of values", one * other, allowed)


def _require_keys(
    place: str, table: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    for key in table:
        require_name(f"key of {place}", key, (*required, *optional))
    for key in required:
        if key not in table:
            needed = ", ".join(required)
            raise ConfigurationError(f"{place} has no key {key!r}; needed: {needed}.")


def _table(name: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise InvalidValueError(name, given, f"a table, [{name}]")
    return given


def _text(name: str, given: object) -> str:
    if not isinstance(given, str):
        raise InvalidValueError(name, given, "a text in quotes")
    return given


def _number(name: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidValueError(name, given, "a number")
    return float(given)


def _list(name: str, given: object, kind: type) -> tuple[Any, ...]:
    if not isinstance(given, list):
        raise InvalidValueError(name, given, "a list in square brackets")
    read = _text if kind is str else _number
    return tuple(read(f"each of {name}", each) for each in given)
