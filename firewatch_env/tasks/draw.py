"""Drawing a task: a fault at its root, and everything else that goes on that day.

What else goes on: releases of the root and its neighbours that are as young, as large and as
suspect as the one that did it, but move something that has room to spare there; releases whose
undoing would break what they mended; bystanders whose meters look bad; on hard, a log line that
orders something harmful. Beyond easy the root has no alert rules, its other change could have
done it as well until traffic leaves the zone that alone runs the build, and a fault may leave
something behind, or a second one may be on its way.
"""

from __future__ import annotations

from dataclasses import replace

from firewatch_env.engine.catalogue import CATALOGUE
from firewatch_env.engine.motion import ZONE_B, draw_wave
from firewatch_env.engine.randomness import BitStream
from firewatch_env.engine.service import Release, Setting
from firewatch_env.engine.world import Circumstance
from firewatch_env.tasks.causes import CAUSES, LEFT_BEHIND, STAGED, Cause
from firewatch_env.tasks.duds import (
    add_bystanders,
    add_releases,
    add_settling,
    distinct,
    order,
    spare,
    twins,
)
from firewatch_env.tasks.places import draw_features, find_place
from firewatch_env.tasks.sketch import Sketch, neutral, setting
from firewatch_env.tasks.task import BEFORE, Put, Task

_DUAL = {"easy": 0, "medium": 10, "hard": 10}  # of ten tasks, those with a second fault
_SECOND = ("errors", "refuse", "path", "cpu")  # what a second fault has off
_SLOW = {"easy": 6, "medium": 6, "hard": 8}  # one task in so many may open before any harm


def draw_task(
    task_id: str,
    difficulty: str,
    seed: int,
    cause: Cause,
    identity: str,
    description: str = "",
    dual: bool | None = None,
) -> Task:
    """Draw a task; whether it is worth playing is for admission to say.

    Args:
        task_id: its name.
        difficulty: easy, medium or hard.
        seed: its public number.
        cause: what is wrong.
        identity: names the bits that are drawn; the same name gives the same task.
        description: what is told about it.
        dual: with a second fault or without; None: by the difficulty.

    Raises:
        NoPlace: these draws lead to no place that fits.
    """
    draws = BitStream(identity)
    place = find_place(cause, difficulty, draws)
    sketch = Sketch(place, difficulty, draw_features(place.services, draws))
    onset = -(16 + draws.below(30))
    false = cause.look == "false"
    _break(sketch, cause, onset, draws)
    hard = difficulty == "hard"
    if dual is None:
        dual = draws.below(10) < _DUAL[difficulty]
    # On hard nobody waits for nothing: what pages is false, and what lets customers down is silent.
    second = _second_fault(sketch, onset, draws) if (hard if false else dual) else ""
    calm = false and not second
    faults = (len(sketch.puts), 0 if false and second else len(sketch.circumstances))
    add_releases(sketch, onset, draws)
    add_bystanders(sketch, draws)
    add_settling(sketch, draws)
    masks, unalerted = _hide(sketch, faults[0], false=false) if difficulty != "easy" else ((), ())
    return Task(
        task_id=task_id,
        difficulty=difficulty,
        seed=seed,
        description=description or "Customers are let down; find out why and put it right.",
        draws=f"{identity}/world",
        services=place.services,
        entry=place.way[0],
        features=sketch.features,
        puts=tuple(sketch.puts),
        circumstances=tuple(sketch.circumstances),
        faults=faults,
        masks=masks,
        unalerted=unalerted,
        injected=order(sketch, faults[0], draws) if hard else {},
        label=cause.name + (f"+{second}" if second else ""),
        calm=calm,
        dual=bool(second) and not false,
        burning=not calm and draws.below(_SLOW[difficulty]) > 0,
    )


