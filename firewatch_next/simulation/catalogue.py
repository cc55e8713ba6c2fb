"""The services that worlds are made of, who calls whom, and what each kind of service is like."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.simulation.service import ServiceKind
from openenv_kit.bitstream import BitStream

APPLICATION_STACKS = ("java_spring", "go_logfmt", "python_uvicorn")
MANAGED_STACKS = frozenset({"java_spring", "go_logfmt", "node_pino", "dotnet"})
# Stacks with a thread per request. All others are asynchronous and have no thread limit.
THREADED_STACKS = {"java_spring": 200, "python_uvicorn": 80, "postgres": 300}


@dataclass(frozen=True)
class KindTraits:
    """What a kind of service is like before it is drawn (± 40 %).

    Attributes:
        stacks: log formats from which one is drawn.
        base_milliseconds: median time of a request without CPU. cpu_milliseconds: with it.
        latency_steps: ratios between values half a standard deviation apart.
        memory_megabytes: of an idle pod. cpu_cores: per pod.
    """

    stacks: tuple[str, ...]
    base_milliseconds: float
    cpu_milliseconds: float
    latency_steps: tuple[float, ...]
    memory_megabytes: float
    cpu_cores: tuple[float, ...]


KIND_TRAITS: dict[ServiceKind, KindTraits] = {
    ServiceKind.INGRESS: KindTraits(("nginx", "envoy"), 1.0, 0.8, (1.20, 1.25), 300, (2.0, 4.0)),
    ServiceKind.APPLICATION: KindTraits(
        APPLICATION_STACKS, 7.0, 4.0, (1.22, 1.28, 1.34), 700, (1.0, 2.0, 4.0)
    ),
    ServiceKind.WORKER: KindTraits(APPLICATION_STACKS, 9.0, 4.0, (1.25, 1.32), 600, (1.0, 2.0)),
    ServiceKind.STORE: KindTraits(("postgres",), 2.5, 1.5, (1.24, 1.30), 4000, (8.0, 16.0)),
    ServiceKind.CACHE: KindTraits(("redis",), 0.5, 0.15, (1.15, 1.20), 2500, (2.0, 4.0)),
    ServiceKind.QUEUE: KindTraits(("kafka",), 2.0, 0.5, (1.20, 1.25), 3000, (4.0, 8.0)),
    ServiceKind.THIRD_PARTY: KindTraits(("none",), 45.0, 2.0, (1.20, 1.26), 1000, (8.0,)),
}


@dataclass(frozen=True)
class CallPlan:
    """A call in the catalogue. `cache` is the cache in front of the callee, or ""."""

    callee: str
    per_request: float
    is_optional: bool
    cache: str


@dataclass(frozen=True)
class ServicePlan:
    """A service in the catalogue."""

    name: str
    kind: ServiceKind
    calls: tuple[CallPlan, ...]


# name kind callee:calls-per-request …; "?" before a callee that the caller can do without;
# "callee:calls<cache" is asked only after a miss of the cache, and "calls" is per miss.
_TABLE = """
web-gateway ingress storefront-api:0.8 session-api:0.5 ?banner-api:0.3
mobile-gateway ingress mobile-bff:1 session-api:0.6
partner-gateway ingress partner-api:1 ?audit-api:0.1
storefront-api application checkout-api:0.4 search-api:0.5 catalog-api:0.6 ?recommend-api:0.4
mobile-bff application profile-api:0.7 cart-api:0.6 ?recommend-api:0.3 ?banner-api:0.2
partner-api application catalog-api:0.6 quota-api:1 order-api:0.4
session-api application session-cache:1 auth-api:0.3
auth-api application token-cache:1 identity-db:1<token-cache key-service:0.2
key-service application secrets-store:0.5
checkout-api application cart-api:0.5 payment-api:0.6 order-api:0.9 pricing-api:1 ?audit-api:0.1
cart-api application cart-cache:1 cart-db:1<cart-cache pricing-api:0.4
order-api application order-db:1.2 order-queue:0.5 inventory-api:0.8 ?notify-api:0.2
payment-api application ledger-api:0.6 fraud-api:0.7 card-network:0.5 payment-db:0.8
fraud-api application feature-store:1 ?scoring-api:0.6
scoring-api application model-cache:1 model-store:1<model-cache
ledger-api application ledger-db:1.1 ledger-cache:0.6
inventory-api application inventory-cache:1 stock-db:1<inventory-cache warehouse-api:0.3
warehouse-api application warehouse-db:0.8 carrier-network:0.2
pricing-api application price-cache:1 price-db:1<price-cache ?promo-api:0.4
promo-api application promo-db:0.5
catalog-api application catalog-cache:1 catalog-db:1<catalog-cache media-api:0.3
media-api application media-store:0.6 media-cache:0.5
search-api application search-index:1 catalog-cache:0.4 ?ranking-api:0.5
ranking-api application feature-store:0.6
recommend-api application feature-store:0.8 model-cache:0.5
profile-api application profile-cache:1 profile-db:1<profile-cache
quota-api application quota-cache:1
banner-api application media-store:0.3
notify-api application mail-queue:0.5 mail-provider:0.3
audit-api application audit-store:0.5
fulfilment-worker worker order-db:0.6 warehouse-db:0.4
mail-worker worker mail-provider:0.5
order-queue queue fulfilment-worker:1
mail-queue queue mail-worker:1
card-network third_party
carrier-network third_party
mail-provider third_party
session-cache cache
token-cache cache
cart-cache cache
price-cache cache
ledger-cache cache
catalog-cache cache
media-cache cache
profile-cache cache
inventory-cache cache
model-cache cache
quota-cache cache
identity-db store
secrets-store store
cart-db store
order-db store
payment-db store
feature-store store
model-store store
ledger-db store
stock-db store
warehouse-db store
price-db store
promo-db store
catalog-db store
media-store store
search-index store
profile-db store
audit-store store
"""


def _parse_call(text: str) -> CallPlan:
    callee, _, rate = text.removeprefix("?").partition(":")
    rate, _, cache = rate.partition("<")
    return CallPlan(callee, float(rate), text.startswith("?"), cache)


def _parse_plan(line: str) -> ServicePlan:
    name, kind, *calls = line.split()
    return ServicePlan(name, ServiceKind(kind), tuple(_parse_call(text) for text in calls))


CATALOGUE = {plan.name: plan for plan in map(_parse_plan, _TABLE.strip().splitlines())}
INGRESSES = tuple(p.name for p in CATALOGUE.values() if p.kind is ServiceKind.INGRESS)


def draw_services(draws: BitStream, count: int) -> list[str]:
    """Return the names of a connected set of services, callers before callees.

    It grows from an ingress by callees of services in the set. From 20 services on there is a
    second ingress, and from 6 on at least one store and one cache. A call with a cache in front
    always comes with its cache.

    Args:
        draws: stream of the task.
        count: number of services, 3 to 60.
    """
    if not 3 <= count <= 60:
        raise ValueError(f"a world has 3 to 60 services, not {count}")
    for _ in range(1000):
        chosen = _grow(draws, count)
        kinds = {CATALOGUE[name].kind for name in chosen}
        needed = {ServiceKind.STORE, ServiceKind.CACHE} if count >= 6 else {ServiceKind.APPLICATION}
        if len(chosen) == count and needed <= kinds:
            return order_callers_first(chosen)
    raise RuntimeError(f"no set of {count} services was found")


def order_callers_first(names: set[str]) -> list[str]:
    """Return these services with every caller before its callees."""
    left, ordered = sorted(names), []
    while left:
        called = {call.callee for name in left for call in CATALOGUE[name].calls}
        ready = [name for name in left if name not in called]
        if not ready:
            raise ValueError(f"services call each other in a circle: {', '.join(left)}")
        ordered += ready
        left = [name for name in left if name in called]
    return ordered


def _grow(draws: BitStream, count: int) -> set[str]:
    ingresses = draws.shuffled_copy(INGRESSES)
    chosen = set(ingresses[: 1 if count < 20 else 2 if count < 40 else 3])
    while len(chosen) < count:
        frontier = sorted(
            {
                call.callee
                for name in chosen
                for call in CATALOGUE[name].calls
                if call.callee not in chosen and (not call.cache or call.cache in chosen)
            }
        )
        if not frontier:
            break
        chosen.add(draws.choose(frontier))
    return chosen
