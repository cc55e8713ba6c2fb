"""A third party that fails, refuses calls beyond its quota, or sends answers of no use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from firewatch_next.changes.change import Change
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
from firewatch_next.faults.infrastructure_repairs import OPEN_BREAKER
from firewatch_next.faults.numbers import final_level
from firewatch_next.faults.questions import ask_diagnostic, ask_metrics, set_config
from firewatch_next.simulation.edits import SetSetting
from firewatch_next.simulation.service import SECONDS_PER_TICK, ErrorReason, ServiceKind
from firewatch_next.simulation.settings import format_number
from firewatch_next.simulation.world import World
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall

QUOTA_KEY = "quota_per_second"
MIN_ERROR_SHARE, MAX_ERROR_SHARE = 0.3, 0.98
_FIELDS = ("provider", "host", "operation")


class ProviderProblem(StrEnum):
    """What is wrong with a third party."""

    ERRORS = "errors"
    QUOTA = "quota"
    UNREADABLE = "unreadable"


FAILED_CALL = LogEvent(
    "provider_failure.failed_call",
    LogLevel.WARN,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("{provider} client: {operation} at {host} was not successful",
             "Call of {operation} to https://{host} ended without a result ({provider})"),
            "No usable result of {operation}, partner {provider}, base URL https://{host}",
            "Partner call {provider}/{operation} gave up; target https://{host}",
        ),
        "go_logfmt": Phrasings(
            ('msg="external call failed" provider={provider} op={operation} host={host}',
             'provider={provider} host={host} msg="no result" method={operation}'),
            'host={host} msg="partner request unsuccessful" action={operation} partner={provider}',
            "event=partner_error target={host} action={operation} vendor={provider}",
        ),
        "any": Phrasings(
            ("{operation} via {provider} failed ({host})",
             "external service {provider} at {host}: {operation} without result"),
            "partner {provider} did not complete {operation} (base {host})",
            "vendor call {operation} on {host} abandoned [{provider}]",
        ),
    },
)  # fmt: skip
UNREADABLE_ANSWER = LogEvent(
    "provider_failure.unreadable_answer",
    LogLevel.ERROR,
    _FIELDS,
    {
        "java_spring": Phrasings(
            ("com.fasterxml.jackson.core.JsonParseException: Unexpected end-of-input, {operation} "
             "response of {host} ({provider})",
             "Could not read document from {provider}: MismatchedInputException in {operation}, "
             "https://{host}"),
            "HttpMessageNotReadableException while decoding {operation} from https://{host}, "
            "client {provider}",
            "Checksum of the {operation} response differs, source https://{host} [{provider}]",
        ),
        "go_logfmt": Phrasings(
            ('err="unexpected end of JSON input" op={operation} host={host} provider={provider}',
             'msg="decode response" provider={provider} err="invalid character \'<\'" '
             "method={operation} host={host}"),
            'partner={provider} action={operation} err="json: cannot unmarshal string" url={host}',
            "event=bad_payload vendor={provider} target={host} action={operation}",
        ),
        "any": Phrasings(
            ("{operation}: response of {provider} at {host} is not valid JSON",
             "cannot parse the body that {host} sent for {operation} ({provider})"),
            "body of {operation} from {host} fails the schema check, partner {provider}",
            "vendor {provider}: truncated payload for {operation}, source {host}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class ProviderFailure:
    """A third party's region that fails. Its caller can use the other region.

    Attributes:
        problem: what is wrong.
        error_share: share of the calls to the region that fail; for a quota, of an ordinary day.
        second_host: address of the region that works.
    """

    place: Place
    start_tick: int
    change: Change | None
    problem: ProviderProblem
    error_share: float
    second_host: str
    operation: str

    def apply(self, world: World, tick: int) -> None:
        provider = world.services[self.place.callee]
        caller = world.services[self.place.service]
        if caller.settings[f"endpoint.{provider.name}"] != self.place.name:
            return
        failing = self.error_share
        reason = ErrorReason.REJECTED
        if self.problem is ProviderProblem.QUOTA:
            quota = float(provider.settings[QUOTA_KEY])
            failing = 1.0 - quota / provider.load if provider.load > quota else 0.0
            reason = ErrorReason.RATE_LIMITED
        elif self.problem is ProviderProblem.UNREADABLE:
            reason = ErrorReason.EXCEPTION
        if failing <= 0.0:
            return
        world.mark_affected(provider)
        for group in provider.groups:
            group.add_errors(reason, failing)
        is_unreadable = self.problem is ProviderProblem.UNREADABLE
        event = UNREADABLE_ANSWER if is_unreadable else FAILED_CALL
        fields = {
            "provider": provider.name,
            "host": self.place.name,
            "operation": self.operation,
        }
        world.emit_log(caller, event, provider.load * failing * SECONDS_PER_TICK, fields)


def find_places(world: World) -> list[Place]:
    """Return the third parties that a single service calls, at the address that it uses."""
    places = []
    for provider in world.ordered:
        callers = world.callers[provider.name]
        if provider.kind is ServiceKind.THIRD_PARTY and len(callers) == 1:
            host = world.services[callers[0]].settings[f"endpoint.{provider.name}"]
            places.append(
                Place(callers[0], Thing.THIRD_PARTY, host, Origin.UNLISTED, callee=provider.name)
            )
    return places


def start(world: World, place: Place, severity: Severity) -> ProviderFailure:
    """Return a fault that fails 30 to 98 % of the calls to the third party's region."""
    draws = BitStream(f"{severity.seed}/provider_failure")
    problem = draws.choose(tuple(ProviderProblem))
    share = MIN_ERROR_SHARE + (MAX_ERROR_SHARE - MIN_ERROR_SHARE) * severity.size
    provider = world.services[place.callee]
    if problem is ProviderProblem.QUOTA:
        quota = format_number(round(provider.load * (1.0 - share), 1))
        world.schedule(severity.start_tick, SetSetting(provider.name, QUOTA_KEY, quota))
    settings = world.services[place.service].settings
    operation = draws.choose(("authorize", "submit", "lookup", "confirm", "reserve"))
    return ProviderFailure(
        place, severity.start_tick, None, problem, share,
        settings[f"second_endpoint.{provider.name}"], operation,
    )  # fmt: skip


