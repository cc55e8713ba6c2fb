"""A circuit breaker that somebody has opened by hand and not closed again."""

from __future__ import annotations

from dataclasses import dataclass

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
)
from firewatch_next.faults.questions import ask_diagnostic, suspect_at, undo_of_key
from firewatch_next.faults.repairs import RESTORE_SETTING, UNDO_CHANGE
from firewatch_next.faults.setting_fault import SettingFault, give_faulty_value, setting_places
from firewatch_next.simulation.service import SECONDS_PER_TICK, Service
from firewatch_next.simulation.settings import FORCED_OPEN
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

KEY = "breaker"

FALLBACK = LogEvent(
    "breaker_open.fallback",
    LogLevel.INFO,
    ("callee",),
    {
        "java_spring": Phrasings(
            ("Fallback for {callee} returned the default value",
             "CallNotPermittedException: CircuitBreaker '{callee}' is FORCED_OPEN"),
            "Using default response instead of {callee}",
            "{callee} skipped, substitute answer",
        ),
        "go_logfmt": Phrasings(
            ('msg="using fallback" callee={callee}', 'upstream={callee} msg="call not attempted"'),
            'target={callee} msg="default answer"',
            "event=substitute target={callee}",
        ),
        "any": Phrasings(
            ("fallback used for {callee}", "{callee} not called, default answer given"),
            "answer without {callee}",
            "substituted {callee}",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class OpenBreaker(SettingFault):
    """A breaker that is forced open. It acts through the setting."""

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        if service.settings[self.place.name] != FORCED_OPEN:
            return
        world.mark_affected(service)
        calls = service.load * service.client_of(self.place.callee).calls_per_request
        fields = {"callee": self.place.callee}
        world.emit_log(service, FALLBACK, calls * SECONDS_PER_TICK, fields)


def _has_breaker(service: Service, key: str) -> bool:
    return True


def find_places(world: World) -> list[Place]:
    """Return the breakers in front of optional callees, changed or set by hand."""
    return setting_places(world, (KEY,), _has_breaker)


def start(world: World, place: Place, severity: Severity) -> OpenBreaker:
    """Return a breaker that is forced open; the severity has no effect."""
    return OpenBreaker(place, *give_faulty_value(world, place, severity, FORCED_OPEN))


def _close_call(world: World, fault: Fault) -> ToolCall | None:
    arguments = {"service": fault.place.service, "callee": fault.place.callee, "state": "closed"}
    return ToolCall("set_breaker", arguments)


CLOSE_BREAKER = Repair("close the breaker", _close_call, wait_ticks=2)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "settings"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if a breaker of the service is forced open."""
    for row in replies[0].rows:
        name, _, callee = str(row.get("key", "")).partition(".")
        if name == KEY and row.get("value") == FORCED_OPEN:
            arguments: dict[str, object] = {
                "service": suspect.service, "callee": callee, "state": "closed"
            }  # fmt: skip
            call = undo_of_key(suspect, suspect.service, f"{KEY}.{callee}")
            return Verdict(1.0, (call or ToolCall("set_breaker", arguments),))
    return None


def _question_settings(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _count_open_breakers(reply: ParsedReply, place: Place) -> float:
    """Return the number of breakers that are forced open."""
    is_open = [row for row in reply.rows if row.get("value") == FORCED_OPEN]
    return float(len(is_open))


FAULT_TYPE = FaultType(
    name="breaker_open",
    levels=frozenset(),
    origins={Origin.SAFE_CHANGE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    has_smooth_severity=False,
    log_events=(FALLBACK,),
    repairs=((CLOSE_BREAKER,), (UNDO_CHANGE,), (RESTORE_SETTING,)),
    mitigations=(),
    decisive=(
        EvidenceCheck("a breaker is open", _question_settings, _count_open_breakers, 0.5, ()),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)
