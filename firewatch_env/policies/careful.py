"""Players that read as the reference does, and tell suspects apart by shortcuts.

Each does what people who played by hand did: what a shortcut earns shows what a task gives away.
"""

from __future__ import annotations

from collections.abc import Callable

from firewatch_env.engine.motion import EASE
from firewatch_env.engine.randomness import BitStream
from firewatch_env.policies.apart import Figure, Read, Tell, Telling, tell
from firewatch_env.policies.reference import engineer, reference
from firewatch_env.policies.seen import Notes, Script, Seen, order


def _by_draining(notes: Notes, root: str, figure: Figure, first: Read, grows: bool) -> Telling:
    """Leave zone b alone for a while; what gets better by that is that zone's."""
    del notes, first, grows
    seen = yield figure.look
    before = figure.read(seen)
    yield order("traffic_shift", root)
    seen = yield order("get_metrics_detail", root)
    seen = yield figure.look
    if figure.read(seen) < 0.3 * before:
        return seen, "zone b"
    seen = yield order("traffic_shift", root, drain_percentage=0)
    return seen, "everywhere"


def _by_trying(notes: Notes, root: str, figure: Figure, first: Read, grows: bool) -> Telling:
    """Undo the build, see what comes of it, and bring it back if that is nothing."""
    del notes, first, grows
    seen = yield figure.look
    before = figure.read(seen)
    yield order("rollback_deploy", root)
    for _ in range(EASE - 1):
        seen = yield figure.look
    if figure.read(seen) < 0.5 * before:
        return seen, "zone b"
    seen = yield order("rollback_deploy", root, undo=True)
    return seen, "everywhere"


def _by_coin(number: int) -> Tell:
    def guess(notes: Notes, root: str, figure: Figure, first: Read, grows: bool) -> Telling:
        """One look at the zones, and a coin."""
        del notes, figure, grows
        seen = yield order("inspect_cluster_topology", root)
        coin = BitStream(f"firewatch/guess/{number}/{root}/{first.tick}/{first.value}").below(2)
        return seen, "zone b" if coin else "everywhere"

    return guess


def slow(seen: Seen) -> Script:
    """The reference, with a look at the entry's meters before each of its actions."""
    script = reference(seen)
    action = next(script)
    while True:
        yield order("get_metrics_detail", seen.entries[0])
        seen = yield action
        try:
            action = script.send(seen)
        except StopIteration:
            return


GUESSES = tuple(engineer(_by_coin(number)) for number in range(8))
"""The same habit with other luck: on a few tasks one coin says little."""

CAREFUL: dict[str, Callable[[Seen], Script]] = {
    "tells by draining": engineer(_by_draining),
    "tells by trying": engineer(_by_trying),
    "guesses": GUESSES[0],
    "takes twice the ticks": slow,
}
"""Every careful player by what it does unlike the reference."""

plain = engineer(tell, ahead=False)
"""Errs as little as the reference, but asks only when it knows what for: what planning earns."""
