"""The reference: an engineer who knows the manual and reads only what a client's model sees.

It follows failing calls from the customers' entry down to the service that fails by itself,
measures what fails there, and finds the change that touches the same feature; where no change
does, the figures of one more tool say what is off.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from firewatch_env.policies.apart import Tell, tell
from firewatch_env.policies.heaps import mend_growth
from firewatch_env.policies.reading import Worst, call_trouble, worst_call, worst_way
from firewatch_env.policies.repairs import (
    mend,
    mend_call,
    mend_pipelines,
)
from firewatch_env.policies.seen import Action, Script, Seen, order
from firewatch_env.policies.undoing import Mending

_WATCH = 8  # ticks
_PATIENT = 14  # tick by which harm that comes and goes has been seen
_LATEST = 17  # tick by which an easy task had better be declared over
Step = Generator[Action, Seen, Seen]


def reference(seen: Seen) -> Script:
    """Play until it is over; then declare."""
    return engineer(tell)(seen)


def engineer(tell: Tell) -> Callable[[Seen], Script]:
    """The reference, with a way of its own to tell a build of zone b from a change everywhere."""
    return lambda seen: _play(tell, seen)


def _play(tell: Tell, seen: Seen) -> Script:
    cured: set[str] = set()
    usual = {name: view["process_memory_utilization"] for name, view in seen.services.items()}
    while True:
        seen, acted = yield from _round(tell, seen, cured, usual)
        seen = yield from _settle(seen, 5 if acted else 1)
        watched = False
        while _well(seen):
            seen, found = yield from _on_its_way(tell, seen, cured, usual)
            if watched and not found and _well(seen):
                yield order("declare_resolved")
                return
            seen = yield from _confirm(seen)
            watched = True


def _well(seen: Seen) -> bool:
    return seen.burn == 0 and not any(a["severity"] == "page" for a in seen.alerts)


def _settle(seen: Seen, ticks: int) -> Step:
    """Wait for a repair to show."""
    for _ in range(ticks):
        if _well(seen):
            return seen
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _confirm(seen: Seen) -> Step:
    """Some faults rest between two spells: watch for a while before saying that it is over."""
    for _ in range(_WATCH):
        if not _well(seen) or seen.tick >= _LATEST:
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _round(tell: Tell, seen: Seen, cured: set[str], usual: dict[str, float]) -> Mending:
    """Find one thing that is off and put it right; False if nothing was found."""
    here = seen.entries[0]
    came: Worst | None = None
    if seen.burn == 0:
        seen, done = yield from _on_its_way(tell, seen, cured, usual)
        if done:
            return seen, True
        seen = yield from _wait_for_harm(seen)
    seen, here, root = yield from _way_down(seen, here)
    for _ in range(14):
        seen = yield order("trace_dependencies", here)
        worst = worst_call(here, seen.feedback)
        if worst is None:
            if seen.burn == 0 and seen.graph[here]:
                # Quiet for the moment: what comes back is looked for when it is back.
                before = seen.tick
                seen = yield from _wait_for_harm(seen)
                if seen.burn > 0 and seen.tick > before:
                    continue
            break
        kind = call_trouble(worst)
        if kind:
            return (yield from mend_call(tell, seen, worst, kind))
        came, here = worst, worst.name
        if here == root:
            break
    if came is None or here.endswith("-queue"):
        return (yield from mend_pipelines(seen, cured))
    return (yield from mend(tell, seen, here, came))


def _way_down(seen: Seen, here: str) -> Generator[Action, Seen, tuple[Seen, str, str]]:
    """The last caller on the worst way down, and the service at its end if all of it was told.

    A call that is odd in itself ends the way: it is its caller's.
    """
    caller, end = here, ""
    while True:
        seen = yield order("trace_distributed_request", here)
        hops, whole = worst_way(seen.feedback)
        for hop in hops:
            caller, here, end = here, hop.name, hop.name
            if hop.odd:
                return seen, caller, ""
        if whole or not hops:
            return seen, caller, end


def _wait_for_harm(seen: Seen) -> Step:
    for _ in range(12):
        if seen.burn > 0 or seen.tick >= _PATIENT:
            break
        seen = yield order("get_metrics_detail", seen.entries[0])
    return seen


def _on_its_way(tell: Tell, seen: Seen, cured: set[str], usual: dict[str, float]) -> Mending:
    """Memory that grows lets nobody down before it is full.

    Args:
        tell: how to tell a leak from a heap that settles.
        seen: the last reply.
        cured: services whose heap has been looked at.
        usual: memory in use at first, by service.
    """
    full = sorted(
        (view["process_memory_utilization"], name)
        for name, view in seen.services.items()
        if name not in cured
        and (
            view["process_memory_utilization"] > 0.62
            or view["process_memory_utilization"] > usual[name] + 0.03
        )
    )
    for _, name in reversed(full):
        cured.add(name)
        seen = yield order("check_gc_pressure", name)
        seen, done = yield from mend_growth(tell, seen, name)
        if done:
            return seen, True
    return seen, False
