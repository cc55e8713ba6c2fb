"""A service's own rate limit, lower than its ordinary load."""

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
    set_config,
    setting_value,
    suspect_at,
    undo_of_key,
)
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import SECONDS_PER_TICK, ErrorReason, Service, ServiceKind
from firewatch_next.simulation.world import World

KEY = "rate_limit"
# Requests per second that are admitted, to the ordinary load.
MAX_ADMITTED, MIN_ADMITTED = 0.96, 0.35
_RAISE = 4.0

REFUSED = LogEvent(
    "rate_limit.refused",
    LogLevel.WARN,
    ("limit", "path"),
    {
        "nginx": Phrasings(
            ('limiting requests, excess: 1.000 by zone "{path}", rate {limit}r/s',
             'zone "{path}" ({limit}r/s) exceeded, returning 429'),
            '429 for request to "{path}": allowed {limit} per second',
            'request over the zone rate {limit}r/s, location "{path}"',
        ),
        "envoy": Phrasings(
            ("local_rate_limited {path} token bucket {limit}/s",
             'response_flags="RL" path={path} fill_rate={limit}'),
            "tokens exhausted for {path} (refill {limit}/s), flag RL",
            "filter=local_ratelimit outcome=denied route={path} bucket={limit}",
        ),
        "java_spring": Phrasings(
            ("RequestNotPermitted: RateLimiter '{path}' does not permit further calls ({limit}/s)",
             "Request to {path} refused by limiter, permits per second: {limit}"),
            "HTTP 429 from interceptor, {path}: capacity of {limit} permits per second used",
            "Bucket for {path} is empty, refill rate {limit} per second",
        ),
        "go_logfmt": Phrasings(
            ('msg="rate limit exceeded" path={path} limit_rps={limit}',
             'status=429 path={path} msg="limiter: no tokens" rate={limit}'),
            'limiter_rps={limit} msg="too many requests" route={path}',
            "event=throttled route={path} allowance={limit}",
        ),
        "any": Phrasings(
            ("429 Too Many Requests {path}: more than {limit} requests per second",
             "{path} refused, limit of {limit} per second reached"),
            "request to {path} over quota ({limit}/s)",
            "throttled {path} allowance={limit}/s",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class RateLimit(SettingFault):
    """A rate limit that is too low. It acts through the setting."""

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        refused = service.errors.get(ErrorReason.RATE_LIMITED, 0.0)
        path = "/v1/" + service.name.rsplit("-", 1)[0]
        fields: LogFields = {"limit": int(service.rate_limit), "path": path}
        world.emit_log(service, REFUSED, refused * service.load * SECONDS_PER_TICK, fields)


def _may_limit(service: Service, key: str) -> bool:
    return service.kind in (ServiceKind.APPLICATION, ServiceKind.INGRESS)


def find_places(world: World) -> list[Place]:
    """Return the rate limits of entries and applications, changed or edited by hand."""
    return setting_places(world, (KEY,), _may_limit)


def start(world: World, place: Place, severity: Severity) -> RateLimit:
    """Return a limit of 96 % (size 0) to 35 % (size 1) of the ordinary load."""
    admitted = MAX_ADMITTED - (MAX_ADMITTED - MIN_ADMITTED) * severity.size
    value = int(world.services[place.service].load * admitted)
    return RateLimit(place, *give_faulty_value(world, place, severity, str(max(1, value))))


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "error_ratio", "code", minutes=15),
        ask_metrics(suspect.service, "cpu_utilization", minutes=15),
        ask_diagnostic(suspect.service, "settings"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the service answers 429 while its CPU is not full."""
    by_code, service, settings = replies
    refused = final_level(by_code.find_series("error_ratio", code="429"))
    if refused < 0.01 or final_level(service.find_series("cpu_utilization")) > 0.9:
        return None
    call = undo_of_key(suspect, suspect.service, KEY)
    if call is None:
        limit = int(_RAISE * setting_value(settings, KEY))
        call = set_config(suspect.service, KEY, str(limit))
    return Verdict(refused, (call,))


def _question_429(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_429(reply: ParsedReply, place: Place) -> float:
    return final_level(reply.find_series("error_ratio", code="429"))


FAULT_TYPE = FaultType(
    name="rate_limit",
    levels=levels("remh"),
    origins={Origin.SAFE_CHANGE: 0.6, Origin.UNLISTED: 0.4},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(REFUSED,),
    repairs=((UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(),
    decisive=(
        EvidenceCheck(
            "own 429s", _question_429, _measure_429, 0.01, ("provider_failure", "resource_limit")
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)
