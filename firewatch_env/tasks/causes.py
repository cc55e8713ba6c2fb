"""Causes of incidents: which lever is off, who moved it, and where that can happen.

A cause says nothing about its cure: the engine knows only levers, builds and revisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vehicle = Literal["build", "revision", "circumstance"]


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause.

    Attributes:
        look: what it looks like from outside; several causes share each look.
        lever: family that is off; channel: what its channel is, a feature or a callee.
        vehicle: what moved it.
        low, high: range of the lever's value.
        kinds: services that it can befall.
        trigger: a lever of the callee that is off for a while only, and starts it all.
    """

    name: str
    look: str
    lever: str
    vehicle: Vehicle
    low: float
    high: float
    kinds: tuple[str, ...]
    channel: Literal["feature", "callee", "none"] = "none"
    trigger: bool = False

    @property
    def about_callee(self) -> bool:
        """Whether it needs a service to call."""
        return self.channel == "callee" or self.lever == "queries"


_ALL = ("app", "store", "proxy")
_SERVING = ("app", "store")
_APP = ("app",)


def _released(
    look: str,
    lever: str,
    low: float,
    high: float,
    kinds: tuple[str, ...],
    *,
    channel: Literal["feature", "callee", "none"] = "feature",
    suffix: str = "",
    trigger: bool = False,
) -> list[Cause]:
    """The same lever moved by a build and by a revision."""
    vehicles: tuple[Vehicle, Vehicle] = ("build", "revision")
    return [
        Cause(f"{lever}{suffix}_{v}", look, lever, v, low, high, kinds, channel, trigger)
        for v in vehicles
    ]


def _comes(
    look: str, lever: str, vehicle: Vehicle, low: float, high: float, kinds: tuple[str, ...]
) -> Cause:
    """A lever without channel that a release moved."""
    return Cause(lever, look, lever, vehicle, low, high, kinds)


def _happens(look: str, lever: str, low: float, high: float, kinds: tuple[str, ...]) -> Cause:
    return Cause(lever, look, lever, "circumstance", low, high, kinds)


