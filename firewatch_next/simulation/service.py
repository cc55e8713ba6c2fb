"""State of the simulated system: services, their pods, and their clients of other services.

Everything here is plain mutable data. `tick.py` computes it, `edits.py` changes it, faults add
effects to it, and `history.py` records it. Units are in the field names: seconds, bytes, and shares
between 0 and 1. Rates are per second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from firewatch_next.simulation.kinds import (
    CONNECTION_REASONS,
    BreakerState,
    ErrorReason,
    ServiceKind,
)
from firewatch_next.simulation.things import (
    Certificate,
    Flag,
    Job,
    RecordSet,
    Statement,
    Tenant,
)
from openenv_kit.float_sum import sum_left_to_right

__all__ = [
    "CONNECTION_REASONS",
    "NEVER",
    "NO_LIMIT",
    "SECONDS_PER_TICK",
    "BreakerState",
    "CalleeClient",
    "ErrorReason",
    "Mode",
    "Pod",
    "PodEvent",
    "PodGroup",
    "Service",
    "ServiceKind",
]

SECONDS_PER_TICK = 30
NEVER = 1_000_000  # a tick that no world reaches
NO_LIMIT = 1e12  # requests per second that nobody sends


class Mode(NamedTuple):
    """One log-normal part of a latency distribution.

    Attributes:
        share: share of the requests, 0–1.
        median: seconds.
        step: ratio of two values half a standard deviation apart, above 1 (`latency.py`).
    """

    share: float
    median: float
    step: float


class PodEvent(NamedTuple):
    """A start or an end of a pod. `kind` is "started", "killed" or "stopped"."""

    tick: int
    service: str
    pod: str
    kind: str


@dataclass(slots=True)
class Pod:
    """One running copy of a service. Leaks and deaths belong to a pod.

    Attributes:
        ready_at_tick: first tick in which the pod gets traffic.
        started_tick: tick of the last start; memory and connections have leaked since then.
        times_killed: consecutive kills for memory, which set the back-off.
        leaked_connections: by callee, connections of the pod's pool that never come back.
        memory_noise: factor of the pod's base memory, about 1 ± 0.01, fixed for its life.
        is_frozen: its threads block each other and it answers nothing.
    """

    name: str
    zone: str
    version: str
    revision: str
    node: str
    ready_at_tick: int
    started_tick: int
    times_killed: int = 0
    leaked_bytes: float = 0.0
    leaked_connections: dict[str, float] = field(default_factory=dict)
    clock_offset_seconds: float = 0.0
    memory_noise: float = 1.0
    is_frozen: bool = False


@dataclass(slots=True)
class PodGroup:
    """Ready pods of one zone, version, revision and node.

    Groups are computed from the pods. In each tick the effect fields start at their neutral values
    and faults add to them (`add_errors` and plain assignment).

    Attributes:
        pods: number of ready pods. traffic_share: share of the service's requests.
        own_errors: share of the group's requests that fail, by reason (effect).
        cpu_factor: factor of the CPU seconds per request (effect).
        cpu_stolen_share: share of the CPU that other tenants of the node take (effect).
        extra_latency_seconds: added to every request of the group (effect).
        slow_share, slow_seconds: share of the group's requests with that delay added (effect).
        utilization: share of its CPU in use (computed while `Service.has_effects`).
    """

    zone: str
    version: str
    revision: str
    node: str
    pods: int
    traffic_share: float
    own_errors: dict[ErrorReason, float] = field(default_factory=dict)
    cpu_factor: float = 1.0
    cpu_stolen_share: float = 0.0
    extra_latency_seconds: float = 0.0
    slow_share: float = 0.0
    slow_seconds: float = 0.0
    utilization: float = 0.0

    def add_errors(self, reason: ErrorReason, share: float) -> None:
        """Let a further share of the group's requests fail for that reason."""
        self.own_errors[reason] = min(1.0, self.own_errors.get(reason, 0.0) + share)

    @property
    def own_error_ratio(self) -> float:
        """Share of the group's requests that fail for the service's own reasons."""
        return min(1.0, sum_left_to_right(self.own_errors.values()))


