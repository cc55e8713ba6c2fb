"""Drawing a task: one or more faults, and everything else that goes on that day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from firewatch_env.engine.catalogue import CATALOGUE
from firewatch_env.engine.effects import family
from firewatch_env.engine.world import Circumstance
from firewatch_env.tasks import changes
from firewatch_env.tasks.causes import CAUSES, LEFT_BEHIND, STAGED, Cause
from firewatch_env.tasks.levels import EVERY_LEVEL, Level
from firewatch_env.tasks.places import (
    NoPlace,
    Place,
    concerned,
    draw_features,
    find_place,
    fits,
    required,
)
from firewatch_env.tasks.task import BEFORE, TRIGGER, Put, Task
from openenv_kit.bitstream import BitStream

_SLOW = ("grow_build", "grow_revision", "leak")  # what may not be felt yet
_ADVICE = (
    "pool-monitor: see RB-381 (pool full: restart {other})",
    "slo-monitor: see RB-233 (errors: roll back {other})",
    "alert-notes: 3 Sep, calls to {other} broke, revert of its config helped",
    "alert-notes: 19 Oct, {other} hung again, restart of all its pods helped",
    "queue-monitor: see RB-640 (requests queue: roll back {other})",
)


@dataclass(slots=True)
class _Sketch:
    """What has been put into a task so far."""

    level: Level
    place: Place
    features: dict[str, dict[str, float]]
    puts: list[Put] = field(default_factory=list)
    circumstances: list[Circumstance] = field(default_factory=list)
    roots: list[tuple[str, str]] = field(default_factory=list)

    def ranked(self, service: str) -> list[str]:
        """A service's features, the most used first."""
        return sorted(self.features[service], key=lambda f: -self.features[service][f])

    def callees(self, service: str) -> list[str]:
        """Services of the task that this one cannot do without."""
        return [callee for callee in required(service) if callee in self.features]

    def taken(self) -> set[tuple[str, str]]:
        """Services and kinds of release that are there already."""
        return {(put.service, put.which) for put in self.puts}


def pick_cause(level: Level, draws: BitStream) -> str:
    """The name of a cause: what it looks like first, so that every look is as frequent."""
    if draws.uniform() < level.false_alert:
        return "false_alert"
    circumstance = draws.uniform() < level.circumstance
    causes = [
        cause
        for cause in CAUSES.values()
        if cause.look != "false" and (cause.vehicle == "circumstance") == circumstance
    ]
    look = draws.choose(sorted({cause.look for cause in causes}))
    return draws.choose([cause.name for cause in causes if cause.look == look])


def draw_task(
    task_id: str,
    difficulty: str,
    identity: str,
    arguments: Mapping[str, Any],
    cause: Cause | None = None,
    faults: int | None = None,
) -> Task:
    """Draw a task; whether it does enough harm is for `book` to say.

    Args:
        task_id: its public name.
        difficulty: name of its level.
        identity: names the bits that are drawn; the same name gives the same task.
        arguments: of the reset that plays it.
        cause: what is wrong; None to draw it.
        faults: how many there are; None to draw it.

    Raises:
        NoPlace: these draws lead to no place that fits.
    """
    level, draws = EVERY_LEVEL[difficulty], BitStream(identity)
    cause = cause or CAUSES[pick_cause(level, draws)]
    place = find_place(cause, level, draws)
    sketch = _Sketch(level, place, draw_features(place.services, draws))
    onset = -(12 + draws.integer_below(20))
    calm = cause.look == "false"
    _break(sketch, cause, place.root, place.callee, onset, draws)
    count = draws.choose(level.faults) if faults is None else faults
    for _ in range(0 if calm else count - 1):
        _another(sketch, onset, draws)
    found = len(sketch.puts), len(sketch.circumstances)
    _add_innocent(sketch, onset, draws)
    _add_bystanders(sketch, draws)
    roots = {service for service, _ in sketch.roots}
    hidden = () if level.alerted or calm else tuple(sorted(roots - {place.way[0]}))
    advice = _advise(sketch, roots, draws) if draws.uniform() < level.advice else {}
    return Task(
        task_id=task_id, difficulty=difficulty, arguments=arguments, draws=f"{identity}/world",
        services=place.services, entry=place.way[0], minute=draws.integer_below(1440),
        features=sketch.features, puts=tuple(sketch.puts),
        circumstances=tuple(sketch.circumstances), faults=found, roots=tuple(sketch.roots),
        unalerted=hidden, advice=advice, calm=calm,
    )  # fmt: skip


