"""Every family of levers, and how one that is off takes effect."""

from __future__ import annotations

from firewatch_env.engine.effects import Effect, lever, share
from firewatch_env.engine.service import Service

# Requests that fail, are refused or never arrive, and pods that are not ready.


def _spoils(part: str, *names: str) -> None:
    """Levers whose value is the share of their channel's requests, or pods, that they spoil."""

    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        setattr(e, part, getattr(e, part) * (1 - share(s, channel) * value))

    for name in names:
        lever(name)(apply)


_spoils(
    "ok", "errors", "stale_build", "stale_revision", "leaders", "bad_keys", "bad_cache",
    "bad_process", "canary", "mixed",
)  # fmt: skip
_spoils("allowed", "refuse", "clock", "role")
_spoils(
    "path", "path", "denied", "certificate", "endpoint", "stale_instances", "proxies",
    "slots_switch",
)  # fmt: skip
_spoils("ready", "pods", "environment", "cold", "probes", "backoff", "rollout")


@lever("limit", 9.0)
def _limit(e: Effect, s: Service, channel: str, value: float) -> None:
    """Requests a second that a feature may have, to the usual load of the whole service."""
    over = share(s, channel) - value
    e.limit += over if over > 0 else 0.0


@lever("quota", 9.0)
def _quota(e: Effect, s: Service, channel: str, value: float) -> None:
    e.limit += 1 - value if value < 1 else 0.0


# One zone.


@lever("zone_lost")
def _zone_lost(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_lost = value


def _zone_errs(e: Effect, s: Service, channel: str, value: float) -> None:
    """Replicas, nodes or hardware of zone b that spoil answers."""
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


for _name in ("zone_lag", "minority", "zone_fails"):
    lever(_name)(_zone_errs)


@lever("neighbour")
def _neighbour(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_steal = value


# Capacity.


@lever("cpu", 1.0)
def _cpu(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cpu += share(s, channel) * (value - 1)


@lever("logging")
def _logging(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cpu += value


@lever("queries", 1.0)
def _queries(e: Effect, s: Service, channel: str, value: float) -> None:
    """Queries sent for one request, to each store that the service calls."""
    stores = [call.callee.name for call in s.calls if call.callee.kind == "store"]
    e.calls = {**e.calls, **dict.fromkeys(stores, value)}


@lever("cpu_limit", 1.0)
def _cpu_limit(e: Effect, s: Service, channel: str, value: float) -> None:
    e.cores *= value


@lever("slots", 1.0)
def _slots(e: Effect, s: Service, channel: str, value: float) -> None:
    """Worker threads to the usual number."""
    e.slots = value if value < e.slots else e.slots


def _holds(e: Effect, s: Service, channel: str, value: float) -> None:
    """The share of all slots that it makes useless."""
    e.slots = 1 - value if 1 - value < e.slots else e.slots


for _name in ("blocked", "streams", "reconnects"):
    lever(_name)(_holds)


@lever("hot")
def _hot(e: Effect, s: Service, channel: str, value: float) -> None:
    """Extra share of the requests that one pod in ten gets."""
    e.hot += share(s, channel) * value


@lever("grow")
def _grow(e: Effect, s: Service, channel: str, value: float) -> None:
    """Share of the memory limit that a tick at the usual load adds."""
    e.grow += share(s, channel) * value


@lever("leak")
def _leak(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that goes on growing until the service is restarted."""
    e.grow += value


@lever("fill")
def _fill(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that builds up within some ticks of a start, and then no more."""
    e.grow += share(s, channel) * value / 5
    e.grow_cap = share(s, channel) * value


@lever("heap")
def _heap(e: Effect, s: Service, channel: str, value: float) -> None:
    e.heap += share(s, channel) * value


@lever("orphans")
def _orphans(e: Effect, s: Service, channel: str, value: float) -> None:
    e.orphans = value


# Meters alone: nothing that customers notice.


def _unnoticed(e: Effect, s: Service, channel: str, value: float) -> None:
    """Read by the evidence only."""


UNNOTICED = ("meter", "bots")
for _name in UNNOTICED:
    lever(_name)(_unnoticed)


def stranger(service: Service) -> tuple[float, float]:
    """Requests in a tick from a client that is no customer, and the share of them that fail.

    It asks as much on any day. A lever says what share of all that the service is asked on an
    ordinary day fails for it.
    """
    meter, bots = UNNOTICED
    failing = service.levers.get(bots) or service.levers.get(meter)
    if not failing:
        return 0.0, 0.0
    fails = 1.0 if failing > 0.5 else 1 - (len(service.name) + 3 * service.pods) % 17 / 100
    asks = failing / fails
    return service.usual_load * asks / (1 - asks), fails


def no_customers(service: Service) -> float:
    """Share of the requests to a service now that fail for a client that is no customer."""
    asked, fails = service.stranger
    return fails * asked / (asked + service.load) if asked else 0.0


# Calls.


@lever("calls", 1.0)
def _calls(e: Effect, s: Service, channel: str, value: float) -> None:
    e.calls = {**e.calls, channel: value}


@lever("timeout", 1.0)
def _timeout(e: Effect, s: Service, channel: str, value: float) -> None:
    e.timeouts = {**e.timeouts, channel: value}


@lever("tries", 1.0)
def _tries(e: Effect, s: Service, channel: str, value: float) -> None:
    e.tries = {**e.tries, channel: value}


@lever("fallback")
def _fallback(e: Effect, s: Service, channel: str, value: float) -> None:
    e.breakers = e.breakers | {channel}


@lever("hits", 1.0)
def _hits(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= 1 - share(s, channel) * (1 - value)


def _cold(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= value


for _name in ("cold_cache", "small_cache"):
    lever(_name, 1.0)(_cold)


@lever("miss_cap", 9.0)
def _miss_cap(e: Effect, s: Service, channel: str, value: float) -> None:
    """Set by an action: at most so many misses, to the usual number; the rest go stale."""


@lever("pipeline", 1.0)
def _pipeline(e: Effect, s: Service, channel: str, value: float) -> None:
    e.stalled *= value
