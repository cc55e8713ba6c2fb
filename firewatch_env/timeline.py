"""A task's world from tick to tick, walked once for all sessions that have changed nothing yet.

Looks change nothing, so what a world goes through until somebody acts is the same for everybody.
Sessions that begin a task together, as a trainer's groups do, share it until each acts for the
first time. Nothing here outlives the plays: a timeline ends with the last of them. Plays may be
stepped in threads: whatever several may come to at once is done under one lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from threading import Lock
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from firewatch_env.actions import Outcome, act
from firewatch_env.engine.world import World
from firewatch_env.evidence.alerts import fire
from firewatch_env.evidence.meters import forget, read_all
from firewatch_env.evidence.observation import services_view
from firewatch_env.tasks.task import Task, open_world

_KEPT = 6
"""Moments that wait for those who lag behind; whoever is further back makes them again."""


class Moment:
    """A world at the end of a tick, and what is to be seen of it.

    Attributes:
        world: changed by nobody while several sessions are here.
        since: tick at which each active alert fired.
    """

    def __init__(self, world: World, since: dict[str, int]) -> None:
        self.world = world
        self.since = since
        self._seen: tuple[list[dict[str, Any]], dict[str, Any]] | None = None
        self._looks: dict[tuple[str, str | None], Outcome] = {}

    def copy(self) -> Moment:
        """The same with a future of its own."""
        return Moment(self.world.copy(), self.since.copy())

    def pass_tick(self) -> None:
        """Let a tick pass, and read all meters while they are at hand."""
        self.world.step()
        read_all(self.world)
        self._seen, self._looks = None, {}

    def seen(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Active alerts, and every service without log lines; not to be changed."""
        with _lock:
            if self._seen is None:
                meters = read_all(self.world)
                alerts = fire(self.world, self.since, meters)
                self._seen = alerts, services_view(self.world, {}, meters)
            return self._seen

    def look(self, action: str, target: str | None) -> Outcome:
        """What an action that changes nothing comes to; not to be changed."""
        found = self._looks.get((action, target))
        if found is None:
            found = self._looks[action, target] = act(self.world, action, target, {})
        return found

    def forget(self) -> None:
        """Let go of what was seen: while others play, it would only be in the way."""
        self._seen, self._looks = None, {}
        forget(self.world)


class Timeline:
    """The moments of a task's world that nobody has touched.

    Args:
        task: whose world it is.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._plays: WeakSet[Hashable] = WeakSet()
        self._moments: WeakValueDictionary[int, Moment] = WeakValueDictionary()
        self._recent: deque[Moment] = deque(maxlen=_KEPT)

    def enter(self, play: Hashable) -> Moment | None:
        """The first moment, for another play; None if it is gone."""
        first = self._moments.get(0) if self._plays else Moment(open_world(self.task), {})
        if first is not None:
            self._moments[0] = first
            self._plays.add(play)
        return first

    def onward(self, now: Moment) -> Moment:
        """The moment after this one."""
        with _lock:
            if len(self._plays) == 1:
                self._alone()
                now.pass_tick()
                return now
            tick = now.world.tick + 1
            after = self._moments.get(tick)
            if after is None:
                after = now.copy()
                after.pass_tick()
                self._moments[tick] = after
                self._recent.append(after)
            return after

    def leave(self, play: Hashable, now: Moment) -> Moment:
        """This moment for a play that is about to change it."""
        with _lock:
            if len(self._plays) == 1:
                self._alone()
            else:
                now = now.copy()
            self._plays.discard(play)
            return now

    def forget(self, now: Moment) -> None:
        """Let a moment forget what was seen, unless others may still come to it."""
        with _lock:
            if len(self._plays) == 1:
                now.forget()

    def _alone(self) -> None:
        """Nobody else comes this way, so nothing has to be kept."""
        if self._moments:
            self._moments.clear()
            self._recent.clear()


_lock = Lock()
_timelines: WeakValueDictionary[str, Timeline] = WeakValueDictionary()


def enter(task: Task, play: Hashable) -> tuple[Timeline, Moment]:
    """A task's timeline and its first moment, shared with those who began just now."""
    with _lock:
        timeline = _timelines.get(task.draws)
        first = timeline.enter(play) if timeline is not None and timeline.task == task else None
        if timeline is None or first is None:
            timeline = _timelines[task.draws] = Timeline(task)
            first = timeline.enter(play)
    assert first is not None
    return timeline, first
