"""A cache that answers fewer lookups: a smaller size or time to live, other keys, or more data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from firewatch_next.faults.capacity import cpu_use, pool_use
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    Fault,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Repair,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.numbers import final_level, first_level
from firewatch_next.faults.places import reach_of, reach_share, version_places
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    set_config,
    suspect_at,
    undo_at_onset,
    undo_of_key,
)
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.caches import find_size_for_hits, update_hit_target
from firewatch_next.simulation.service import SECONDS_PER_TICK, CalleeClient, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

SIZE, LIFETIME = "cache_mb", "cache_ttl_s"
# Load of the store behind, or use of the pool to it, to what it can take.
MIN_OVERLOAD, MAX_OVERLOAD = 1.05, 1.9
MIN_KEPT_HITS = 0.05
MAX_SET_FACTOR = 3.9  # the largest cache has 4 times the usual size
_GROWTH_TICKS = 8

MISSES = LogEvent(
    "cache_miss.misses",
    LogLevel.INFO,
    ("hits", "misses", "evicted"),
    {
        "redis": Phrasings(
            ("keyspace_hits:{hits} keyspace_misses:{misses} evicted_keys:{evicted}",
             "stats since last report: {misses} misses, {hits} hits, {evicted} keys evicted"),
            "interval evicted={evicted} hit={hits} miss={misses}",
            "lookups found {hits} absent {misses} dropped {evicted}",
        ),
        "any": Phrasings(
            ("cache: {hits} hits, {misses} misses, {evicted} evictions",
             "{misses} lookups missed and {hits} hit; {evicted} entries evicted"),
            "found {hits}, not found {misses}, removed for space {evicted}",
            "hit={hits} absent={misses} dropped={evicted}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class CacheMiss(SettingFault):
    """A cache with a lower hit ratio. A setting acts by itself.

    Attributes:
        cache: name of the cache.
        lost_share: share of the usual hits that other keys lose. set_factor: size of what callers
            ask for to the usual, once it has grown.
    """

    cache: str
    lost_share: float = 0.0
    set_factor: float = 1.0

    def apply(self, world: World, tick: int) -> None:
        cache = world.services[self.cache]
        if self.place.thing is Thing.VERSION:
            share = reach_share(reach_of(world.services[self.place.service], self.place))
            if share > 0.0:
                world.mark_affected(cache)
                cache.key_miss_share = self.lost_share * share
                update_hit_target(cache)
        elif self.place.thing is Thing.TENANT and cache.working_set_factor < self.set_factor:
            world.mark_affected(cache)
            age = min(tick - self.start_tick + 1, _GROWTH_TICKS)
            cache.working_set_factor = 1.0 + (self.set_factor - 1.0) * age / _GROWTH_TICKS
            update_hit_target(cache)
        lookups = cache.load * SECONDS_PER_TICK / len(cache.pods)
        misses = lookups * (1.0 - cache.cache_hit_share)
        is_too_small = self.place.thing is Thing.TENANT or self.place.name == SIZE
        fields = {
            "hits": int(lookups - misses),
            "misses": int(misses),
            "evicted": int(0.9 * misses) if is_too_small else 0,
        }
        if cache.cache_hit_share < 0.95 * cache.usual_cache_hits:
            world.emit_log(cache, MISSES, len(cache.pods), fields)


class _Readers(NamedTuple):
    """The client of a store behind a cache that fills first, and how much it can grow."""

    caller: Service
    client: CalleeClient


def _readers(world: World, cache: str) -> list[_Readers]:
    """Return the clients that ask a store after a miss of the cache."""
    return [
        _Readers(service, client)
        for service in world.ordered
        for client in service.clients
        if client.cache == cache
    ]


def find_places(world: World) -> list[Place]:
    """Return settings of caches, their tenants, and builds of the services that read them."""

    def has_readers(service: Service, key: str) -> bool:
        return service.kind is ServiceKind.CACHE and bool(_readers(world, service.name))

    places = setting_places(world, (SIZE, LIFETIME), has_readers)
    for cache in world.ordered:
        if has_readers(cache, ""):
            for tenant in cache.tenants:
                places.append(Place(cache.name, Thing.TENANT, tenant, Origin.UNLISTED))
    for place in version_places(world, lambda service: service.kind is ServiceKind.APPLICATION):
        for client in world.services[place.service].clients:
            if client.cache:
                elsewhere = replace(place, origin=Origin.CHANGE_ELSEWHERE, callee=client.cache)
                places.append(elsewhere)
    return places


def start(world: World, place: Place, severity: Severity) -> CacheMiss:
    """Return a loss of hits with which a store or a pool gets 1.05 to 1.9 of what it can take."""
    cache = world.services[place.callee or place.service]
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    kept = max(MIN_KEPT_HITS, _kept_hits(world, cache, overload))
    tick = place.change.tick if place.change is not None else severity.start_tick
    if place.thing is Thing.VERSION:
        return CacheMiss(place, tick, place.change, "", cache.name, lost_share=1.0 - kept)
    size = find_size_for_hits(kept)
    if place.thing is Thing.TENANT:
        return CacheMiss(
            place, tick, None, "", cache.name, set_factor=min(MAX_SET_FACTOR, 1.0 / size)
        )
    usual = cache.usual_cache_megabytes if place.name == SIZE else cache.usual_cache_ttl_seconds
    value = str(max(1, int(usual * size)))
    faulty = give_faulty_value(world, place, severity, value)
    return CacheMiss(place, *faulty, cache.name)


def _kept_hits(world: World, cache: Service, overload: float) -> float:
    """Return the share of the usual hits at which the first store or pool has that use."""
    kept = 0.0
    for caller, client in _readers(world, cache.name):
        store = world.services[client.callee]
        factor = 1.0 + (overload / cpu_use(store) - 1.0) * store.load / client.flow
        used = pool_use(caller, client)
        factor = min(factor, overload / used) if used > 0.0 else factor
        hits = cache.usual_cache_hits
        kept = max(kept, (1.0 - (1.0 - hits) * factor) / hits)
    return kept


def _bigger_cache_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, CacheMiss) or fault.place.thing is not Thing.TENANT:
        return None
    cache = world.services[fault.cache]
    megabytes = int(cache.usual_cache_megabytes * fault.set_factor + 1.0)
    return ToolCall("scale_service", {"service": cache.name, "cache_mb": megabytes})


def _limit_misses_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, CacheMiss):
        return None
    cache = world.services[fault.cache]
    flow = 0.0
    for _, client in _readers(world, cache.name):
        flow = max(flow, cache.usual_load * client.calls_per_request)
    value = int(2.0 * flow * (1.0 - cache.usual_cache_hits) + 1.0)
    arguments = {"service": cache.name, "kind": "cache_misses", "value": value}
    return ToolCall("set_limit", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        *(ask_metrics(name, "cache_hit_ratio", minutes=90) for name in suspect.caches),
        *(ask_diagnostic(name, "cache") for name in suspect.caches),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the hit ratio of a cache in front of the service or a callee has fallen."""
    count = len(suspect.caches)
    for position, cache in enumerate(suspect.caches):
        fall = _measure_fall(replies[position], Place(cache, Thing.TENANT, "", Origin.UNLISTED))
        if fall < 0.05:
            continue
        call = undo_of_key(suspect, cache, SIZE, LIFETIME)
        for row in replies[count + position].rows:
            call = call or _call_for_settings(cache, row)
        for reader in (suspect.service, *suspect.callers):
            call = call or undo_at_onset(suspect, reader, ("deploy",), slack_minutes=8.0)
        if call is not None:
            return Verdict(fall, (call,))
    return None