def _second_provider_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, ProviderFailure):
        return None
    return set_config(fault.place.service, f"endpoint.{fault.place.callee}", fault.second_host)


def _quota_call(world: World, fault: Fault) -> ToolCall | None:
    if not isinstance(fault, ProviderFailure) or fault.problem is not ProviderProblem.QUOTA:
        return None
    value = int(4.0 * world.services[fault.place.callee].usual_load) + 1
    return ToolCall("set_limit", {"service": fault.place.callee, "kind": "quota", "value": value})


SECOND_PROVIDER = Repair("use the second provider", _second_provider_call, wait_ticks=2)
MORE_QUOTA = Repair("ask for more quota", _quota_call, wait_ticks=2)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (
        ask_metrics(suspect.service, "error_ratio", "callee"),
        ask_metrics(suspect.service, "connect_error_ratio", "callee"),
        ask_diagnostic(suspect.service, "settings"),
    )


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if the callee with the most failures has a second address and connections succeed."""
    by_callee, connections, settings = replies
    values = {str(row.get("key")): str(row.get("value")) for row in settings.rows}
    failed = {
        series.labels["callee"]: final_level([series])
        for series in by_callee.find_series("error_ratio")
    }
    worst = max(failed, key=lambda callee: failed[callee], default="")
    second = values.get(f"second_endpoint.{worst}")
    unconnected = final_level(connections.find_series("connect_error_ratio", callee=worst))
    if second is None or failed[worst] < 0.02 or unconnected > 0.5 * failed[worst]:
        return None
    return Verdict(failed[worst], (set_config(suspect.service, f"endpoint.{worst}", second),))


def _question_callee(place: Place) -> Question:
    return ask_metrics(place.service, "error_ratio,connect_error_ratio", "callee")


def _measure_answers(reply: ParsedReply, place: Place) -> float:
    """Return the share of the calls that the third party received and did not fulfil."""
    failed = final_level(reply.find_series("error_ratio", callee=place.callee))
    return failed - final_level(reply.find_series("connect_error_ratio", callee=place.callee))


FAULT_TYPE = FaultType(
    name="provider_failure",
    levels=levels("emhx"),
    origins={Origin.UNLISTED: 1.0},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(FAILED_CALL, UNREADABLE_ANSWER),
    repairs=((SECOND_PROVIDER,), (MORE_QUOTA,)),
    mitigations=(OPEN_BREAKER,),
    decisive=(
        EvidenceCheck(
            "the third party answers without success", _question_callee, _measure_answers, 0.02,
            ("rate_limit", "code_error", "wrong_endpoint"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
