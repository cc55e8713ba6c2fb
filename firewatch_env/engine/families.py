"""Every family of levers, and how one that is off takes effect."""

from __future__ import annotations

from firewatch_env.engine.effects import Effect, lever, share
from firewatch_env.engine.service import Service

SETTLES = 10  # ticks in which most of what a settling heap will hold is there

# Requests that fail or are refused.


@lever("errors")
def _errors(e: Effect, s: Service, channel: str, value: float) -> None:
    e.ok *= 1 - share(s, channel) * value


def _fails(name: str) -> None:
    """A lever without channel: the share of requests that it ends in an exception."""

    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.ok *= 1 - value


for _name in (
    "stale_build",
    "stale_revision",
    "leaders",
    "bad_keys",
    "bad_cache",
    "bad_process",
    "canary",
    "mixed",
):
    _fails(_name)


@lever("refuse")
def _refuse(e: Effect, s: Service, channel: str, value: float) -> None:
    e.allowed *= 1 - share(s, channel) * value


def _refuses(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.allowed *= 1 - value


for _name in ("clock", "role"):
    _refuses(_name)


@lever("limit", 9.0)
def _limit(e: Effect, s: Service, channel: str, value: float) -> None:
    """Requests a second that a feature may have, to the usual load of the whole service."""
    over = share(s, channel) - value
    e.limit += over if over > 0 else 0.0


@lever("quota", 9.0)
def _quota(e: Effect, s: Service, channel: str, value: float) -> None:
    e.limit += 1 - value if value < 1 else 0.0


# Calls that never arrive.


@lever("path")
def _path(e: Effect, s: Service, channel: str, value: float) -> None:
    e.path *= 1 - share(s, channel) * value


def _loses(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.path *= 1 - value


for _name in ("denied", "certificate", "endpoint", "stale_instances", "proxies", "slots_switch"):
    _loses(_name)


@lever("zone_lost")
def _zone_lost(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_lost = value


@lever("zone_lag")
def _zone_lag(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


@lever("minority")
def _minority(e: Effect, s: Service, channel: str, value: float) -> None:
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


@lever("zone_fails")
def _zone_fails(e: Effect, s: Service, channel: str, value: float) -> None:
    """Hardware of zone b that spoils answers; no meter says so."""
    e.zone_err = 1 - (1 - e.zone_err) * (1 - value)


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
    """Size of a feature's pool to its usual size; a pool binds as its feature is used."""
    room = value / share(s, channel) if share(s, channel) > 0 else 9.0
    e.slots = room if room < e.slots else e.slots


def _holds(name: str) -> None:
    """A lever without channel: the share of all slots that it makes useless."""

    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.slots = 1 - value if 1 - value < e.slots else e.slots


for _name in ("blocked", "streams", "reconnects"):
    _holds(_name)


@lever("pods")
def _pods(e: Effect, s: Service, channel: str, value: float) -> None:
    """Share of the pods that serve a feature and do not become ready."""
    e.ready *= 1 - share(s, channel) * value


def _unready(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        e.ready *= 1 - value


for _name in ("environment", "cold", "probes", "backoff", "rollout", "image"):
    _unready(_name)


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
    """Memory that stuck threads hold and go on taking until the pods are replaced."""
    e.grow += value


@lever("fill")
def _fill(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that builds up within some ticks of a start, and then no more."""
    e.grow += share(s, channel) * value / 5
    e.grow_cap = share(s, channel) * value


@lever("settle")
def _settle(e: Effect, s: Service, channel: str, value: float) -> None:
    """Memory that builds up after a start, ever more slowly."""
    e.grow += share(s, channel) * value / SETTLES
    e.grow_cap = share(s, channel) * value
    e.settles = True


@lever("heap")
def _heap(e: Effect, s: Service, channel: str, value: float) -> None:
    e.heap += share(s, channel) * value


@lever("orphans")
def _orphans(e: Effect, s: Service, channel: str, value: float) -> None:
    e.orphans = value


# Meters alone: nothing that customers notice.


def _unnoticed(name: str) -> None:
    @lever(name)
    def apply(e: Effect, s: Service, channel: str, value: float) -> None:
        """Read by the evidence only."""


UNNOTICED = ("meter", "bots")
for _name in UNNOTICED:
    _unnoticed(_name)


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


@lever("cold_cache", 1.0)
def _cold_cache(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= value


@lever("small_cache", 1.0)
def _small_cache(e: Effect, s: Service, channel: str, value: float) -> None:
    e.hits *= value


@lever("miss_cap", 9.0)
def _miss_cap(e: Effect, s: Service, channel: str, value: float) -> None:
    """Set by an action: at most so many misses, to the usual number; the rest go stale."""


@lever("pipeline", 1.0)
def _pipeline(e: Effect, s: Service, channel: str, value: float) -> None:
    e.stalled *= value