def _call_for_settings(cache: str, row: Mapping[str, str | float]) -> ToolCall | None:
    """Return the call that restores a short time to live, or enlarges a cache that evicts."""
    usual = float(row["usual_ttl_s"])
    if float(row["ttl_s"]) < 0.9 * usual:
        return set_config(cache, LIFETIME, str(int(usual)))
    if float(row["evicted_per_second"]) > 0.0:
        megabytes = int(4.0 * float(row["usual_mb"]))
        return ToolCall("scale_service", {"service": cache, "cache_mb": megabytes})
    return None


def _question_hits(place: Place) -> Question:
    return ask_metrics(suspect_at(place, place.callee).service, "cache_hit_ratio", minutes=90)


def _measure_fall(reply: ParsedReply, place: Place) -> float:
    series = reply.find_series("cache_hit_ratio")
    return first_level(series) - final_level(series)


FAULT_TYPE = FaultType(
    name="cache_miss",
    levels=levels("emhx"),
    origins={
        Origin.SAFE_CHANGE: 0.35,
        Origin.CHANGE_ELSEWHERE: 0.3,
        Origin.UNLISTED: 0.35,
    },
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=False,
    log_events=(MISSES,),
    repairs=(
        (UNDO_CHANGE,),
        (RESTORE_SETTING,),
        (Repair("a larger cache", _bigger_cache_call, wait_ticks=10),),
    ),
    mitigations=(Repair("limit the misses", _limit_misses_call, wait_ticks=1),),
    decisive=(
        EvidenceCheck(
            "fewer hits", _question_hits, _measure_fall, 0.05,
            ("excess_calls", "slow_query", "traffic_growth"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
