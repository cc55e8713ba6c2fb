"""The calls that a service makes: pools, timeouts, retries and their failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from firewatch_next.simulation.damping import SETTLED, next_pace
from firewatch_next.simulation.latency import (
    TIMED_OUT_STEP,
    mean_of_modes,
    share_of_modes_above,
)
from firewatch_next.simulation.service import (
    CONNECTION_REASONS,
    BreakerState,
    CalleeClient,
    ErrorReason,
    Mode,
    Service,
)
from firewatch_next.simulation.waiting import pool_failure_share, wait_for_server

if TYPE_CHECKING:
    from firewatch_next.simulation.tick import Call

_OPEN = BreakerState.OPEN


class CallTotals(NamedTuple):
    """What all calls of a request add up to.

    Attributes:
        fast_seconds: sum of the callees' fast medians. held_seconds: mean time for all calls.
        modes: delays beyond the fast median, as modes.
        errors: share of the requests that fail because of a call, by reason.
        degraded_share: share that is answered without an optional or broken callee and counts bad.
    """

    fast_seconds: float
    held_seconds: float
    modes: list[Mode]
    errors: dict[ErrorReason, float]
    degraded_share: float


def make_calls(service: Service, pods: int, calls: tuple[Call, ...]) -> CallTotals:
    """Compute the results of a service's calls and what they mean for its requests."""
    fast = held = degraded = 0.0
    answered = 1.0
    errors: dict[ErrorReason, float] = {}
    modes: list[Mode] = []
    for client, callee, cache in calls:
        per_request = client.calls_per_request * client.calls_factor
        if cache is not None:
            per_request *= 1.0 - cache.cache_hit_share
        many = per_request if per_request < 1.0 else 1.0
        if client.breaker is _OPEN:
            client.attempts, client.late_share, client.failed_share = 1.0, 0.0, 0.0
            client.pool_in_use, client.is_settled = 0.0, False
            degraded += many * client.fallback_bad_share
            continue
        if not (client.is_settled and callee.is_calm):
            _update_results(client, callee)
        _update_pool(service, client, pods)
        fast += per_request * (callee.modes[0].median + client.extra_latency_seconds)
        held += per_request * _call_seconds(client)
        _add_delays(modes, client, callee, many)
        failed = client.failed_share
        no_connection = 1.0 - client.pool_passed_share
        if client.is_optional:
            failed = no_connection + (1.0 - no_connection) * failed
            degraded += many * failed * client.fallback_bad_share
        else:
            _add_errors(errors, client, no_connection * many * answered,
                        (1.0 - no_connection) * failed * many * answered)  # fmt: skip
            answered *= 1.0 - many * (no_connection + (1.0 - no_connection) * failed)
        degraded += many * callee.degraded_share
    return CallTotals(fast, held, modes, errors, degraded if degraded < 1.0 else 1.0)


def _call_seconds(client: CalleeClient) -> float:
    passed = client.pool_passed_share
    seconds = passed * client.attempts * client.held_seconds
    seconds += (1.0 - passed) * client.acquire_timeout_seconds
    return seconds + passed * client.pool_wait_share * client.pool_wait_seconds


def _add_errors(
    errors: dict[ErrorReason, float], client: CalleeClient, no_connection: float, failed: float
) -> None:
    """Add the requests that fail because of one client, by what the service answers."""
    if no_connection > 0.0:
        reason = ErrorReason.POOL_TIMEOUT
        errors[reason] = errors.get(reason, 0.0) + no_connection
    if failed > 0.0:
        timed_out = failed * client.late_share / (client.late_share + _other_failures(client))
        errors[ErrorReason.TIMEOUT] = errors.get(ErrorReason.TIMEOUT, 0.0) + timed_out
        bad = failed - timed_out
        errors[ErrorReason.BAD_GATEWAY] = errors.get(ErrorReason.BAD_GATEWAY, 0.0) + bad


def _other_failures(client: CalleeClient) -> float:
    """Return the share of single attempts that fail for another reason than time."""
    other = client.attempt_failed_share - client.late_share
    return other if other > 1e-12 else 1e-12


