"""False alerts: a synthetic check pages although customers are well."""

from __future__ import annotations

from firewatch_next.simulation.log_event import (
    LogEvent,
    LogLevel,
    Phrasings,
    Wording,
    choose_phrasing,
)
from firewatch_next.simulation.world import World
from firewatch_next.telemetry.alerts import Alert, Severity
from openenv_kit.bitstream import BitStream

CHECK_FAILED = LogEvent(
    "alert.synthetic_check",
    LogLevel.ERROR,
    ("service", "value", "minutes"),
    {
        "any": Phrasings(
            open=(
                "{service}: {value} % of synthetic checks fail for {minutes} min (threshold 5 %)",
                "synthetic canary against {service} fails, {value} % of runs since {minutes} min",
            ),
            test="{service} scripted user journey red in {value} % of runs, {minutes} min",
            sealed="external monitor of {service} reports {value} % failed runs ({minutes} min)",
        )
    },
)
THRESHOLD = 0.05


def draw_false_alert(draws: BitStream, world: World, wording: Wording) -> Alert:
    """Return an alert of a synthetic check against an entry of the world."""
    service = draws.choose(world.entries).name
    percent = 8 + draws.integer_below(35)
    ticks = 4 + draws.integer_below(12)
    template = choose_phrasing(draws, "any", CHECK_FAILED, wording)
    description = template.format(service=service, value=percent, minutes=ticks / 2)
    metric = "synthetic_check_failed_ratio"
    return Alert(
        f"HighErrorRate-{service}-{metric}-{-ticks}", "HighErrorRate", service, Severity.CRITICAL,
        description, metric, percent / 100.0, THRESHOLD, -ticks,
    )  # fmt: skip
