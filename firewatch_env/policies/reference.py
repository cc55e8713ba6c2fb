"""The reference: an engineer who knows the manual and reads only what a client's model sees.

It follows failing calls from the customers' entry down to the service that fails by itself,
measures what fails there, and finds the change that touches the same feature; where no change
does, the figures of one more tool say what is off.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from firewatch_env.actions import ACTIONS
from firewatch_env.policies.apart import Tell, tell, zone_shares
from firewatch_env.policies.capacity import mend_pipelines
from firewatch_env.policies.heaps import mend_growth
from firewatch_env.policies.reading import Hop, worst_way
from firewatch_env.policies.repairs import is_spoilt, mend, mend_call
from firewatch_env.policies.seen import Action, Script, Seen, order
from firewatch_env.policies.undoing import SIMPLE, Mending

_WATCH = 8  # ticks
_ROLLOUT = 5  # ticks after which a repair shows
_PROCESSES = ("-api", "-bff", "-adapter")  # services whose processes keep state
_PATIENT = 14  # tick by which harm that comes and goes has been seen
_LATEST = 17  # tick by which an easy task had better be declared over
Step = Generator[Action, Seen, Seen]
Tracing = Generator[Action, Seen, tuple[Seen, list[Hop]]]


class _Known:
    """What is remembered of a play.

    Args:
        tell: how to tell a build of zone b from a change everywhere, and a leak from a heap that
            settles.
        seen: the first reply.

    Attributes:
        usual: memory in use at first, by service.
        cured: services whose heap or queue has been looked at.
        mended: where the way down ended that was put right last.
        way: the last way down, and what is on it.
        asked: services that probes find unwell, and whose callers have been asked about them.
    """

    def __init__(self, tell: Tell, seen: Seen) -> None:
        self.tell = tell
        self.usual = {
            name: view["process_memory_utilization"] for name, view in seen.services.items()
        }
        self.cured: set[str] = set()
        self.mended = ""
        self.way: list[Hop] = []
        self.asked: set[str] = set()


def reference(seen: Seen) -> Script:
    """Play until it is over; then declare."""
    return engineer(tell)(seen)


def engineer(tell: Tell, *, ahead: bool = True) -> Callable[[Seen], Script]:
    """The reference, with ways of its own.

    Args:
        tell: how to tell a build of zone b from a change everywhere.
        ahead: see `Notes`.
    """
    return lambda seen: _noting(_play(_Known(tell, seen), seen), seen, ahead=ahead)


def _noting(script: Script, seen: Seen, *, ahead: bool) -> Script:
    """The script, with notes of what was told in each reply."""
    notes = seen.notes
    notes.ahead = ahead
    notes.replies[seen.tick] = seen
    action = next(script)
    while True:
        seen = yield action
        seen.notes = notes
        notes.replies[seen.tick] = seen
        name, target = action["action_type"], action.get("target_service", "")
        if name == "inspect_cluster_topology":
            shares = notes.shares.setdefault(target, {})
            shares |= {seen.tick - back: each for back, each in enumerate(zone_shares(seen))}
        elif name == "inspect_commit_diff":
            notes.diffs[target] = seen.feedback
        elif ACTIONS[name].sort == "remediation":
            notes.changed, notes.change = seen.tick, (name, target)
            notes.diffs.pop(target, None)
        try:
            action = script.send(seen)
        except StopIteration:
            return


def _play(known: _Known, seen: Seen) -> Script:
    way: list[Hop] | None = None
    while True:
        seen, acted = yield from _round(known, seen, way)
        seen, way = yield from _meanwhile(known, seen, _ROLLOUT if acted else 1)
        watched = False
        while _well(seen):
            way = None
            seen, found = yield from _on_its_way(known, seen)
            if watched and not found and _well(seen):
                yield order("declare_resolved")
                return
            seen = yield from _confirm(seen)
            watched = True


def _well(seen: Seen) -> bool:
    return seen.burn == 0 and not any(a["severity"] == "page" for a in seen.alerts)


def _meanwhile(
    known: _Known, seen: Seen, ticks: int
) -> Generator[Action, Seen, tuple[Seen, list[Hop] | None]]:
    """Use the time until a repair shows: it may not be enough, and other calls may fail.

    Returns:
        The last reply, and the worst way down if it leads elsewhere than the one just mended.
    """
    until = seen.tick + ticks
    if ticks == _ROLLOUT and not _well(seen):
        seen, way = yield from _elsewhere(known, seen)
        if way:
            return seen, way
        seen = yield from _end_spoilt_state(seen)
    while seen.tick < until and not _well(seen):
        seen, way = yield from _way_down(seen, seen.entries[0])
        if way and way[-1].name != known.mended:
            return seen, way
    return seen, None


def _elsewhere(known: _Known, seen: Seen) -> Tracing:
    """Calls that fail for another reason: do those to what else probes find unwell?

    Probes count what no customer is concerned by as well; callers do not.
    """
    if not seen.notes.ahead or len(seen.graph) <= SIMPLE:
        return seen, []
    for place, hop in enumerate(known.way[:-1]):
        below = known.way[place + 1].fail
        if (
            _unwell(seen, hop.name)
            and hop.name not in known.asked
            and hop.fail > 1.5 * below + 0.02
        ):
            known.asked.add(hop.name)
            return seen, known.way[: place + 1]
    on_way = {hop.name for hop in known.way}
    callers = {
        name: max(
            (caller for caller, callees in seen.graph.items() if name in callees), key=seen.errors
        )
        for name in sorted(set(seen.graph) - set(seen.entries) - on_way - known.asked)
    }
    for name in sorted(callers, key=lambda name: -seen.errors(callers[name])):
        if not _unwell(seen, name):
            continue
        known.asked.add(name)
        seen, way = yield from _way_down(seen, callers[name])
        if way and way[-1].name not in {known.mended, *known.asked} - {name}:
            return seen, way
    return seen, []


def _unwell(seen: Seen, name: str) -> bool:
    return bool(seen.services[name]["status"] != "healthy")


def _end_spoilt_state(seen: Seen) -> Step:
    """A process may keep what a change has done to it when the change is undone."""
    name, target = seen.notes.change
    if seen.notes.ahead and name != "restart_service" and target.endswith(_PROCESSES):
        seen = yield order("thread_dump", target)
        if is_spoilt(seen):
            seen = yield order("restart_service", target)
    return seen


def _confirm(seen: Seen) -> Step:
    """Some faults rest between two spells: watch for a while before saying that it is over."""
    for _ in range(_WATCH):
        if not _well(seen) or seen.tick >= _LATEST:
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _round(known: _Known, seen: Seen, way: list[Hop] | None) -> Mending:
    """Find one thing that is off and put it right; False if nothing was found.

    Args:
        known: what is remembered.
        seen: the last reply.
        way: the worst way down, where it has just been told.
    """
    if seen.burn == 0:
        seen, done = yield from _on_its_way(known, seen)
        if not done:
            seen = yield from _wait_for_harm(known, seen)
            if seen.burn == 0:
                seen, done = yield from _on_its_way(known, seen)
        if done:
            return seen, True
    if way is None:
        seen, way = yield from _way_down(seen, seen.entries[0])
        if not way and seen.burn == 0:
            # Quiet for the moment: what comes back is looked for when it is back.
            seen = yield from _wait_for_harm(known, seen)
            seen, way = yield from _way_down(seen, seen.entries[0])
    if not way:
        return (yield from mend_pipelines(seen, known.cured))
    last, known.way = way[-1], way
    known.mended = last.name
    known.asked.add(last.name)
    if last.kind:
        return (yield from mend_call(known.tell, seen, last))
    if last.name.endswith("-queue"):
        return (yield from mend_pipelines(seen, known.cured))
    return (yield from mend(known.tell, seen, last))


def _way_down(seen: Seen, here: str) -> Tracing:
    """The calls on the worst way down from a service."""
    seen = yield order("trace_distributed_request", here)
    return seen, worst_way(here, seen.feedback, seen.tick)


def _wait_for_harm(known: _Known, seen: Seen) -> Step:
    for _ in range(12):
        if seen.burn > 0 or seen.tick >= _PATIENT or _fuller(known, seen):
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _fuller(known: _Known, seen: Seen) -> list[str]:
    """Services not looked at yet whose memory is much in use or rises, the fullest first."""
    found = [
        (used, name)
        for name, view in seen.services.items()
        if name not in known.cured
        and ((used := view["process_memory_utilization"]) > 0.62 or used > known.usual[name] + 0.03)
    ]
    return [name for _, name in sorted(found, reverse=True)]


def _on_its_way(known: _Known, seen: Seen) -> Mending:
    """Memory that grows lets nobody down before it is full."""
    for name in _fuller(known, seen):
        known.cured.add(name)
        seen = yield order("check_gc_pressure", name)
        seen, done = yield from mend_growth(known.tell, seen, name)
        if done:
            return seen, True
    return seen, False
