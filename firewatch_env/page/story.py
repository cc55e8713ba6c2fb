"""A play as its replies have told it: all that the live charts and panels read.

Whatever is drawn of an incident under way comes from here, so none of it can show more than the
player was told. The same story serves a visitor's own play, a watched one and a recorded one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from firewatch_env.actions import ACTIONS
from openenv_kit.page.playback import PlaybackStep

GROUP_OF = {name: action.group for name, action in ACTIONS.items()}
"""The group of every action."""
DURATION = "http_server_request_duration_"
CHANGING = ("mitigate", "repair")
"""Groups whose actions move something, or try to."""


@dataclass(frozen=True)
class Move:
    """An action and the tick at whose end its reply came; `group` is empty for an unknown one."""

    tick: int
    text: str
    group: str
    refused: bool


@dataclass(frozen=True)
class Firing:
    """An alert from the first tick to the last at which replies named it."""

    alert: Mapping[str, Any]
    first: int
    last: int


@dataclass(frozen=True)
class Story:
    """Replies of a play, the reset's first.

    Attributes:
        frames: the replies with what was done; those that tell of no service are left out.
        max_ticks: ticks that the play may have.
        chosen: the service looked at; the first one where there is none of that name.
    """

    frames: Sequence[PlaybackStep]
    max_ticks: int
    chosen: str = ""

    @cached_property
    def seen(self) -> list[Mapping[str, Any]]:
        """Observations with services, oldest first."""
        return [f.observation for f in self.frames if f.observation.get("services")]

    @property
    def now(self) -> Mapping[str, Any]:
        """The last observation."""
        return self.seen[-1]

    @property
    def ticks(self) -> list[int]:
        """Tick of each observation."""
        return [each["sim_tick"] for each in self.seen]

    @property
    def graph(self) -> Mapping[str, Sequence[str]]:
        """Callees by caller."""
        graph: Mapping[str, Sequence[str]] = self.now["dependency_graph"]
        return graph

    @cached_property
    def depth(self) -> dict[str, int]:
        """Calls on the longest way from an entry to each service."""
        called = {callee for callees in self.graph.values() for callee in callees}
        depth = {name: 0 for name in self.graph if name not in called}
        for _ in self.graph:
            for caller, callees in self.graph.items():
                for callee in callees if caller in depth else ():
                    depth[callee] = max(depth.get(callee, 0), depth[caller] + 1)
        return depth

    @cached_property
    def layers(self) -> list[list[str]]:
        """Services from the entry to the leaves, each layer in the order of its callers."""
        layers: list[list[str]] = []
        by_depth = sorted(self.depth, key=lambda name: (self.depth[name], name))
        for _, names in groupby(by_depth, key=self.depth.__getitem__):
            above = layers[-1] if layers else []
            layers.append(sorted(names, key=lambda name: (self._below(name, above), name)))
        return layers

    def _below(self, name: str, above: Sequence[str]) -> float:
        """Mean place, in the layer above, of the callers of a service."""
        places = [at for at, caller in enumerate(above) if name in self.graph[caller]]
        return sum(places) / len(places) if places else len(above)

    @property
    def services(self) -> list[str]:
        """Every service, from the entry to the leaves."""
        return [name for layer in self.layers for name in layer]

    @property
    def service(self) -> str:
        """The service looked at."""
        return self.chosen if self.chosen in self.graph else self.services[0]

    def series(self, service: str, key: str) -> list[float]:
        """A metric of a service at each tick, as the replies told it."""
        return [each["services"][service][key] for each in self.seen]

    @cached_property
    def moves(self) -> list[Move]:
        """What was done, oldest first."""
        acted = [f for f in self.frames if f.observation.get("services") and f.action]
        return [
            Move(
                frame.observation["sim_tick"],
                action_text(frame.action),
                GROUP_OF.get(str(frame.action.get("action_type")), ""),
                frame.observation.get("status") == "error",
            )
            for frame in acted
        ]

    @cached_property
    def firings(self) -> list[Firing]:
        """Alerts in the order in which they fired; one that fires again is there again."""
        return sorted(self._firings(), key=lambda each: each.first)

    def _firings(self) -> Iterator[Firing]:
        running: dict[str, Firing] = {}
        for seen in self.seen:
            tick = seen["sim_tick"]
            active = {alert["alert_id"]: alert for alert in seen["active_alerts"]}
            for gone in [each for each in running if each not in active]:
                yield running.pop(gone)
            for name, alert in active.items():
                first = running[name].first if name in running else tick
                running[name] = Firing(alert, first, tick)
        yield from running.values()


def action_text(action: Mapping[str, Any]) -> str:
    """An action in one line; a recording may hold anything, so nothing is taken for granted."""
    parameters = action.get("parameters")
    given = parameters.items() if isinstance(parameters, Mapping) else ()
    parts = [action.get("action_type"), action.get("target_service")]
    return " ".join(
        [*(str(part) for part in parts if part is not None), *(f"{k}={v}" for k, v in given)]
    )