@dataclass(slots=True)
class CalleeClient:
    """A caller's client for one callee: its settings, effects of faults, and last results.

    Attributes:
        calls_per_request: calls for one admitted request of the caller.
        pool_size: connections per pod of the caller; 0 is an asynchronous client without a limit.
        acquire_timeout_seconds: longest wait for a connection of the pool.
        old_connections_share: share of the calls that use a connection older than the newest
            certificate or DNS record.
        is_optional: the caller answers without this callee if a call fails.
        is_backed_off: retries are spaced so widely that they add no load.
        fallback_bad_share: share of the requests answered without this callee that count as failed.
        rate_limit: calls per second that may be sent, 0 without a limit. It is for the time being.
        limited_share: share of the calls that it refuses.
        cache: name of the cache in front of the callee, or "". Its misses multiply the calls.
        calls_factor: factor of `calls_per_request` (effect).
        errors: share of the calls that fail in the client or on the way, by reason (effect).
        extra_latency_seconds: delay on the way of every call (effect).
        offered: calls per second incl. retries that ask the pool; flow: those that it lets through.
        attempts, late_share, failed_share, held_seconds: per call; the share that failed is after
            all attempts, `attempt_failed_share` is that of a single attempt.
        pool_passed_share: share that gets a connection; pool_in_use: share of the pool, 0–1.
        pool_wait_share, pool_wait_seconds: share of the calls that wait for one, and how long.
    """

    caller: str
    callee: str
    calls_per_request: float
    timeout_seconds: float
    max_attempts: int
    pool_size: int
    acquire_timeout_seconds: float
    old_connections_share: float = 1.0
    breaker: BreakerState = BreakerState.CLOSED
    is_optional: bool = False
    is_backed_off: bool = False
    fallback_bad_share: float = 0.5
    cache: str = ""
    propagates_deadline: bool = False
    rate_limit: float = 0.0
    limited_share: float = 0.0
    dead_share: float = 0.0  # of the callee
    usual_timeout_seconds: float = 0.0
    calls_factor: float = 1.0
    errors: dict[ErrorReason, float] = field(default_factory=dict)
    extra_latency_seconds: float = 0.0
    offered: float = 0.0
    flow: float = 0.0
    attempts: float = 1.0
    late_share: float = 0.0
    failed_share: float = 0.0
    attempt_failed_share: float = 0.0
    held_seconds: float = 0.0
    pool_passed_share: float = 1.0
    pool_in_use: float = 0.0
    pool_wait_share: float = 0.0
    pool_wait_seconds: float = 0.0
    late_pace: float = 0.25  # see damping.py; attempts_pace and held_pace likewise
    attempts_pace: float = 0.25
    held_pace: float = 0.25
    is_settled: bool = False  # the callee is calm and nothing moves any more (shortcut)

    def add_errors(self, reason: ErrorReason, share: float) -> None:
        """Let a further share of the calls fail for that reason."""
        self.errors[reason] = min(1.0, self.errors.get(reason, 0.0) + share)


