"""What the replies of an episode are computed from: the world, its clock, and the task's wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from firewatch_next.simulation.history import METRICS, Label, Series
from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.simulation.world import World
from firewatch_next.telemetry.limits import MAX_CHARACTERS
from openenv_kit.bitstream import BitStream

TICKS_PER_MINUTE = 60 // SECONDS_PER_TICK
FIRST_TICK = -179
"""First tick that metrics, logs and pod events reach back to: 90 minutes before the reset."""
_CLOCK = datetime(2026, 3, 17, 14, 31, tzinfo=timezone.utc)  # noqa: UP017


@dataclass(frozen=True)
class TelemetryView:
    """A world at its present tick, as the tools for observation show it.

    Attributes:
        task_key: text that fixes noise, phrasings and ids; the same throughout an episode.
        wording: phrasings that the task uses for texts of faults.
        reset_time: clock time of tick 0.
        max_characters: longest reply.
    """

    world: World
    task_key: str
    wording: Wording = Wording.OPEN
    reset_time: datetime = field(default=_CLOCK)
    max_characters: int = MAX_CHARACTERS

    @property
    def tick(self) -> int:
        """The tick that replies show."""
        return self.world.tick

    def service(self, name: str) -> Service:
        """Return a service. Raises KeyError for an unknown name."""
        return self.world.services[name]

    def time_of(self, tick: float) -> datetime:
        """Return the clock time at the end of a tick."""
        return self.reset_time + timedelta(seconds=tick * SECONDS_PER_TICK)

    def clock(self, tick: float) -> str:
        """Return the hour and minute at the end of a tick, such as "14:31"."""
        return f"{self.time_of(tick):%H:%M}"

    def minutes_since(self, tick: float) -> float:
        """Return the minutes between a tick and now."""
        return (self.tick - tick) / TICKS_PER_MINUTE

    def first_tick_of(self, window_minutes: int) -> int:
        """Return the first tick of a window that ends now, at most 90 minutes before the reset."""
        return max(FIRST_TICK, self.tick - window_minutes * TICKS_PER_MINUTE + 1)

    def draws(self, *parts: str | int) -> BitStream:
        """Return the stream of random numbers for one purpose of this task."""
        return BitStream("/".join((self.task_key, *map(str, parts))))

    def read(
        self,
        metric: str,
        service: str,
        label: Label | None = None,
        first_tick: int | None = None,
        *,
        with_noise: bool = True,
    ) -> Sequence[Series]:
        """Return the series of a metric up to now, from `first_tick` or of the newest tick only."""
        labels = METRICS[metric].labels
        if labels == (Label.CALLEE,):
            label = Label.CALLEE
        return self.world.history.read(
            metric,
            service,
            label,
            self.tick if first_tick is None else first_tick,
            self.tick,
            self.task_key if with_noise else "",
        )

    def newest(self, metric: str, service: str) -> float:
        """Return the newest reading of a metric of a whole service; 0 if it has none."""
        return next((s.values[-1] for s in self.read(metric, service) if s.values), 0.0)

    def newest_by(
        self, metric: str, service: str, label: Label, *, with_noise: bool = True
    ) -> dict[str, float]:
        """Return the newest readings by the value of a label."""
        return {
            series.labels[label.value]: series.values[-1]
            for series in self.read(metric, service, label, with_noise=with_noise)
            if series.values
        }
