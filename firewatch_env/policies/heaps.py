"""Memory that is full, or on its way there."""

from __future__ import annotations

import re

from firewatch_env.policies.apart import Figure, Tell, in_feedback, read
from firewatch_env.policies.manual import FEATURE_KEYS
from firewatch_env.policies.reading import suspects
from firewatch_env.policies.seen import Action, Seen, order
from firewatch_env.policies.undoing import Mending, look_ahead, read_changes, undo

_EVERY = "every feature"


def mend_memory(tell: Tell, seen: Seen, root: str) -> Mending:
    """Undo what fills the heap, or give it room, or fresh pods."""
    seen = yield order("check_gc_pressure", root)
    return (yield from mend_read_memory(tell, seen, root))


def mend_growth(tell: Tell, seen: Seen, root: str) -> Mending:
    """Undo what makes the heap just read grow, unless it does not, or settles by itself."""
    growth = _growth(root)
    first = read(seen, growth)
    if first.value <= 0.003:
        return seen, False
    features = _growing(seen)
    if features[:1] == [_EVERY]:
        return (yield _more_memory(root)), True
    seen = yield from look_ahead(seen, root)
    seen = yield from read_changes(seen, root)
    diff = seen.notes.diffs[root]
    seen, where = yield from tell(seen.notes, root, growth, first, True)
    if where == "settles":
        return seen, False
    changes = suspects(diff, features[0], FEATURE_KEYS["grow"]) if features else []
    if not changes:
        return (yield order("restart_service", root)), True
    change = changes[0 if where == "zone b" or len(changes) == 1 else 1]
    return (yield order(change, root)), True


def _more_memory(root: str) -> Action:
    return order("scale_replicas", root, memory_limit_mb=1e6)


def _growth(root: str) -> Figure:
    """Growth of a heap in a tick, as a share of its limit."""
    return in_feedback(order("check_gc_pressure", root), r"([+-][\d.]+) a tick")


def _growing(seen: Seen) -> list[str]:
    told = seen.feedback.partition("usual: ")[2]
    return re.findall(r"([a-z]+(?: feature)?) \+[\d.]+ \(\+", told)


def mend_read_memory(tell: Tell, seen: Seen, root: str) -> Mending:
    """The same, where the heap has just been read."""
    told = seen.feedback.partition("usual: ")[2]
    growing = _growing(seen)
    features = growing or re.findall(r"([a-z]+(?: feature)?) \+\d", told)
    if _EVERY in features:
        return (yield _more_memory(root)), True
    slope = _growth(root).read(seen)
    if features:
        figure = None
        if growing:
            look = order("check_gc_pressure", root)
            figure = in_feedback(look, rf"{features[0]} \+[\d.]+ \(\+([\d.]+)")
        seen, done = yield from undo(tell, seen, root, features[:1], "grow", figure)
        if done:
            return seen, True
    if slope > 0:
        return (yield order("restart_service", root)), True
    return seen, False
