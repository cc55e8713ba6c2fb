"""A client's timeout that is shorter than the callee's ordinary answers take."""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    FaultType,
    LogEvent,
    LogFields,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
    levels,
)
from firewatch_next.faults.numbers import final_level
from firewatch_next.faults.questions import (
    ask_diagnostic,
    ask_metrics,
    growth,
    set_config,
    setting_value,
    suspect_at,
    undo_of_key,
)
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.latency import quantile_of_modes
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service, ServiceKind
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World

KEY = "timeout_ms"
# Share of the callee's ordinary answers that come too late.
MIN_LATE, MAX_LATE = 0.04, 0.75
_RAISE = 20.0

CANCELLED = LogEvent(
    "timeout_too_short.cancelled",
    LogLevel.INFO,
    ("milliseconds", "caller"),
    {
        "java_spring": Phrasings(
            ("ClientAbortException: Broken pipe after {milliseconds} ms, peer {caller}",
             "Response not written: {caller} closed the connection ({milliseconds} ms)"),
            "AsyncRequestNotUsableException, {caller} went away at {milliseconds} ms",
            "EofException while writing to {caller} ({milliseconds} ms after arrival)",
        ),
        "go_logfmt": Phrasings(
            ('msg="context canceled" peer={caller} after_ms={milliseconds}',
             'peer={caller} status=499 msg="client disconnected" elapsed_ms={milliseconds}'),
            'elapsed_ms={milliseconds} err="write: broken pipe" remote={caller}',
            "event=peer_gone remote={caller} at_ms={milliseconds}",
        ),
        "postgres": Phrasings(
            ("canceling statement due to user request ({caller}, {milliseconds} ms)",
             "{caller}: unexpected EOF on client connection after {milliseconds} ms"),
            "query of {caller} cancelled by the client, ran {milliseconds} ms",
            "could not send data to client {caller} at {milliseconds} ms",
        ),
        "any": Phrasings(
            ("{caller} closed the connection after {milliseconds} ms",
             "client {caller} gone before the answer ({milliseconds} ms)"),
            "answer dropped, peer {caller} left at {milliseconds} ms",
            "peer_gone {caller} {milliseconds}ms",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class TimeoutTooShort(SettingFault):
    """A timeout that is too short. It acts through the setting."""

    def apply(self, world: World, tick: int) -> None:
        caller = world.services[self.place.service]
        client = caller.client_of(self.place.callee)
        milliseconds = int(1000.0 * client.timeout_seconds + 1.0)
        fields: LogFields = {"milliseconds": milliseconds, "caller": caller.name}
        lines = client.flow * client.late_share * SECONDS_PER_TICK
        world.emit_log(world.services[client.callee], CANCELLED, lines, fields)


def find_places(world: World) -> list[Place]:
    """Return timeouts of entries and applications for what they cannot do without."""

    def is_needed(service: Service, key: str) -> bool:
        callee = key.partition(".")[2]
        has_code = service.kind in (ServiceKind.APPLICATION, ServiceKind.INGRESS)
        return has_code and bool(callee) and not service.client_of(callee).is_optional

    return setting_places(world, (KEY,), is_needed)


def start(world: World, place: Place, severity: Severity) -> TimeoutTooShort:
    """Return a timeout that 4 to 75 % of the callee's ordinary answers exceed."""
    late = MIN_LATE + (MAX_LATE - MIN_LATE) * severity.size
    callee = world.services[place.callee]
    milliseconds = 1000.0 * quantile_of_modes(callee.modes, 1.0 - late)
    value = format_number(round(milliseconds, 2))
    return TimeoutTooShort(place, *give_faulty_value(world, place, severity, value))


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "error_ratio", "callee", minutes=90),
        ask_diagnostic(suspect.service, "settings"),
        *(ask_metrics(c, "latency_p95_ms,error_ratio", minutes=90) for c in suspect.callees),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if calls fail though the callee is as fast as ever, and slower than the timeout."""
    by_callee, settings = replies[:2]
    for callee, reply in zip(suspect.callees, replies[2:], strict=True):
        failing = final_level(by_callee.find_series("error_ratio", callee=callee))
        timeout_ms = setting_value(settings, f"{KEY}.{callee}")
        own_p95 = final_level(reply.find_series("latency_p95_ms"))
        if failing < 0.01 or growth(reply, "latency_p95_ms") > 1.3 or timeout_ms > own_p95:
            continue
        key = f"{KEY}.{callee}"
        call = undo_of_key(suspect, suspect.service, key)
        value = str(int(_RAISE * timeout_ms))
        return Verdict(failing, (call or set_config(suspect.service, key, value),))
    return None


def _question_callee(place: Place) -> Question:
    return ask_metrics(suspect_at(place).service, "error_ratio,latency_p95_ms", "callee")


def _measure_failing(reply: ParsedReply, place: Place) -> float:
    """Return the share of failed calls if their duration stays below twice the usual, or 0."""
    if growth(reply, "latency_p95_ms", callee=place.callee) > 2.0:
        return 0.0
    return final_level(reply.find_series("error_ratio", callee=place.callee))


FAULT_TYPE = FaultType(
    name="timeout_too_short",
    levels=levels("emh"),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(CANCELLED,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(),
    decisive=(
        EvidenceCheck(
            "calls fail at their usual duration", _question_callee, _measure_failing, 0.01,
            ("slow_query", "lock_contention", "cpu_regression"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
