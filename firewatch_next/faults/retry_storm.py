"""Retries that keep a service overloaded after a short outage has passed.

It needs a client without a pool and a callee without a limit of threads, since those would shed the
load. Requests that wait longer than the timeout are sent again while the callee still works on
them.
"""

from __future__ import annotations

from dataclasses import dataclass

from firewatch_next.faults.capacity import cpu_use
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    Fault,
    FaultType,
    LogEvent,
    LogFields,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Repair,
    Severity,
    levels,
)
from firewatch_next.faults.questions import ask_metrics, growth, suspect_at, undo_of_key
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

KEY = "max_attempts"
FEWEST_ATTEMPTS, MOST_ATTEMPTS = 5, 6
# Longest wait of the callee's queue to the client's timeout.
MIN_WAIT_FACTOR, MAX_WAIT_FACTOR = 1.25, 1.7
OUTAGE_DELAY_TICKS, OUTAGE_TICKS = 2, 5
OUTAGE_CAPACITY = 0.2  # of the callee's CPU that is left in the outage
MIN_USE = 0.3  # of the callee's CPU, so that its load times the attempts exceeds it

RETRY = LogEvent(
    "retry_storm.retry",
    LogLevel.WARN,
    ("callee", "attempt", "most"),
    {
        "nginx": Phrasings(
            ("upstream timed out while reading response header, next upstream {callee}, try "
             "{attempt} of {most}",
             "{callee}: attempt {attempt}/{most} after upstream timeout"),
            "passing request to next server of {callee} ({attempt} of {most})",
            "upstream={callee} try={attempt} max={most}",
        ),
        "envoy": Phrasings(
            ("performing retry {attempt} of {most}, cluster {callee}, upstream_response_timeout",
             "cluster {callee}: per-try timeout, retry {attempt}/{most}"),
            "upstream request to {callee} reset, starting try {attempt} (limit {most})",
            "retry_state cluster={callee} tries={attempt} budget={most}",
        ),
        "any": Phrasings(
            ("retrying call to {callee}, attempt {attempt} of {most}",
             "{callee} did not answer in time, try {attempt}/{most}"),
            "sending again to {callee} ({attempt} of at most {most})",
            "again callee={callee} n={attempt} of={most}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class RetryStorm(SettingFault):
    """A client with many attempts, and a past outage of its callee."""

    def apply(self, world: World, tick: int) -> None:
        client = world.services[self.place.service].client_of(self.place.callee)
        callee = world.services[self.place.callee]
        age = tick - self.start_tick - OUTAGE_DELAY_TICKS
        if 0 <= age < OUTAGE_TICKS:
            world.mark_affected(callee)
            callee.capacity_factor *= OUTAGE_CAPACITY
        again = client.offered * (1.0 - 1.0 / client.attempts)
        fields: LogFields = {
            "callee": callee.name,
            "attempt": min(client.max_attempts, int(client.attempts + 1.0)),
            "most": client.max_attempts,
        }
        caller = world.services[self.place.service]
        world.emit_log(caller, RETRY, again * SECONDS_PER_TICK, fields)


def find_places(world: World) -> list[Place]:
    """Return the attempts of clients without a pool whose callee has no limit of threads."""

    def sheds_nothing(service: Service, key: str) -> bool:
        client = service.client_of(key.partition(".")[2])
        callee = world.services[client.callee]
        is_async = client.pool_size == 0 and callee.threads == 0
        return is_async and not client.is_optional and cpu_use(callee) > MIN_USE

    return setting_places(world, (KEY,), sheds_nothing)


def start(world: World, place: Place, severity: Severity) -> RetryStorm:
    """Return 5 or 6 attempts, and give the callee a queue longer than the timeout.

    The queue is empty on ordinary days, so its length has no effect before.
    """
    callee = world.services[place.callee]
    client = world.services[place.service].client_of(place.callee)
    factor = MIN_WAIT_FACTOR + (MAX_WAIT_FACTOR - MIN_WAIT_FACTOR) * severity.size
    seconds = factor * client.timeout_seconds
    callee.queue_length = int(seconds * callee.cpu_cores / callee.cpu_seconds_per_request)
    callee.usual_queue_length = callee.queue_length
    callee.settings["queue_length"] = format_number(callee.queue_length)
    attempts = FEWEST_ATTEMPTS + int((MOST_ATTEMPTS - FEWEST_ATTEMPTS) * severity.size)
    return RetryStorm(place, *give_faulty_value(world, place, severity, str(attempts)))


def _no_retries_call(world: World, fault: Fault) -> ToolCall | None:
    arguments = {
        "service": fault.place.service, "callee": fault.place.callee, "max_attempts": 1
    }  # fmt: skip
    return ToolCall("set_client", arguments)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    callers = (suspect.service, *suspect.callers)
    return tuple(
        ask_metrics(caller, "attempts,calls_per_request", "callee", minutes=90)
        for caller in callers
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a client makes more than 1.6 attempts per call."""
    for caller, reply in zip((suspect.service, *suspect.callers), replies, strict=True):
        for series in reply.find_series("attempts"):
            callee = series.labels["callee"]
            if series.values[-1] < 1.6 or growth(reply, "attempts", callee=callee) < 1.4:
                continue
            call = undo_of_key(suspect, caller, f"{KEY}.{callee}")
            arguments = {"service": caller, "callee": callee, "max_attempts": 1}
            return Verdict(series.values[-1], (call or ToolCall("set_client", arguments),))
    return None


def _question_attempts(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_attempts(reply: ParsedReply, place: Place) -> float:
    series = reply.find_series("attempts", callee=place.callee)
    return series[0].values[-1] if series else 1.0


FAULT_TYPE = FaultType(
    name="retry_storm",
    levels=levels("emhx"),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=False,
    log_events=(RETRY,),
    repairs=(
        (Repair("turn the retries off", _no_retries_call, wait_ticks=4),),
        (UNDO_CHANGE,),
        (RESTORE_SETTING,),
    ),
    mitigations=(),
    decisive=(
        EvidenceCheck(
            "many attempts per call", _question_attempts, _measure_attempts, 1.6,
            ("traffic_growth", "excess_calls", "cpu_regression"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
