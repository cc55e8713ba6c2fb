"""More requests than the system was built for: customers who stay, or robots."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.changes.change import Change
from firewatch_next.faults.capacity import cpu_use, loads_from_entry, pool_use
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
from firewatch_next.faults.numbers import first_level
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, growth, suspect_at
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

CUSTOMERS, ROBOTS = "customers", "robots"
GROWTH_TICKS = 6
# Load of the fullest service to the load at which it is full.
MIN_OVERLOAD, MAX_OVERLOAD = 1.03, 1.6
MAX_GROWTH = 4.0
MAX_FULL_SERVICES = 5
TARGET_USE = 0.5  # of CPU and pools once the capacity has grown
_NEARLY_FULL = 0.85

REQUESTS = LogEvent(
    "traffic_growth.requests",
    LogLevel.INFO,
    ("requests", "clients"),
    {
        "nginx": Phrasings(
            ("limit_req zone report: {requests} requests, {clients} keys in the last 30 s",
             "shared zone holds {clients} client keys; {requests} requests since last report"),
            "30 s window: {clients} distinct keys, {requests} requests counted",
            "zone summary keys={clients} hits={requests}",
        ),
        "envoy": Phrasings(
            ("downstream_rq_total +{requests} since last flush, {clients} downstream addresses",
             "stats flush: {requests} downstream requests from {clients} addresses"),
            "flush interval: addresses {clients}, downstream_rq {requests}",
            "listener totals rq={requests} peers={clients}",
        ),
        "any": Phrasings(
            ("served {requests} requests from {clients} clients in 30 s",
             "{clients} clients sent {requests} requests in the last 30 s"),
            "last interval: {requests} requests, {clients} clients",
            "interval totals clients={clients} requests={requests}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class TrafficGrowth:
    """Requests beyond the usual at one entry.

    Attributes:
        growth: requests of the entry to the usual ones, from `GROWTH_TICKS` after the start on.
        factors: growth of each service's load. full_services: those that need more capacity.
    """

    place: Place
    start_tick: int
    growth: float
    factors: dict[str, float]
    full_services: tuple[str, ...]
    change: Change | None = None

    @property
    def is_of_robots(self) -> bool:
        """Whether robots send the requests, which then can be refused for good."""
        return self.place.name == ROBOTS

    def apply(self, world: World, tick: int) -> None:
        entry = world.services[self.place.service]
        world.mark_affected(entry)
        age = tick - self.start_tick + 1
        extra = entry.entry_rate * (self.growth - 1.0)
        if age < GROWTH_TICKS:
            extra *= age / GROWTH_TICKS
        clients = entry.entry_rate * 6.0
        if self.is_of_robots:
            entry.bot_load = extra = min(extra, entry.bot_limit)
            clients += 12.0
        else:
            clients += extra * 6.0
            for name, factor in self.factors.items():
                world.services[name].grown_load_factor = factor
        entry.extra_load += extra
        requests = int(entry.load * SECONDS_PER_TICK / len(entry.pods))
        fields = {"requests": requests, "clients": int(clients / len(entry.pods))}
        world.emit_log(entry, REQUESTS, len(entry.pods), fields)


def find_places(world: World) -> list[Place]:
    """Return customers and robots of each entry."""
    return [
        Place(entry.name, Thing.TRAFFIC, source, Origin.UNLISTED)
        for entry in world.entries
        for source in (CUSTOMERS, ROBOTS)
    ]


def start(world: World, place: Place, severity: Severity) -> TrafficGrowth:
    """Return a growth that gives the fullest service 1.03 to 1.6 times the load it can serve."""
    entry = world.services[place.service]
    shares = {
        name: load / world.services[name].load
        for name, load in loads_from_entry(world, entry).items()
        if world.services[name].kind is not ServiceKind.THIRD_PARTY
    }
    uses = {name: _fullest_use(world.services[name]) for name in shares}
    full_at = min(1.0 + (1.0 / uses[name] - 1.0) / shares[name] for name in shares)
    overload = MIN_OVERLOAD + (MAX_OVERLOAD - MIN_OVERLOAD) * severity.size
    factor = min(MAX_GROWTH, full_at * overload)
    factors = {name: 1.0 + (factor - 1.0) * share for name, share in shares.items()}
    full = sorted(
        (name for name in shares if uses[name] * factors[name] > _NEARLY_FULL),
        key=lambda name: -uses[name] * factors[name],
    )
    return TrafficGrowth(
        place, severity.start_tick, factor, factors, tuple(full[:MAX_FULL_SERVICES])
    )


def _fullest_use(service: Service) -> float:
    return max([cpu_use(service), *(pool_use(service, client) for client in service.clients)])


def _make_add_pods(position: int, count: int) -> Repair:
    """Return the step that adds pods to the service at a position, where so many are full."""

    def make_call(world: World, fault: Fault) -> ToolCall | None:
        if not isinstance(fault, TrafficGrowth) or fault.is_of_robots:
            return None
        if len(fault.full_services) != count:
            return None
        return _pods_call(world, fault, fault.full_services[position])

    return Repair("more pods where they are full", make_call, wait_ticks=1)


def _pods_call(world: World, fault: TrafficGrowth, name: str) -> ToolCall:
    service = world.services[name]
    needed = _fullest_use(service) * fault.factors[name] / TARGET_USE
    if service.load > 1.3 * service.usual_load:  # it has grown already
        needed = fault.factors[name]
    pods = min(3 * service.usual_pods, int(service.usual_pods * max(1.0, needed) + 0.999))
    return ToolCall("scale_service", {"service": name, "replicas": pods})


def _limit_robots_call(world: World, fault: Fault) -> ToolCall | None:
    if fault.place.name != ROBOTS:
        return None
    return ToolCall("set_limit", {"service": fault.place.service, "kind": "bots", "value": 0})


def _more_pods_for_robots_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, TrafficGrowth) or not fault.is_of_robots:
        return None
    return _pods_call(world, fault, fault.full_services[0])


def _shed_call(world: World, fault: Fault) -> ToolCall | None:
    entry = world.services[fault.place.service]
    value = int(entry.usual_load * 1.1)
    return ToolCall("set_limit", {"service": entry.name, "kind": "rate", "value": value})


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "request_rate,cpu_ms_per_request,pods_ready", minutes=90),
        *(ask_diagnostic(entry, "quota") for entry in suspect.entries),
        *(
            ask_metrics(caller, "calls_per_request,attempts", "callee", minutes=90)
            for caller in suspect.callers
        ),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the load has grown and nothing has that each request needs."""
    service = replies[0]
    sources = replies[1 : 1 + len(suspect.entries)]
    clients = replies[1 + len(suspect.entries) :]
    rise = growth(service, "request_rate")
    if rise < 1.35 or growth(service, "cpu_ms_per_request") > 1.2:
        return None
    for reply in clients:
        for metric in ("calls_per_request", "attempts"):
            if growth(reply, metric, callee=suspect.service) > 1.15:
                return None
    for entry, source in zip(suspect.entries, sources, strict=True):
        for row in source.rows:
            if row.get("source") == ROBOTS and float(row["share"]) > 0.05:
                limit = {"service": entry, "kind": "bots", "value": 0}
                return Verdict(rise, (ToolCall("set_limit", limit),))
    pods = first_level(service.find_series("pods_ready"))
    replicas = int(max(pods, 4.0) * rise + 0.999)
    arguments = {"service": suspect.service, "replicas": replicas}
    return Verdict(rise, (ToolCall("scale_service", arguments),))


def _question_entry(place: Place) -> Question:
    return ask_metrics(suspect_at(place).service, "request_rate", minutes=90)


def _measure_rise(reply: ParsedReply, place: Place) -> float:
    return growth(reply, "request_rate")


FAULT_TYPE = FaultType(
    name="traffic_growth",
    levels=levels("remhx"),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    # Rejected requests fail sooner than late ones, so more overload can harm less.
    has_smooth_severity=True,
    log_events=(REQUESTS,),
    repairs=(
        (Repair("refuse the robots", _limit_robots_call, wait_ticks=2),),
        *(
            tuple(_make_add_pods(position, count) for position in range(count))
            for count in range(1, MAX_FULL_SERVICES + 1)
        ),
    ),
    mitigations=(
        Repair("more pods", _more_pods_for_robots_call, wait_ticks=2),
        Repair("refuse requests beyond the usual", _shed_call, wait_ticks=1),
    ),
    decisive=(
        EvidenceCheck(
            "more requests at the entry", _question_entry, _measure_rise, 1.2,
            ("retry_storm", "excess_calls", "cpu_regression"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
