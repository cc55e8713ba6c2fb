"""Undoing the release at fault, where its diff and figures say which it is."""

from __future__ import annotations

from collections.abc import Generator

from firewatch_env.policies.apart import Figure, Read, Tell, read
from firewatch_env.policies.manual import FEATURE_KEYS
from firewatch_env.policies.reading import suspects
from firewatch_env.policies.seen import Action, Notes, Seen, order

_FRESH = 4  # ticks
SIMPLE = 5  # services of an incident that has one suspect mostly
Step = Generator[Action, Seen, Seen]
Mending = Generator[Action, Seen, tuple[Seen, bool]]


def undo(
    tell: Tell,
    seen: Seen,
    root: str,
    features: list[str],
    family: str,
    figure: Figure | None = None,
) -> Mending:
    """Undo the release that touches one of these features; False if none does.

    Where two do, the figure tells which, if there is one: the build runs in zone b alone.
    """
    if not features:
        return seen, False
    first = Read(seen.tick, 0.0) if figure is None else read(seen, figure)
    if figure is not None:
        seen = yield from look_ahead(seen, root)
    seen = yield from read_changes(seen, root)
    for feature in features:
        changes = suspects(seen.notes.diffs[root], feature, FEATURE_KEYS[family])
        if len(changes) == 2 and figure is not None:
            return (yield from one_of(tell, seen.notes, changes, root, figure, first))
        if changes:
            return (yield order(changes[0], root)), True
    return seen, False


def look_ahead(seen: Seen, root: str) -> Step:
    """Where there is much going on, two suspects are likely: zone b's share tells, and in time."""
    known = seen.notes.shares.get(root, {})
    if (
        seen.notes.ahead
        and len(seen.graph) > SIMPLE
        and max(known, default=-99) < seen.tick - _FRESH
    ):
        seen = yield order("inspect_cluster_topology", root)
    return seen


def read_changes(seen: Seen, root: str) -> Step:
    """What recent changes of a service set, unless that has been read already."""
    if root not in seen.notes.diffs:
        seen = yield order("inspect_commit_diff", root)
    return seen


def one_of(
    tell: Tell, notes: Notes, changes: list[str], root: str, figure: Figure, first: Read
) -> Mending:
    """Undo the build if the figure follows zone b's share of the requests, else the revision."""
    _, where = yield from tell(notes, root, figure, first, False)
    return (yield order(changes[0 if where == "zone b" else 1], root)), True
