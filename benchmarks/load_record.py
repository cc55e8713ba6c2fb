"""What happened during a load test with many clients, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Figure
from benchmarks.memory_trend import MemorySample, fit_memory_trend

WARM_UP_SHARE = 0.25
"""Share of the time at the start whose memory samples are ignored."""
MAX_ERROR_EXAMPLES = 10


@dataclass
class LoadRecord:
    """What happened during a load test.

    Attributes:
        started, finished, left, failed, open_at_stop: numbers of episodes. Every started episode
            is in one of the other groups, and open ones are counted in `finished` as well once
            they were finished.
        steps_after_stop: number of steps that finished the open episodes.
        reconnected: number of episodes that continued over another connection.
        full: how often the server had no room.
        mixed_up: number of replies that differ from the expected ones.
        errors: errors by kind.
        examples: messages of the first errors.
        reset_s, step_s: seconds of each reply before the stop.
        loop_delay_s: delays of this process's event loop.
        memory: memory samples.
    """

    started: int = 0
    finished: int = 0
    left: int = 0
    failed: int = 0
    open_at_stop: int = 0
    steps_after_stop: int = 0
    reconnected: int = 0
    full: int = 0
    mixed_up: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    reset_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    loop_delay_s: list[float] = field(default_factory=list)
    memory: list[MemorySample] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Number of started episodes that neither ended nor were left on purpose."""
        return self.started - self.finished - self.left

    def add_error(self, kind: str, text: str) -> None:
        """Count an error; keep the message of the first ones."""
        self.errors[kind] += 1
        if len(self.examples) < MAX_ERROR_EXAMPLES:
            self.examples.append(f"{kind}: {text[:300]}")


def find_percentile_ms(values_s: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values is, in milliseconds; 0.0 for none."""
    ordered = sorted(values_s)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def summarize(record: LoadRecord, duration_s: float) -> list[Figure]:
    """Return the figures of a load test, with a bound on what must not happen at all."""
    figures = [
        Figure("episodes started", record.started, None, ""),
        Figure("episodes finished", record.finished, None, ""),
        Figure("episodes left on purpose", record.left, None, ""),
        Figure("episodes open at the stop, finished later", record.open_at_stop, None, ""),
        Figure("episodes lost", record.lost, 0, ""),
        Figure("replies mixed up", record.mixed_up, 0, ""),
        Figure("errors", sum(record.errors.values()), 0, ""),
        Figure("episodes reconnected", record.reconnected, None, ""),
        Figure("waits for a full server", record.full, None, ""),
        Figure("steps per second", len(record.step_s) / duration_s, None, ""),
    ]
    for name, values in (
        ("step", record.step_s),
        ("reset", record.reset_s),
        ("event loop delay", record.loop_delay_s),
    ):
        figures += [
            Figure(f"{name}, median", find_percentile_ms(values, 0.5), None, "ms"),
            Figure(f"{name}, 99th percentile", find_percentile_ms(values, 0.99), None, "ms"),
            Figure(f"{name}, maximum", find_percentile_ms(values, 1.0), None, "ms"),
        ]
    trend = fit_memory_trend(
        [sample for sample in record.memory if sample.time_s >= WARM_UP_SHARE * duration_s]
    )
    if trend is not None:
        figures += [
            Figure("resident memory, mean", trend.mean_bytes / 2**20, None, "MiB"),
            Figure("memory growth per hour", 100 * trend.growth_per_hour, None, "%"),
            Figure("its standard error", 100 * trend.standard_error, None, "%"),
            Figure("memory is not stable", float(not trend.is_stable), 0, ""),
        ]
    return figures
