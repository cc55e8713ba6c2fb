"""What the replies of an episode are computed from: world, clock, and wording of the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.simulation.series import Series, read_series
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.simulation.world import World
from firewatch_next.telemetry.limits import MAX_CHARACTERS
from openenv_kit.bitstream import BitStream

TICKS_PER_MINUTE = 60 // SECONDS_PER_TICK
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
        """Return the tick at which a window starts that ends now, or the first recorded tick."""
        first = self.tick - window_minutes * TICKS_PER_MINUTE
        return max(self.world.history.first_tick, first)

    def draws(self, *parts: str | int) -> BitStream:
        """Return the stream of random numbers for one purpose of this task."""
        return BitStream("/".join((self.task_key, *map(str, parts))))

    def read(
        self,
        metric: str,
        service: str,
        label: Label | None = None,
        ticks: Sequence[int] = (),
    ) -> list[Series]:
        """Return the series of a metric with noise.

        Args:
            metric: name in `METRICS`. Metrics of calls are always grouped by callee.
            service: name.
            label: label to group by.
            ticks: recorded ticks in increasing order; the newest one by default.
        """
        if METRICS[metric].labels == (Label.CALLEE,):
            label = Label.CALLEE
        world = self.world
        return read_series(
            world.history,
            world.services,
            metric,
            service,
            label,
            ticks or (self.tick,),
            self.task_key,
        )

    def newest(self, metric: str, service: str) -> float:
        """Return the newest reading of a metric of a whole service; 0 if it has none."""
        return next((s.values[-1] for s in self.read(metric, service) if s.values), 0.0)

    def newest_by(self, metric: str, service: str, label: Label) -> dict[str, float]:
        """Return the newest readings by the value of a label."""
        return {
            series.labels[label.value]: series.values[-1]
            for series in self.read(metric, service, label)
            if series.values
        }