def _break(sketch: Sketch, cause: Cause, onset: int, draws: BitStream) -> None:
    """Put the fault into the world."""
    root = sketch.place.root
    value = draws.uniform(cause.low, cause.high)
    if cause.look == "false":
        # A crowd that is turned away: probes and meters count it, customers are none of it.
        lever = f"{cause.lever}.{sketch.ranked(root)[draws.below(2)]}"
        gone = 4 + draws.below(4)
        sketch.circumstances += [
            Circumstance(onset, root, lever, value),
            Circumstance(gone, root, lever, 0.0),
        ]
        return
    family = cause.lever
    twin = (
        cause.vehicle != "circumstance"
        and family in STAGED
        and not cause.pulse
        and sketch.difficulty != "easy"
    )
    channel = ""
    if cause.channel == "callee":
        channel = f".{sketch.place.callee}"
    elif cause.channel == "feature":
        channel = f".{sketch.ranked(root)[0 if twin else draws.below(2)]}"
    lever = family + channel
    pulse = (8 + draws.below(4), 4 + draws.below(2), onset) if cause.pulse else None
    if cause.vehicle == "circumstance":
        # What has been so for long, where something else starts the trouble.
        since = -BEFORE if cause.trigger else onset
        sketch.circumstances.append(Circumstance(since, root, lever, value, pulse))
    else:
        guilty = setting(lever, neutral(family), value, draws, pulse)
        _release(sketch, root, cause.vehicle, guilty, onset, draws, twin=twin)
        if root not in sketch.twins:
            _leave_behind(sketch, guilty, onset, draws)
    if cause.trigger:
        hit = sketch.place.callee or root
        sketch.circumstances += [
            Circumstance(onset, hit, "cpu_limit", 0.25),
            Circumstance(onset + 5, hit, "cpu_limit", 1.0),
        ]


def _release(
    sketch: Sketch, name: str, vehicle: str, guilty: Setting, tick: int, draws: BitStream,
    *, twin: bool,
) -> None:  # fmt: skip
    """The release at fault; with a twin, another change of the service is as suspect.

    Of the two, the build runs in one zone, so that it does as much as that zone gets requests;
    a revision at fault does as much on average.
    """
    pair = twins(guilty, draws, staged=vehicle == "revision") if twin else None
    if pair is not None:
        guilty, sketch.twins[name] = pair
        if vehicle == "revision":
            # Its use comes and goes as zone b's share does, at times of its own; but a heap grows
            # steadily, unlike one that settles.
            grows = guilty.lever.startswith("grow.")
            part = (guilty.after - guilty.before) * ZONE_B
            wave = draw_wave(draws)
            guilty = replace(guilty, after=guilty.before + part, wave=None if grows else wave)
    # A release at fault is as large as any other: it sets something harmless beside.
    changed = distinct((guilty, spare(sketch, name, draws)))
    staged = pair is not None and vehicle == "build"
    sketch.puts.append(Put(name, vehicle, Release(tick, changed, staged)))


def _leave_behind(sketch: Sketch, guilty: Setting, onset: int, draws: BitStream) -> None:
    """What the fault has spoilt stays spoilt when it is undone."""
    root, family = sketch.place.root, guilty.lever.partition(".")[0]
    left = LEFT_BEHIND.get((family, CATALOGUE[root].kind))
    if left is None or sketch.difficulty == "easy" or guilty.pulse or draws.below(2):
        return
    lever, low, high = left
    sketch.circumstances.append(Circumstance(onset, root, lever, draws.uniform(low, high)))


def _second_fault(sketch: Sketch, onset: int, draws: BitStream) -> str:
    """Another service fails requests of its own, and two of its changes may be why."""
    others = [
        name
        for name in sketch.place.services
        if CATALOGUE[name].kind in ("app", "store") and name not in sketch.place.way[-2:]
    ]
    if not others:
        return ""
    name = draws.pick(others)
    vehicle = draws.pick(("build", "revision"))
    draws.below(4)  # nothing depends on it; without it, whatever follows would be drawn otherwise
    cause = CAUSES[f"{draws.pick(_SECOND)}_{vehicle}"]
    feature = sketch.ranked(name)[0]
    value = draws.uniform(cause.low, cause.high)
    changed = setting(f"{cause.lever}.{feature}", neutral(cause.lever), value, draws)
    _release(sketch, name, vehicle, changed, onset + draws.below(5), draws, twin=True)
    return cause.name


def _hide(sketch: Sketch, puts: int, *, false: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is at fault has no alert rules; the root's caller passes failures on silently.

    Nor have harmless heaps, lest an alert of memory say that a heap is harmless. What pages
    falsely has its rules.
    """
    way = sketch.place.way
    heaps = {put.service for put in sketch.puts for s in put.release.settings if _fills(s.lever)}
    heaps |= {each.service for each in sketch.circumstances if _fills(each.lever)}
    silent = {put.service for put in sketch.puts[:puts]} | heaps
    if false:
        return (), tuple(sorted(silent - {way[0], way[-1]}))
    return (way[-2],), tuple(sorted({*silent, way[-1], way[-2]} - {way[0]}))


def _fills(lever: str) -> bool:
    return lever.partition(".")[0] in ("settle", "heap")