_LIST: list[Cause] = [
    *_released("killed", "fill", 0.62, 0.8, _SERVING),
    *_released("killed", "heap", 0.62, 0.8, _APP),
    Cause("big_tenant", "killed", "fill", "circumstance", 0.62, 0.7, _SERVING),
    *_released("growing", "grow", 0.06, 0.1, _SERVING),
    *_released("growing", "grow", 0.025, 0.04, _SERVING, suffix="_slow"),
    _happens("growing", "leak", 0.012, 0.02, _SERVING),
    *_released("errors", "errors", 0.5, 0.9, _SERVING),
    _happens("errors", "bad_process", 0.25, 0.5, _APP),
    _happens("errors", "zone_lag", 0.5, 0.8, ("store",)),
    _happens("errors", "minority", 0.5, 0.8, ("store",)),
    _happens("errors", "zone_fails", 0.5, 0.8, _SERVING),
    _happens("errors", "leaders", 0.25, 0.5, ("store",)),
    _happens("errors", "bad_keys", 0.25, 0.5, ("store",)),
    _comes("errors", "canary", "build", 0.15, 0.22, _APP),
    _comes("errors", "mixed", "build", 0.25, 0.4, _APP),
    *_released("cpu", "cpu", 7.0, 11.0, _ALL),
    _comes("cpu", "logging", "revision", 2.2, 3.5, _SERVING),
    _happens("cpu", "neighbour", 0.75, 0.9, _SERVING),
    _comes("cpu", "cpu_limit", "revision", 0.2, 0.3, _SERVING),
    *_released("slots", "slots", 0.03, 0.06, _SERVING, channel="none"),
    _happens("slots", "blocked", 0.93, 0.96, _SERVING),
    _happens("slots", "streams", 0.93, 0.96, _ALL),
    _happens("slots", "reconnects", 0.93, 0.96, ("store",)),
    *_released("pods", "pods", 1.0, 1.0, _SERVING, suffix="_unready"),
    _happens("pods", "backoff", 0.7, 0.85, _SERVING),
    _comes("pods", "environment", "build", 0.7, 0.85, _APP),
    _happens("pods", "cold", 0.7, 0.85, _SERVING),
    _comes("pods", "probes", "revision", 0.7, 0.85, _SERVING),
    _comes("pods", "rollout", "build", 0.7, 0.85, _APP),
    *_released("refused", "refuse", 0.5, 0.9, _SERVING),
    _happens("refused", "clock", 0.3, 0.6, _SERVING),
    _comes("refused", "role", "revision", 0.3, 0.6, _SERVING),
    *_released("limited", "limit", 0.03, 0.08, _SERVING),
    _happens("limited", "quota", 0.4, 0.7, _SERVING),
    *_released("path", "path", 0.6, 0.9, _SERVING),
    _happens("path", "zone_lost", 0.6, 0.9, _ALL),
    _comes("path", "denied", "revision", 0.3, 0.6, _SERVING),
    _comes("path", "certificate", "revision", 0.3, 0.6, _ALL),
    _comes("path", "endpoint", "revision", 0.3, 0.6, _SERVING),
    _happens("path", "stale_instances", 0.3, 0.6, _SERVING),
    _comes("path", "proxies", "build", 0.3, 0.6, ("proxy",)),
    _comes("path", "slots_switch", "build", 0.3, 0.6, _SERVING),
    *_released("deadline", "timeout", 0.004, 0.008, _APP, channel="callee"),
    *_released("fan-out", "calls", 5.0, 8.0, _APP, channel="callee"),
    _comes("fan-out", "queries", "build", 5.0, 8.0, _APP),
    *_released("storm", "tries", 2.5, 3.0, _APP, channel="callee", trigger=True),
    Cause("metastable", "storm", "tries", "circumstance", 2.5, 3.0, _APP, "callee", True),
    Cause("expired", "storm", "orphans", "circumstance", 3.0, 4.0, ("store",), "none", True),
    *_released("misses", "hits", 0.0, 0.1, ("cache",)),
    _happens("misses", "cold_cache", 0.2, 0.35, ("cache",)),
    _comes("misses", "small_cache", "revision", 0.2, 0.35, ("cache",)),
    _happens("errors", "bad_cache", 0.3, 0.5, ("cache",)),
    *_released("skew", "hot", 1.0, 1.5, _SERVING),
    _happens("skew", "hot", 0.4, 0.6, _SERVING),
    _happens("stuck", "pipeline", 0.1, 0.3, ("job",)),
    Cause("false_alert", "false", "bots", "circumstance", 0.93, 0.97, _APP),
    Cause("masking", "stuck", "fallback", "circumstance", 1.0, 1.0, _APP, "callee"),
]

CAUSES: dict[str, Cause] = {cause.name: cause for cause in _LIST}

# Families of which a build in one zone alone does enough harm to be the fault.
STAGED = ("errors", "refuse", "path", "cpu", "grow", "calls", "hits")
# What a fault leaves behind when it is undone, by its family and the kind of its service: a lever
# and its range. Wrong entries stay in a store, a cache that was emptied is cold.
LEFT_BEHIND: dict[tuple[str, str], tuple[str, float, float]] = {
    ("pods", "app"): ("backoff", 0.7, 0.85),
    ("pods", "store"): ("backoff", 0.7, 0.85),
    ("limit", "app"): ("bad_process", 0.15, 0.3),
    ("timeout", "app"): ("bad_process", 0.15, 0.3),
    ("slots", "store"): ("reconnects", 0.93, 0.96),
    ("fill", "app"): ("bad_process", 0.15, 0.3),
    ("hot", "store"): ("bad_keys", 0.15, 0.3),
}