def _update_results(client: CalleeClient, callee: Service, *, is_immediate: bool = False) -> None:
    """Move late share, attempts and time held towards what the callee's answers ask for."""
    # Until a probe has failed, a killed pod still gets its share of the connections.
    client.dead_share = callee.dead_share
    connection, refused = callee.dead_share, 0.0
    for reason, share in client.errors.items():
        if reason in CONNECTION_REASONS:
            connection += share
        else:
            refused += share
    if client.rate_limit > 0.0:
        refused += client.limited_share
    connection = connection if connection < 1.0 else 1.0
    # Pods that never answer let their share of the requests wait until the timeout.
    late = callee.frozen_share + (1.0 - callee.frozen_share) * _late_share(client, callee)
    held = _held_seconds(client, callee) * (1.0 - callee.frozen_share)
    held = (held + client.timeout_seconds * callee.frozen_share) * (1.0 - connection)
    is_settled = callee.is_calm and not client.errors and client.rate_limit == 0.0
    change = late - client.late_share
    if -SETTLED < change < SETTLED:
        client.late_share = late
    else:
        client.late_pace = next_pace(client.late_pace, change)
        late = client.late_share + change * (1.0 if is_immediate else abs(client.late_pace))
        client.late_share = late
        is_settled = False
    change = held - client.held_seconds
    if -SETTLED < change < SETTLED:
        client.held_seconds = held
    else:
        client.held_pace = next_pace(client.held_pace, change)
        client.held_seconds += change * (1.0 if is_immediate else abs(client.held_pace))
        is_settled = False
    reached = (1.0 - connection) * (1.0 - late)
    again = 1.0 - reached * (1.0 - callee.retriable_share)
    hard = 1.0 - (1.0 - refused) * (1.0 - (callee.failed_share - callee.retriable_share))
    hard = hard * (1.0 - again) if hard > 0.0 else 0.0
    attempts, failed = 1.0, hard + again
    for _ in range(client.max_attempts - 1):
        attempts = 1.0 + again * attempts
        failed = hard + again * failed
    client.failed_share = failed if failed < 1.0 else 1.0
    client.attempt_failed_share = hard + again
    attempts = 1.0 if client.is_backed_off else attempts
    change = attempts - client.attempts
    if -SETTLED < change < SETTLED:
        client.attempts = attempts
    else:
        client.attempts_pace = next_pace(client.attempts_pace, change)
        client.attempts += change * (1.0 if is_immediate else abs(client.attempts_pace))
        is_settled = False
    client.is_settled = is_settled


def settle_client(client: CalleeClient, callee: Service) -> None:
    """Set a client's moving values to their targets, for a world that has been calm for long."""
    while not client.is_settled:  # the second time, every value is at its target
        _update_results(client, callee, is_immediate=True)


def _late_share(client: CalleeClient, callee: Service) -> float:
    return share_of_modes_above(callee.modes, client.timeout_seconds - client.extra_latency_seconds)


def _held_seconds(client: CalleeClient, callee: Service) -> float:
    held = mean_of_modes(callee.modes, client.timeout_seconds) + client.extra_latency_seconds
    return held if held < client.timeout_seconds else client.timeout_seconds


def _update_pool(service: Service, client: CalleeClient, pods: int) -> None:
    """Compute which share of the offered calls gets a connection, and the use of the pool."""
    size = client.pool_size
    if not size:
        return
    asked = client.offered * client.held_seconds / pods
    leaks = [
        pod.leaked_connections[client.callee]
        for pod in service.pods
        if pod.leaked_connections and client.callee in pod.leaked_connections
    ]
    if not leaks:
        use = asked / size
        client.pool_passed_share = 1.0 - pool_failure_share(use)
        client.pool_in_use = use if use < 1.0 else 1.0
        wait = wait_for_server(use, size, client.held_seconds, client.acquire_timeout_seconds)
        client.pool_wait_share, client.pool_wait_seconds = wait
        return
    count = max(len(leaks), pods)
    leaks += [0.0] * (count - len(leaks))
    passed = in_use = wait_share = wait_total = 0.0
    for leaked in leaks:
        free = size - leaked
        # A pod whose pool has leaked away serves nothing that needs the callee.
        use = asked / free if free > 0.05 else 1000.0
        passed += 1.0 - pool_failure_share(use)
        in_use += min(1.0, (leaked + asked) / size)
        wait = wait_for_server(use, max(free, 1.0), client.held_seconds,
                               client.acquire_timeout_seconds)  # fmt: skip
        wait_share += wait.share
        wait_total += wait.share * wait.seconds
    client.pool_passed_share = passed / count
    client.pool_in_use = in_use / count
    client.pool_wait_share = wait_share / count
    client.pool_wait_seconds = wait_total / wait_share if wait_share > 0.0 else 0.0


def _add_delays(modes: list[Mode], client: CalleeClient, callee: Service, many: float) -> None:
    """Add modes with the delays of a call beyond the callee's fast median."""
    fast = callee.modes[0].median
    timeout = client.timeout_seconds
    for mode in callee.modes[1:]:
        if mode.median < timeout and mode.share > 0.0:
            modes.append(Mode(many * mode.share, mode.median - fast, mode.step))
    if client.pool_wait_share > 0.0:
        modes.append(Mode(many * client.pool_wait_share, client.pool_wait_seconds, TIMED_OUT_STEP))
    if client.late_share > 0.0:
        seconds = timeout * client.attempts - fast
        modes.append(Mode(many * client.late_share, seconds, TIMED_OUT_STEP))
