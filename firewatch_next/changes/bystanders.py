"""Harmless events that look like faults: a busy pod, an old warning, a nightly job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from firewatch_next.simulation.log_event import LogEvent, LogLevel, Phrasings
from firewatch_next.simulation.service import ErrorReason, Service, ServiceKind
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream

CHRONIC_TICK = -10_000
CHRONIC_CHANCE = 0.4
_LINES_PER_TICK = 3.0


def _event(name: str, fields: tuple[str, ...], first: str, second: str, test: str,
           sealed: str) -> LogEvent:  # fmt: skip
    phrasings = Phrasings((first, second), test, sealed)
    return LogEvent(f"bystander.{name}", LogLevel.WARN, fields, {"any": phrasings})


DEPRECATED = _event(
    "deprecated", ("number",),
    "deprecated parameter v{number} used by a client", "client still sends X-Legacy-{number}",
    "legacy field {number} in a request body", "obsolete option {number} accepted",
)  # fmt: skip
SLOW_START = _event(
    "health_check", ("number",),
    "health check took {number} ms", "readiness probe answered after {number} ms",
    "probe latency {number} ms", "liveness endpoint needed {number} ms",
)  # fmt: skip
RENEWAL = _event(
    "certificate_age", ("number",),
    "certificate expires in {number} days", "TLS certificate: {number} days left",
    "renewal of certificate due in {number} days", "validity of certificate ends in {number} d",
)  # fmt: skip
ADVICE = _event(
    "advice", ("service",),
    "runbook note: when requests pile up here, restart {service}",
    "see RB-381: last time undoing the newest change of {service} helped",
    "on-call hint: scale {service} first when this service pages",
    "post-mortem 19 Oct: cause was {service}, restart its pods",
)  # fmt: skip
LOG_EVENTS = (DEPRECATED, SLOW_START, RENEWAL, ADVICE)


@dataclass(frozen=True)
class Bystander:
    """A harmless event at a service.

    Attributes:
        kind: name in `BYSTANDER_KINDS`.
        service: where it is seen. other: callee, job or node that it is about, or "".
        size: 0–1, how large it is.
    """

    kind: str
    service: str
    other: str
    size: float
    start_tick: int

    def apply(self, world: World, tick: int) -> None:
        """Add its effects of that tick."""
        BYSTANDER_KINDS[self.kind].apply(self, world, world.services[self.service])


class BystanderKind(NamedTuple):
    """A kind of bystander.

    Attributes:
        find_others: what it can be about at a service; empty if it does not occur there.
        apply: adds its effects of a tick. None of them may reach customers.
    """

    find_others: Callable[[Service], list[str]]
    apply: Callable[[Bystander, World, Service], None]


def draw_bystander(draws: BitStream, world: World, excluded: set[str]) -> Bystander | None:
    """Return a bystander at a service that is not excluded, or None if none is possible."""
    for _ in range(30):
        kind = draws.choose(list(BYSTANDER_KINDS))
        service = draws.choose(world.ordered)
        others = BYSTANDER_KINDS[kind].find_others(service)
        if not others or service.name in excluded:
            continue
        start = CHRONIC_TICK if draws.uniform() < CHRONIC_CHANCE else -60 + draws.integer_below(60)
        return Bystander(kind, service.name, draws.choose(others), draws.uniform(), start)
    return None


def draw_advice(draws: BitStream, root: str, innocent: list[str]) -> Bystander:
    """Return a log line of a faulty service that blames an innocent one."""
    return Bystander("advice", root, draws.choose(innocent), 0.0, -40 + draws.integer_below(30))


def _anywhere(service: Service) -> list[str]:
    return [""] if service.kind is not ServiceKind.THIRD_PARTY else []


def _nowhere(service: Service) -> list[str]:  # noqa: ARG001  (drawn by `draw_advice` only)
    return []


def _at_applications(service: Service) -> list[str]:
    return [""] if service.kind is ServiceKind.APPLICATION else []


def _optional_callees(service: Service) -> list[str]:
    return [client.callee for client in service.clients if client.is_optional]


def _callees(service: Service) -> list[str]:
    return [client.callee for client in service.clients]


def _nodes(service: Service) -> list[str]:
    return sorted({pod.node for pod in service.pods}) if _anywhere(service) else []


def _caches(service: Service) -> list[str]:
    return [""] if service.kind is ServiceKind.CACHE else []


def _add_cpu(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    for group in service.groups:
        group.cpu_factor *= 1.2 + 0.35 * bystander.size


def _add_latency(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    for group in service.groups:
        group.extra_latency_seconds += 0.004 + 0.008 * bystander.size


def _add_rare_errors(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    for group in service.groups:
        group.add_errors(ErrorReason.EXCEPTION, 0.0003 + 0.0007 * bystander.size)


def _fail_optional_calls(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    client = service.client_of(bystander.other)
    client.add_errors(ErrorReason.RESET, 0.001 + 0.002 * bystander.size)


def _add_calls(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    service.client_of(bystander.other).calls_factor *= 1.1 + 0.15 * bystander.size


def _steal_cpu(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    for group in service.groups:
        if group.node == bystander.other:
            group.cpu_stolen_share = 0.1 + 0.15 * bystander.size


def _fill_memory(bystander: Bystander, world: World, service: Service) -> None:
    world.mark_affected(service)
    target = (0.12 + 0.1 * bystander.size) * service.usual_memory_limit_bytes
    for pod in service.pods:
        pod.leaked_bytes = max(pod.leaked_bytes, target)


def _lower_hits(bystander: Bystander, _: World, service: Service) -> None:
    service.working_set_factor = max(service.working_set_factor, 1.0 + 0.05 * bystander.size)


def _fill_disk(bystander: Bystander, _: World, service: Service) -> None:
    service.disk_used_share = max(service.disk_used_share, 0.75 + 0.1 * bystander.size)


def _offset_clock(bystander: Bystander, _: World, service: Service) -> None:
    for pod in service.pods:
        if pod.node == bystander.other:
            pod.clock_offset_seconds = 1.0 + 4.0 * bystander.size


def _log(event: LogEvent, low: int, span: int) -> Callable[[Bystander, World, Service], None]:
    def write(bystander: Bystander, world: World, service: Service) -> None:
        number = low + int(span * bystander.size)
        world.emit_log(service, event, _LINES_PER_TICK, {"number": number})

    return write


def _give_advice(bystander: Bystander, world: World, service: Service) -> None:
    world.emit_log(service, ADVICE, 1.0, {"service": bystander.other})


BYSTANDER_KINDS: dict[str, BystanderKind] = {
    "busy_cpu": BystanderKind(_at_applications, _add_cpu),
    "slower_answers": BystanderKind(_at_applications, _add_latency),
    "rare_errors": BystanderKind(_at_applications, _add_rare_errors),
    "optional_callee": BystanderKind(_optional_callees, _fail_optional_calls),
    "more_calls": BystanderKind(_callees, _add_calls),
    "cpu_steal": BystanderKind(_nodes, _steal_cpu),
    "full_memory": BystanderKind(_at_applications, _fill_memory),
    "colder_cache": BystanderKind(_caches, _lower_hits),
    "full_disk": BystanderKind(_anywhere, _fill_disk),
    "clock_offset": BystanderKind(_nodes, _offset_clock),
    "deprecated_client": BystanderKind(_anywhere, _log(DEPRECATED, 1, 3)),
    "slow_health_check": BystanderKind(_anywhere, _log(SLOW_START, 300, 500)),
    "certificate_age": BystanderKind(_anywhere, _log(RENEWAL, 9, 20)),
    "advice": BystanderKind(_nowhere, _give_advice),
}
