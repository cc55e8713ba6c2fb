"""What a fault type consists of. Each type is one file in this folder that builds a `FaultType`.

A fault lives on a thing of the world: a version, revision, flag, setting, job, node, certificate,
record set, tenant or third party. `Fault.apply` reads in each tick whether that thing is still
there and adds its effects. It never learns of actions: those change things, never a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from firewatch_next.changes.change import Change
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question
from firewatch_next.simulation.log_event import LogEvent, LogLevel, LogRecord, Phrasings, Wording
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

__all__ = [
    "EvidenceCheck",
    "Fault",
    "FaultType",
    "Hypothesis",
    "Level",
    "LogEvent",
    "LogFields",
    "LogLevel",
    "LogRecord",
    "Origin",
    "ParsedReply",
    "Phrasings",
    "Place",
    "Question",
    "Repair",
    "Severity",
    "Thing",
    "Wording",
]


LogFields = dict[str, str | int | float]


class Level(StrEnum):
    """Level of difficulty on which a fault type is drawn."""

    RUNG = "rung"
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    EXPERT = "expert"


LEVEL_OF_LETTER = {level.value[0] if level != "expert" else "x": level for level in Level}


def levels(letters: str) -> frozenset[Level]:
    """Return the levels of letters such as "remhx", as in the design's table of fault types."""
    return frozenset(LEVEL_OF_LETTER[letter] for letter in letters)


class Origin(StrEnum):
    """How a fault relates to the listed changes. The design's section 5 has the shares."""

    SAFE_CHANGE = "safe_change"  # of the faulty service, and undoing it repairs
    CHANGE_ELSEWHERE = "change_elsewhere"  # of a client, the platform, a CA or a job
    UNSAFE_CHANGE = "unsafe_change"  # undoing it is unsafe or not enough
    UNLISTED = "unlisted"  # old flag with new data, grown tenant, expiry, old setting


class Thing(StrEnum):
    """Kind of thing that a fault lives on."""

    VERSION = "version"
    REVISION = "revision"
    FLAG = "flag"
    SETTING = "setting"
    TENANT = "tenant"
    JOB = "job"
    NODE = "node"
    ZONE = "zone"
    CERTIFICATE = "certificate"
    RECORD = "record"
    THIRD_PARTY = "third_party"
    TRAFFIC = "traffic"
    STATEMENT = "statement"


@dataclass(frozen=True)
class Place:
    """Where a fault can occur.

    Attributes:
        service: the service that the thing belongs to.
        thing, name: kind and name of the thing, for example VERSION and "5.12.1", or FLAG and
            "ledger.async_receipts".
        origin: how it relates to the listed changes.
        change: the change that brought the thing, or None. A version's or flag's fault starts at
            its tick.
        callee: the callee whose client is affected, or "".
    """

    service: str
    thing: Thing
    name: str
    origin: Origin
    change: Change | None = None
    callee: str = ""


@dataclass(frozen=True)
class Severity:
    """How large a fault is and when it starts.

    Attributes:
        size: 0–1, mapped by the fault type to its own quantity. Where `has_smooth_severity`, more
            size never harms less, and the task draw bisects it.
        start_tick: first tick of the effect where no change starts it.
        seed: text that fixes all further random choices of the fault.
    """

    size: float
    start_tick: int
    seed: str


class Fault(Protocol):
    """A fault in a world. It is immutable; whatever accumulates is kept in the world's things.

    Attributes:
        place: where it lives.
        start_tick: first tick in which it can have an effect.
        change: replaces `place.change` in the world if the severity decides a setting's value,
            else equal to it.
    """

    @property
    def place(self) -> Place: ...

    @property
    def start_tick(self) -> int: ...

    @property
    def change(self) -> Change | None: ...

    def apply(self, world: World, tick: int) -> None:
        """Add the fault's effects and log lines of that tick, if its thing is still there.

        It is called before the sub-steps of each tick from `start_tick` on. Effect fields are
        neutral at that point; `load` and the like are those of the tick before.
        """


@dataclass(frozen=True)
class Repair:
    """One step of a repair, or a mitigation, as a tool call.

    Attributes:
        name: for reports, such as "undo the deploy".
        make_call: builds the tool call for a fault in a world, or returns None where the step does
            not apply (for example `set_flag` for a fault of a version).
        wait_ticks: ticks until its effect is complete and the next step may follow.
    """

    name: str
    make_call: Callable[[World, Fault], ToolCall | None]
    wait_ticks: int = 4


@dataclass(frozen=True)
class EvidenceCheck:
    """A measurement in tool replies that decides between a fault type and its look-alikes.

    Used by the certificate only: on a task with the fault the measure must exceed `threshold` by
    three standard deviations of its noise, and on each look-alike it must not.
    """

    name: str
    question: Callable[[Place], Question]
    measure: Callable[[ParsedReply, Place], float]
    threshold: float
    look_alikes: tuple[str, ...]


@dataclass(frozen=True)
class FaultType:
    """A fault type: where it occurs, what it does, how it is repaired, and how it is recognised.

    Attributes:
        name: unique, equal to the file's name.
        levels: levels on which it is drawn; empty for named tasks only.
        origins: possible origins with their weights.
        find_places: possible places in a world with drawn changes and no fault.
        start: builds the fault, and prepares the world (for example a tenant) without harm before
            `start_tick`.
        has_smooth_severity: False if severity cannot be bisected.
        log_events: every event that `apply` may emit.
        repairs: alternatives; each is a sequence of steps in order.
        mitigations: steps that each lessen the harm for a time and never repair.
        decisive: for the certificate. hypothesis: for the reference policy.
    """

    name: str
    levels: frozenset[Level]
    origins: Mapping[Origin, float]
    find_places: Callable[[World], list[Place]]
    start: Callable[[World, Place, Severity], Fault]
    has_smooth_severity: bool
    log_events: tuple[LogEvent, ...]
    repairs: tuple[tuple[Repair, ...], ...]
    mitigations: tuple[Repair, ...]
    decisive: tuple[EvidenceCheck, ...]
    hypothesis: Hypothesis
