"""Statements that a store, cache or queue executes, by the user that sends them."""

from __future__ import annotations

from typing import NamedTuple

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_VERBS = {
    ServiceKind.STORE: (
        "SELECT * FROM {0} WHERE id = $1",
        "SELECT count(*) FROM {0} WHERE owner_id = $1 AND state = $2",
        "UPDATE {0} SET state = $1 WHERE id = $2",
        "INSERT INTO {0} VALUES ($1, $2, $3)",
        "SELECT * FROM {0} WHERE created_at > $1 ORDER BY created_at LIMIT 50",
    ),
    ServiceKind.CACHE: ("GET {0}:*", "MGET {0}:*", "SETEX {0}:*", "HGETALL {0}:*"),
    ServiceKind.QUEUE: ("Fetch {0}", "Produce {0}", "OffsetCommit {0}"),
}
_JOB_TEXT = {ServiceKind.STORE: "SELECT * FROM {0} ORDER BY updated_at"}
_PER_USER = 2


class Statement(NamedTuple):
    """A statement with its share of the work.

    Attributes:
        user: the caller or job that sends it.
        per_second: executions. mean_milliseconds: of one execution.
        time_share: share of all execution time.
    """

    user: str
    text: str
    per_second: float
    mean_milliseconds: float
    time_share: float


def list_statements(view: TelemetryView, store: Service) -> list[Statement]:
    """Return the statements of a store at its present tick, those with most time first."""
    draws = view.draws("statements", store.name)
    usual_seconds = store.base_latency_seconds + store.cpu_seconds_per_request
    verbs = _VERBS.get(store.kind, ("call {0}",))
    tables = [store.name.split("-")[0] + suffix for suffix in ("s", "_items", "_history")]
    found: list[tuple[str, str, float, float]] = []
    for client in view.world.incoming[store.name]:
        texts = draws.shuffled_copy(verbs)[:_PER_USER]
        weights = [0.7, 0.3][: len(texts)]
        for text, weight in zip(texts, weights, strict=True):
            seconds = usual_seconds * draws.uniform(0.7, 1.3)
            rate = client.flow * weight / sum_left_to_right(weights)
            found.append((client.caller, text.format(draws.choose(tables)), rate, seconds))
    heaviest = draws.integer_below(len(found)) if found else 0
    extra = _extra_seconds(store) * store.load
    if found and extra > 0.0:
        user, text, rate, seconds = found[heaviest]
        found[heaviest] = (user, text, rate, seconds + extra / max(rate, 0.01))
    for job in store.jobs.values():
        if job.is_running and job.cpu_seconds_per_request > 0.0:
            text = _JOB_TEXT.get(store.kind, "SCAN {0}").format(tables[2])
            found.append((job.user, text, job.load, job.cpu_seconds_per_request))
    total = sum_left_to_right(rate * seconds for _, _, rate, seconds in found) or 1.0
    statements = [
        Statement(user, text, rate, 1000.0 * seconds, rate * seconds / total)
        for user, text, rate, seconds in found
    ]
    return sorted(statements, key=lambda one: -one.time_share)


def _extra_seconds(store: Service) -> float:
    """Return the mean time that statements take beyond the usual, per request."""
    extra = 0.0
    for group in store.groups:
        slow = (group.cpu_factor - 1.0) * store.cpu_seconds_per_request
        slow += group.slow_share * group.slow_seconds + group.extra_latency_seconds
        extra += group.traffic_share * slow
    return extra
