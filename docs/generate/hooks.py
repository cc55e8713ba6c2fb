"""MkDocs hook: navigation entries with a `*` become the pages there are.

So a page that somebody adds is in the navigation at once, under the heading it belongs to.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

Entry = str | dict[str, Any]


def on_config(config: Any) -> Any:
    """Expand the navigation."""
    pages = sorted(path.name for path in Path(config["docs_dir"]).glob("*.md"))
    config["nav"] = expanded(config["nav"], pages)
    return config


def expanded(nav: list[Entry], pages: list[str]) -> list[Entry]:
    """The navigation with every pattern replaced; headings left empty are dropped.

    Args:
        nav: entries: a page, a pattern, or {title: page, pattern or list of entries}.
        pages: names of all pages. Each goes to its own entry, else to the first longest pattern.
    """
    named = {entry for entry in _leaves(nav) if "*" not in entry}
    patterns = sorted((entry for entry in _leaves(nav) if "*" in entry), key=len, reverse=True)
    found: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for page in pages:
        if page not in named:
            match = next((pattern for pattern in patterns if fnmatch(page, pattern)), None)
            if match is not None:
                found[match].append(page)
    return _filled(nav, found)


def _leaves(nav: list[Entry]) -> list[str]:
    leaves: list[str] = []
    for entry in nav:
        if isinstance(entry, str):
            leaves.append(entry)
            continue
        for value in entry.values():
            leaves.extend(_leaves(value) if isinstance(value, list) else [value])
    return leaves


def _filled(nav: list[Entry], found: dict[str, list[str]]) -> list[Entry]:
    filled: list[Entry] = []
    for entry in nav:
        if isinstance(entry, str):
            filled.extend(found.get(entry, [entry]))
            continue
        ((title, value),) = entry.items()
        if isinstance(value, list):
            inside: Any = _filled(value, found)
        else:
            inside = found.get(value, value)
        if inside:
            filled.append({title: inside})
    return filled