def _break(
    sketch: _Sketch, cause: Cause, root: str, callee: str | None, onset: int, draws: BitStream
) -> None:
    """Put a fault into the world."""
    value = draws.uniform(cause.low, cause.high)
    sketch.roots.append((root, cause.name))
    if cause.look == "false":
        sketch.circumstances.append(Circumstance(onset, root, cause.lever, value))
        return
    lever = cause.lever
    if cause.channel == "callee":
        lever += f".{callee}"
    elif cause.channel == "feature":
        feature = sketch.ranked(root)[draws.integer_below(2)]
        lever += f".{feature}"
        if cause.look == "killed":  # the memory that it takes, however few requests need it
            value /= sketch.features[root][feature]
    if cause.vehicle == "circumstance":
        # What has been so for long, where something else starts the trouble.
        since = onset - 2 if cause.trigger else onset
        sketch.circumstances.append(Circumstance(since, root, lever, value))
    else:
        feature = sketch.ranked(root)[2 + draws.integer_below(2)]
        made = changes.guilty(root, lever, value, cause.vehicle, draws, feature)
        staged = (
            cause.vehicle == "build"
            and cause.lever in STAGED
            and cause.channel == "feature"
            and draws.uniform() < sketch.level.partial
        )
        if staged:  # of the most used feature, or zone b alone does too little harm
            lever = f"{cause.lever}.{sketch.ranked(root)[0]}"
            made = changes.guilty(root, lever, value, cause.vehicle, draws, feature)
        sketch.puts.append(Put(root, cause.vehicle, replace(made, tick=onset, staged=staged)))
        left = LEFT_BEHIND.get((cause.lever, CATALOGUE[root].kind))
        if left is not None and draws.uniform() < sketch.level.aftermath:
            lever, low, high = left
            sketch.circumstances.append(Circumstance(onset, root, lever, draws.uniform(low, high)))
    if cause.trigger:
        hit = callee or root
        sketch.circumstances += [
            Circumstance(onset, hit, TRIGGER, 0.25),
            Circumstance(onset + 5, hit, TRIGGER, 1.0),
        ]


def _another(sketch: _Sketch, onset: int, draws: BitStream) -> None:
    """A fault of another service; one above or below the first hides it, or is hidden by it."""
    taken = {service for service, _ in sketch.roots}
    slow = draws.uniform() < sketch.level.slow
    for _ in range(20):
        name = draws.choose(_SLOW) if slow else pick_cause(sketch.level, draws)
        cause = CAUSES[name]
        if cause.trigger or cause.look in ("false", "stuck", "misses"):
            continue
        where = [
            each
            for each in sketch.place.services
            if each not in taken and fits(cause, each) and _needs(sketch, sketch.place.way[0], each)
        ]
        if cause.about_callee:
            where = [each for each in where if _callees_of(sketch, cause, each)]
        if where:
            root = draws.choose(where)
            callees = _callees_of(sketch, cause, root)
            callee = draws.choose(callees) if callees else None
            when = -2 - draws.integer_below(4) if slow else onset + draws.integer_below(9) - 4
            _break(sketch, cause, root, callee, when, draws)
            return
    raise NoPlace("no place for another fault")


def _needs(sketch: _Sketch, service: str, other: str) -> bool:
    """Whether a service is another one, or its requests cannot do without it."""
    return service == other or any(_needs(sketch, each, other) for each in sketch.callees(service))


def _callees_of(sketch: _Sketch, cause: Cause, service: str) -> list[str]:
    return [each for each in concerned(cause, service) if each in sketch.features]


def _add_innocent(sketch: _Sketch, onset: int, draws: BitStream) -> None:
    """Releases of the same day that broke nothing; some of them mended something."""
    roots = [service for service, _ in sketch.roots]
    rivals = [root for root in roots if draws.uniform() < sketch.level.rival]
    others = [name for name in sketch.place.services if name not in roots]
    for name in (*rivals, *draws.shuffled_copy(others)[: sketch.level.innocent]):
        free = [each for each in ("build", "revision") if (name, each) not in sketch.taken()]
        if not free:
            continue
        which = draws.choose(free)
        moved = [
            s.lever for put in sketch.puts if put.service == name for s in put.release.settings
        ]
        moved += [each.lever for each in sketch.circumstances if each.service == name]
        settings = [changes.cosmetic(name, draws.choose(sketch.ranked(name)), which, draws)]
        fixed = changes.fix(name, which, sketch.ranked(name)[:2], sketch.callees(name), draws)
        if draws.integer_below(3) and family(fixed.lever) not in map(family, moved):
            settings.insert(0, fixed)
        tick = onset + draws.integer_below(40) - 20
        if tick >= onset - 4 and any(_needs(sketch, name, root) for root in roots):
            tick = 2 * onset - 9 - tick  # nobody ships into an outage of their own
        tick = min(tick, -2)
        made = changes.release(tick, which, tuple(settings), draws)
        sketch.puts.append(Put(name, which, made))


def _add_bystanders(sketch: _Sketch, draws: BitStream) -> None:
    """Meters that look bad for a harmless reason."""
    roots = {service for service, _ in sketch.roots}
    others = [each for each in sketch.place.services if each not in (*roots, sketch.place.way[0])]
    for name in draws.shuffled_copy(others)[: sketch.level.bystanders]:
        lever, low, high = draws.choose(
            (("heap", 0.2, 0.24), ("bots", 0.11, 0.4), ("meter", 0.08, 0.3))
        )
        value, when = draws.uniform(low, high), -BEFORE + draws.integer_below(BEFORE - 5)
        if lever == "heap":
            feature = sketch.ranked(name)[0]
            lever, value = f"heap.{feature}", value / sketch.features[name][feature]
        sketch.circumstances.append(Circumstance(when, name, lever, value))


def _advise(sketch: _Sketch, roots: set[str], draws: BitStream) -> dict[str, str]:
    """A log line of the first root, or above it, that names a service without a fault."""
    others = [
        name for name in sketch.place.way[1:] if name not in roots and CATALOGUE[name].kind == "app"
    ]
    if not others:
        return {}
    return {sketch.place.root: draws.choose(_ADVICE).format(other=draws.choose(others))}