@dataclass(slots=True)
class Service:
    """A service with its settings, things that faults can live on, and state of the last tick.

    Attributes:
        stack: name of the log format, such as "java_spring".
        is_managed: the runtime has a garbage collector that works harder when memory is short.
        entry_rate: requests of customers per second on an ordinary day; 0 inside the system.
        slow_after_seconds: a customer's request is slow after that.
        builds: versions in the order in which they were built. A fault of a version is in every
            later one (`has_build_since`). `revisions` likewise for the configuration.
        version_errors: share of the requests that fail on that version, set when an unsafe change
            is undone.
        zone_weights: share of the traffic that each zone's balancer weight asks for; empty is
            proportional to the ready pods. version_weights, node_weights likewise as factors.
        settings: every configuration key with its present value, also those without effect.
        cpu_cores, memory_limit_bytes, threads: per pod. threads 0: asynchronous, without a limit.
        queue_length: requests per pod that may wait for a CPU.
        thread_wait_seconds: longest wait for a thread.
        rate_limit: admitted requests per second, 0 without a limit. admission_limit: likewise, set
            for the time being.
        bot_load: requests per second of robots, within `extra_load` (effect). bot_limit: how many
            of them are let in.
        statements: of a store, by name.
        cache_megabytes, cache_ttl_seconds: settings of a cache; working_set_factor: size of what
            its callers ask for, to the usual one. key_miss_share: share of the lookups whose key
            cannot be in the cache (effect). `cache_hit_target` follows from them.
        groups: see `PodGroup`. `has_effects` is True while a fault acts on the service.
        usual_pods, usual_cpu_cores, usual_memory_limit_bytes, usual_load: of an ordinary day.
        grown_load_factor: demand that has come to stay, to the usual one. Capacity up to that
            factor is not taken away after the graded time (`grading/replay.py`).
        admitted_share, modes, errors: results of the last sub-step. `errors` is the share of the
            requests answered with a failure, by reason, incl. relayed ones; `failed_share` is their
            sum; `degraded_share` counts answers without an optional or broken callee.
    """

    name: str
    kind: ServiceKind
    stack: str
    is_managed: bool
    entry_rate: float
    slow_after_seconds: float
    cpu_seconds_per_request: float
    base_latency_seconds: float
    latency_step: float
    base_memory_bytes: float
    memory_bytes_per_request: float
    base_error_share: float
    cpu_cores: float
    memory_limit_bytes: float
    threads: int
    queue_length: int
    thread_wait_seconds: float
    pods: list[Pod]
    clients: list[CalleeClient]
    builds: list[str]
    revisions: list[str]
    version: str
    revision: str
    usual_pods: int
    usual_load: float = 0.0
    usual_cpu_cores: float = 0.0
    usual_memory_limit_bytes: float = 0.0
    usual_queue_length: int = 0
    grown_load_factor: float = 1.0
    rate_limit: float = 0.0
    admission_limit: float = 0.0
    bot_load: float = 0.0
    bot_limit: float = NO_LIMIT
    version_errors: dict[str, float] = field(default_factory=dict)
    zone_weights: dict[str, float] = field(default_factory=dict)
    version_weights: dict[str, float] = field(default_factory=dict)
    node_weights: dict[str, float] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Flag] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    statements: dict[str, Statement] = field(default_factory=dict)
    certificate: Certificate | None = None
    records: list[RecordSet] = field(default_factory=list)
    cache_hit_share: float = 0.0
    cache_hit_target: float = 0.0
    usual_cache_hits: float = 0.0
    cache_megabytes: float = 0.0
    usual_cache_megabytes: float = 0.0
    cache_ttl_seconds: float = 0.0
    usual_cache_ttl_seconds: float = 0.0
    working_set_factor: float = 1.0
    key_miss_share: float = 0.0
    backlog: float = 0.0
    replica_lag_seconds: float = 0.0
    disk_used_share: float = 0.4
    groups: list[PodGroup] = field(default_factory=list)
    has_effects: bool = False
    extra_load: float = 0.0  # requests per second beside callers and customers (effect)
    capacity_factor: float = 1.0  # of the CPU (effect)
    stale_share: float = 0.0  # of the answers, too old to be of use (effect)
    stale_instances: int = 0  # pods that are gone but still registered
    uses_all_replicas: bool = True  # of a store; False asks the primary or the majority only
    dead_share: float = 0.0  # of the connections, to pods killed in the tick before
    frozen_share: float = 0.0  # of the requests, to pods that never answer (effect)
    hot_node: str = ""  # node whose pods get `hot_factor` times the traffic of others
    hot_factor: float = 1.0
    load: float = 0.0
    admitted_share: float = 1.0
    utilization: float = 0.0
    gc_share: float = 0.0
    threads_in_use: float = 0.0
    memory_used_share: float = 0.0
    held_seconds: float = 0.0
    modes: tuple[Mode, ...] = ()
    errors: dict[ErrorReason, float] = field(default_factory=dict)
    failed_share: float = 0.0
    retriable_share: float = 0.0  # rejected with 503, which a caller retries
    degraded_share: float = 0.0
    admitted_pace: float = 0.25
    held_pace: float = 0.25
    is_settled: bool = False  # the time held has reached its target
    is_calm: bool = False
    calm_load_limit: float = 0.0  # load up to which a calm service stays calm
    groups_expire_tick: int = 0  # groups are computed anew from this tick on

    def has_build_since(self, version: str, first_bad: str) -> bool:
        """Return whether `version` was built at or after `first_bad`."""
        return self.builds.index(version) >= self.builds.index(first_bad)

    def has_revision_since(self, revision: str, first_bad: str) -> bool:
        """Return whether `revision` was written at or after `first_bad`."""
        return self.revisions.index(revision) >= self.revisions.index(first_bad)

    def client_of(self, callee: str) -> CalleeClient:
        """Return the client for that callee. Raises KeyError if the service does not call it."""
        for client in self.clients:
            if client.callee == callee:
                return client
        raise KeyError(f"{self.name} has no client for {callee!r}")

    def ready_pods(self, tick: int) -> list[Pod]:
        """Return the pods that get traffic at that tick."""
        return [pod for pod in self.pods if pod.ready_at_tick <= tick]
