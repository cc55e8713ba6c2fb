"""How a service answers its requests within a sub-step, given its load and its callees' answers.

Admission, attempts, the late share and the time held move towards their new values in each sub-step
(`damping.py`), which keeps saturated systems from oscillating.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from firewatch_next.simulation.calls import CallTotals, make_calls, settle_client
from firewatch_next.simulation.damping import SETTLED, next_pace
from firewatch_next.simulation.latency import combine_modes
from firewatch_next.simulation.service import (
    ErrorReason,
    Mode,
    PodGroup,
    Service,
)
from firewatch_next.simulation.waiting import (
    NO_WAIT,
    Wait,
    pool_failure_share,
    wait_for_server,
)

if TYPE_CHECKING:
    from firewatch_next.simulation.tick import Call

_DEAD_SECONDS = 0.001  # a connection to a service without pods fails at once
_MIN_MODE_SHARE = 1e-6


class _CpuResult(NamedTuple):
    """Share of the requests that the CPUs serve, and how they wait."""

    passed_share: float
    utilization: float
    wait: Wait


def answer_requests(service: Service, calls: tuple[Call, ...]) -> None:
    """Compute latency, errors and use of a service, and the results of its calls."""
    pods = 0
    for group in service.groups:
        pods += group.pods
    if not pods:
        _answer_without_pods(service)
        return
    totals = make_calls(service, pods, calls)
    load = service.load
    limited = 0.0
    limit = service.rate_limit
    if service.admission_limit > 0.0 and not 0.0 < limit < service.admission_limit:
        limit = service.admission_limit
    if limit > 0.0 and load > limit:
        limited = 1.0 - limit / load
    no_thread, thread_wait = _wait_for_threads(service, load * (1.0 - limited) / pods)
    cpu = _use_cpus(service, load * (1.0 - limited) * (1.0 - no_thread), pods)
    admitted = (1.0 - limited) * (1.0 - no_thread) * cpu.passed_share
    admitted = _move_admitted_share(service, admitted)
    service.utilization = cpu.utilization
    own_seconds = service.base_latency_seconds + service.cpu_seconds_per_request
    held = own_seconds + totals.held_seconds
    held += cpu.wait.share * cpu.wait.seconds + _mean_extra_seconds(service)
    _move_held_seconds(service, held)
    fast = Mode(1.0, own_seconds + totals.fast_seconds, service.latency_step)
    service.modes = combine_modes(
        fast, _other_modes(service, fast, (cpu.wait, thread_wait), totals.modes)
    )
    _set_errors(service, limited, admitted, totals)


def settle_service(service: Service, pods: int, calls: tuple[Call, ...]) -> None:
    """Set the moving values of a service to their targets, for a world that was calm for long.

    Its callees have to be settled before it.
    """
    for call in calls:
        settle_client(call.client, call.callee)
    totals = make_calls(service, pods, calls)
    service.held_seconds = (
        service.base_latency_seconds + service.cpu_seconds_per_request + totals.held_seconds
    )
    answer_requests(service, calls)
    service.is_calm = True


def _answer_without_pods(service: Service) -> None:
    _move_admitted_share(service, 0.0)
    service.modes = (Mode(1.0, _DEAD_SECONDS, service.latency_step),)
    service.errors = {ErrorReason.REJECTED: 1.0}
    service.failed_share = service.retriable_share = 1.0
    service.degraded_share = 0.0
    service.utilization = service.threads_in_use = 0.0
    for client in service.clients:
        client.is_settled = False


def _move_admitted_share(service: Service, target: float) -> float:
    change = target - service.admitted_share
    if -SETTLED < change < SETTLED:
        service.admitted_share = target
    else:
        service.admitted_pace = next_pace(service.admitted_pace, change)
        service.admitted_share += change * abs(service.admitted_pace)
    return service.admitted_share


def _move_held_seconds(service: Service, target: float) -> None:
    change = target - service.held_seconds
    service.is_settled = -SETTLED < change < SETTLED
    if service.is_settled:
        service.held_seconds = target
    else:
        service.held_pace = next_pace(service.held_pace, change)
        service.held_seconds += change * abs(service.held_pace)


def _wait_for_threads(service: Service, load_per_pod: float) -> tuple[float, Wait]:
    if not service.threads:
        service.threads_in_use = 0.0
        return 0.0, NO_WAIT
    threads = float(service.threads)
    use = load_per_pod * service.held_seconds / threads
    service.threads_in_use = use if use < 1.0 else 1.0
    wait = wait_for_server(use, threads, service.held_seconds, service.thread_wait_seconds)
    return pool_failure_share(use), wait


def _use_cpus(service: Service, load: float, pods: int) -> _CpuResult:
    cores = service.cpu_cores * service.capacity_factor * (1.0 - service.gc_share)
    cpu_seconds = service.cpu_seconds_per_request
    other_use = 0.0
    for job in service.jobs.values():
        if job.is_running:
            other_use += job.allowed_load * job.cpu_seconds_per_request / (pods * cores)
    queue_seconds = service.queue_length * cpu_seconds / cores
    if not _groups_differ(service):
        use = load * cpu_seconds / (cores * pods) + other_use
        wait = wait_for_server(use, cores, cpu_seconds, queue_seconds)
        return _CpuResult(1.0 if use <= 1.0 else 1.0 / use, min(use, 1.0), wait)
    passed = total_use = wait_share = wait_total = 0.0
    for group in service.groups:
        group_load = load * group.traffic_share
        power = cores * (1.0 - group.cpu_stolen_share)
        seconds = cpu_seconds * group.cpu_factor
        use = group_load * seconds / (power * group.pods) + other_use
        wait = wait_for_server(use, power, seconds, queue_seconds * cores / power)
        passed += group.traffic_share * (1.0 if use <= 1.0 else 1.0 / use)
        group.utilization = use if use < 1.0 else 1.0
        total_use += group.utilization * group.pods / pods
        wait_share += group.traffic_share * wait.share
        wait_total += group.traffic_share * wait.share * wait.seconds
    mean_wait = wait_total / wait_share if wait_share > 0.0 else 0.0
    return _CpuResult(passed, total_use, Wait(wait_share, mean_wait))


def _groups_differ(service: Service) -> bool:
    return service.has_effects or bool(
        service.zone_weights or service.version_weights or service.node_weights
    )


def _mean_extra_seconds(service: Service) -> float:
    if not service.has_effects:
        return 0.0
    total = 0.0
    for group in service.groups:
        delay = group.extra_latency_seconds + group.slow_share * group.slow_seconds
        total += group.traffic_share * delay
    return total


def _other_modes(
    service: Service, fast: Mode, waits: tuple[Wait, Wait], call_modes: list[Mode]
) -> list[Mode]:
    """Return the modes beside the fast one; those of the calls have their delay as the median."""
    modes = [
        Mode(mode.share, fast.median + mode.median, mode.step)
        for mode in call_modes
        if mode.share > _MIN_MODE_SHARE
    ]
    for wait in waits:
        if wait.share > _MIN_MODE_SHARE:
            modes.append(Mode(wait.share, fast.median + wait.seconds, fast.step))
    if service.has_effects:
        for group in service.groups:
            modes += _group_modes(group, fast)
    return modes


def _group_modes(group: PodGroup, fast: Mode) -> list[Mode]:
    modes = []
    share = group.traffic_share
    if group.slow_share > 0.0:
        delay = group.slow_seconds + group.extra_latency_seconds
        modes.append(Mode(share * group.slow_share, fast.median + delay, fast.step))
        share *= 1.0 - group.slow_share
    if group.extra_latency_seconds > 0.0:
        modes.append(Mode(share, fast.median + group.extra_latency_seconds, fast.step))
    return modes


def _set_errors(service: Service, limited: float, admitted: float, totals: CallTotals) -> None:
    """Set the errors by reason. They exclude one another, so their shares add up."""
    own = _own_errors(service)
    own_total = 0.0
    for share in own.values():
        own_total += share
    if own_total > 1.0:
        own = {reason: share / own_total for reason, share in own.items()}
        own_total = 1.0
    errors = {reason: share * admitted for reason, share in own.items()}
    left = admitted * (1.0 - own_total)
    for reason, share in totals.errors.items():
        errors[reason] = errors.get(reason, 0.0) + left * share
    if limited > 0.0:
        errors[ErrorReason.RATE_LIMITED] = errors.get(ErrorReason.RATE_LIMITED, 0.0) + limited
    rejected = 1.0 - limited - admitted
    rejected = rejected if rejected > 0.0 else 0.0
    if rejected > 0.0:
        errors[ErrorReason.REJECTED] = errors.get(ErrorReason.REJECTED, 0.0) + rejected
    failed = 0.0
    for share in errors.values():
        failed += share
    service.errors = errors
    service.failed_share = failed if failed < 1.0 else 1.0
    service.retriable_share = rejected
    fresh = (1.0 - totals.degraded_share) * (1.0 - service.stale_share)
    service.degraded_share = 1.0 - fresh


def _own_errors(service: Service) -> dict[ErrorReason, float]:
    """Return the shares of the admitted requests that fail for the service's own reasons."""
    errors = {ErrorReason.EXCEPTION: service.base_error_share}
    if service.has_effects or service.version_errors:
        for group in service.groups:
            for reason, share in group.own_errors.items():
                errors[reason] = errors.get(reason, 0.0) + group.traffic_share * share
            version_share = service.version_errors.get(group.version, 0.0)
            errors[ErrorReason.EXCEPTION] += group.traffic_share * version_share
        for flag in service.flags.values():
            errors[ErrorReason.EXCEPTION] += flag.error_share * flag.percent / 100.0
    return errors
