"""Builds a world on an ordinary day: sizes, settings, pods and demand are drawn per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firewatch_next.simulation.answer import settle_service
from firewatch_next.simulation.catalogue import (
    CATALOGUE,
    KIND_TRAITS,
    MANAGED_STACKS,
    THREADED_STACKS,
    CallPlan,
    draw_services,
)
from firewatch_next.simulation.platform_settings import list_platform_settings
from firewatch_next.simulation.pods import compute_groups, memory_noise, pod_suffix
from firewatch_next.simulation.service import (
    NEVER,
    CalleeClient,
    Pod,
    Service,
    ServiceKind,
)
from firewatch_next.simulation.settings import list_effective_settings
from firewatch_next.simulation.stored_records import list_initial_records
from firewatch_next.simulation.things import USUAL_ISSUER, Certificate, Flag, Job, Statement, Tenant
from firewatch_next.simulation.tick import send_load
from firewatch_next.simulation.world import PAST_TICKS, World
from openenv_kit.bitstream import BitStream

FUTURE_TICKS = 140  # 1.5 × 50 ticks of the longest level, and 60 after the last declaration
ZONES = ("eu-1a", "eu-1b", "eu-1c")
NODES_PER_ZONE = 2
CUSTOMERS_PER_SECOND = 3000.0
CACHE_TTL_SECONDS = 900.0
_ENTRY_SLOW_SECONDS = 1.5
USUAL_RATE_LIMIT_FACTOR = 6.0  # to the load of an ordinary day
_COLUMNS = ("customer_id", "created_at", "status", "region", "parent_id", "external_ref")
_FLAG_WORDS = (
    "async_receipts", "fast_path", "new_rounding", "bulk_reads", "strict_checks", "lazy_loading",
    "smart_batching", "new_parser", "shadow_reads", "compact_format", "early_hints", "deep_links",
)  # fmt: skip
_TENANT_NAMES = ("acme", "bluebird", "corvus", "delmar", "everest", "fairway", "granite", "harbor")
_NEUTRAL_SETTINGS = (
    ("log_level", ("INFO", "WARN")),
    ("metrics_interval_s", ("10", "15", "30")),
    ("keep_alive_s", ("30", "60", "75")),
    ("shutdown_grace_s", ("15", "20", "30")),
)


def build_world(
    draws: BitStream, count: int, list_stacks: Callable[[ServiceKind], Sequence[str]] | None = None
) -> World:
    """Return a calm world at the tick before its first one, `-PAST_TICKS`.

    Args:
        draws: stream of the task's world.
        count: number of services, 3 to 60.
        list_stacks: returns the stacks to draw from by kind; None takes those of the catalogue.
    """
    services = {
        name: _draw_service(name, draws, list_stacks) for name in draw_services(draws, count)
    }
    for service in services.values():
        _add_clients(service, services, draws)
    entries = [s for s in services.values() if s.kind is ServiceKind.INGRESS]
    for entry in entries:
        entry.entry_rate = CUSTOMERS_PER_SECOND / len(entries) * _around(draws)
    first_tick = 1 - PAST_TICKS
    world = World(list(services.values()), _draw_demand(draws, first_tick), first_tick)
    _set_timeouts(world, draws)
    send_load(world.links, 1.0)
    for service in world.ordered:
        _size_service(service, draws)
        _add_things(service, draws)
        service.settings.update(list_platform_settings(world, service))
        if service.kind in (ServiceKind.STORE, ServiceKind.CACHE):
            service.records = list_initial_records(world, service)
        if service.kind is ServiceKind.STORE:
            _add_statements(world, service)
    return world


def _around(draws: BitStream) -> float:
    """Return a factor of 1 ± 0.4."""
    return draws.uniform(0.6, 1.4)


def _draw_service(
    name: str, draws: BitStream, list_stacks: Callable[[ServiceKind], Sequence[str]] | None
) -> Service:
    plan = CATALOGUE[name]
    traits = KIND_TRAITS[plan.kind]
    allowed = list_stacks(plan.kind) if list_stacks is not None else ()
    stack = draws.choose(allowed or traits.stacks)
    memory = traits.memory_megabytes * 1e6 * _around(draws)
    major, minor = 1 + draws.integer_below(9), 3 + draws.integer_below(30)
    revision = 100 + draws.integer_below(300)
    builds = [f"{major}.{minor - back}.{draws.integer_below(6)}" for back in (2, 1, 0)]
    hits = draws.uniform(0.9, 0.96) if plan.kind is ServiceKind.CACHE else 0.0
    is_third_party = plan.kind is ServiceKind.THIRD_PARTY
    cache_megabytes = 64 * (1 + int(memory / 128e6))
    return Service(
        name=name,
        kind=plan.kind,
        stack=stack,
        is_managed=stack in MANAGED_STACKS,
        entry_rate=0.0,
        slow_after_seconds=_ENTRY_SLOW_SECONDS,
        cpu_seconds_per_request=traits.cpu_milliseconds * _around(draws) / 1000.0,
        base_latency_seconds=traits.base_milliseconds * _around(draws) / 1000.0,
        latency_step=draws.choose(traits.latency_steps),
        base_memory_bytes=memory,
        memory_bytes_per_request=draws.uniform(0.2e6, 0.6e6),
        base_error_share=0.0 if is_third_party else draws.uniform(0.00002, 0.0002),
        cpu_cores=draws.choose(traits.cpu_cores),
        memory_limit_bytes=round(memory / draws.uniform(0.45, 0.6) / 1e6) * 1e6,
        threads=THREADED_STACKS.get(stack, 0),
        queue_length=50 + 10 * draws.integer_below(11),
        thread_wait_seconds=0.1,
        pods=[],
        clients=[],
        builds=builds,
        revisions=[f"r{revision - 1}", f"r{revision}"],
        version=builds[-1],
        revision=f"r{revision}",
        usual_pods=0,
        cache_hit_share=hits,
        cache_hit_target=hits,
        disk_used_share=draws.uniform(0.3, 0.6),
        usual_cache_hits=hits,
        cache_megabytes=float(cache_megabytes),
        usual_cache_megabytes=float(cache_megabytes),
        cache_ttl_seconds=CACHE_TTL_SECONDS,
        usual_cache_ttl_seconds=CACHE_TTL_SECONDS,
    )


def _add_clients(service: Service, services: dict[str, Service], draws: BitStream) -> None:
    for call in CATALOGUE[service.name].calls:
        if call.callee in services and (not call.cache or call.cache in services):
            service.clients.append(_draw_client(service, call, services, draws))


def _draw_client(
    service: Service, call: CallPlan, services: dict[str, Service], draws: BitStream
) -> CalleeClient:
    is_store = services[call.callee].kind in (ServiceKind.STORE, ServiceKind.CACHE)
    retries = not is_store and service.kind is ServiceKind.APPLICATION
    return CalleeClient(
        caller=service.name,
        callee=call.callee,
        calls_per_request=call.per_request * draws.uniform(0.85, 1.15),
        timeout_seconds=0.0,
        max_attempts=2 if retries and draws.uniform() < 0.5 else 1,
        pool_size=0,
        acquire_timeout_seconds=0.1,
        is_optional=call.is_optional,
        fallback_bad_share={"store": 0.8, "cache": 0.3}.get(
            services[call.callee].kind, 0.25 if call.is_optional else 0.5
        ),
        cache=call.cache,
    )


def _set_timeouts(world: World, draws: BitStream) -> None:
    """Set timeouts so that a caller waits longer than its callees wait for theirs."""
    for link in reversed(world.links):
        service = link.service
        service.pods = [Pod("", ZONES[0], service.version, service.revision, "", -NEVER, -NEVER)]
        compute_groups(service, 0)
        for client, callee, _ in link.calls:
            below = max((c.timeout_seconds for c in callee.clients), default=0.0)
            timeout = max(
                0.25 * draws.uniform(1.0, 1.6), 12.0 * callee.modes[0].median, 1.25 * below
            )
            client.timeout_seconds = int(timeout * 100.0 + 0.5) / 100.0
            client.usual_timeout_seconds = client.timeout_seconds
        settle_service(service, 1, link.calls)
    for service in world.ordered:
        timeouts = [client.timeout_seconds for client in world.incoming[service.name]]
        longest_wait = min([0.3, *timeouts]) / 3.0
        service.thread_wait_seconds = longest_wait
        for client in service.clients:
            client.acquire_timeout_seconds = longest_wait


def _size_service(service: Service, draws: BitStream) -> None:
    """Set pods, CPU, threads and pools so that about two fifths of each are in use."""
    pods = 4 + draws.integer_below(9)
    use = draws.uniform(0.34, 0.44)
    busy_cores = service.load * service.cpu_seconds_per_request
    quarters = int(4.0 * busy_cores / (pods * use)) + 1
    service.cpu_cores = quarters / 4.0
    service.usual_pods, service.usual_load = pods, service.load
    service.usual_cpu_cores = service.cpu_cores
    service.usual_queue_length = service.queue_length
    service.usual_memory_limit_bytes = service.memory_limit_bytes
    if service.kind in (ServiceKind.INGRESS, ServiceKind.APPLICATION):
        service.rate_limit = 10.0 * int(USUAL_RATE_LIMIT_FACTOR * service.load / 10.0 + 1.0)
    service.pods = [_draw_pod(service, number, draws) for number in range(pods)]
    service.groups_expire_tick = -NEVER
    if service.threads:
        busy = service.load * service.held_seconds / pods
        service.threads = 10 * (int(busy / 0.25 / 10.0) + 2)
    for client in service.clients:
        # Ingresses and asynchronous stacks share few connections among many calls.
        if service.kind is ServiceKind.INGRESS:
            continue
        busy = client.offered * client.held_seconds / pods
        client.pool_size = 10 * (int(busy / draws.uniform(0.22, 0.34) / 10.0) + 1)


def _draw_pod(service: Service, number: int, draws: BitStream) -> Pod:
    zone = ZONES[number % len(ZONES)]
    node = f"node-{zone[-2:]}-{1 + draws.integer_below(NODES_PER_ZONE)}"
    unique = draws.integer_below(1_000_000)
    return Pod(
        name=f"{service.name}-{pod_suffix(unique)}",
        zone=zone,
        version=service.version,
        revision=service.revision,
        node=node,
        ready_at_tick=-NEVER,
        started_tick=-PAST_TICKS - draws.integer_below(5000),
        memory_noise=memory_noise(unique),
    )


def _add_things(service: Service, draws: BitStream) -> None:
    """Add settings, flags, tenants and a certificate, on which faults can live."""
    service.settings = list_effective_settings(service)
    service.settings["session_affinity"] = "none"
    for key, values in _NEUTRAL_SETTINGS:
        service.settings[key] = draws.choose(values)
    if service.kind in (ServiceKind.APPLICATION, ServiceKind.WORKER):
        prefix = service.name.rsplit("-", 1)[0].replace("-", "_")
        words = draws.shuffled_copy(_FLAG_WORDS)
        for word in words[: 2 + draws.integer_below(3)]:
            name = f"{prefix}.{word}"
            service.flags[name] = Flag(name, draws.choose((0.0, 25.0, 50.0, 100.0)))
    for tenant in draws.shuffled_copy(_TENANT_NAMES)[:3]:
        service.tenants[tenant] = Tenant(tenant)
    expires = 2880 * (20 + draws.integer_below(60))  # 2,880 ticks are a day
    service.certificate = Certificate(f"{service.name}.internal", USUAL_ISSUER, expires)


def _add_statements(world: World, store: Service) -> None:
    """Add two statements of each caller, and a nightly job. Nothing is drawn."""
    noun = store.name.rsplit("-", 1)[0].replace("-", "_")
    callers = [client.caller for client in world.incoming[store.name]]
    for position, caller in enumerate(callers):
        for offset, share in ((0, 0.6), (1, 0.4)):
            column = _COLUMNS[(2 * position + offset + len(noun)) % len(_COLUMNS)]
            name = f"{caller.rsplit('-', 1)[0].replace('-', '_')}.find_{noun}_by_{column}"
            index = f"ix_{noun}_{column}"
            store.statements[name] = Statement(name, caller, share, index, -NEVER)
    name = f"{noun}_export"
    store.jobs[name] = Job(name, "reporting", False, -NEVER, 0.0, store.cpu_seconds_per_request)


def _draw_demand(draws: BitStream, first_tick: int) -> list[float]:
    """Return the demand of each tick: a slow daily curve of ± 4 % and AR(1) noise of ± 1 %."""
    count = FUTURE_TICKS - first_tick + 1
    level, slope, noise = draws.uniform(0.97, 1.03), 0.0004, 0.0
    if draws.uniform() < 0.5:
        slope = -slope
    demand = []
    for _ in range(count):
        if not 0.96 <= level + slope <= 1.04:
            slope = -slope
        level += slope
        noise = 0.7 * noise + draws.uniform(-0.008, 0.008)
        demand.append(level * (1.0 + noise))
    return demand
