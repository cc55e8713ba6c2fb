"""A kind of log line: when it is written, which fields it has, and how it may be worded.

The types are here and not in `faults/`, because telemetry reads log events as data and never
imports a fault type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openenv_kit.bitstream import BitStream


class LogLevel(StrEnum):
    """Severity of a log line."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Wording(StrEnum):
    """Set of phrasings from which a task's texts are taken."""

    OPEN = "open"
    TEST = "test"
    SEALED = "sealed"


@dataclass(frozen=True)
class Phrasings:
    """Templates of one message in one stack, with `{field}` for the event's fields.

    They differ in words, order and exception class. Templates contain the message only: time,
    level, pod and the line's format belong to the stack.

    Attributes:
        open: at least two, for training and named tasks. test, sealed: one for each split.
    """

    open: tuple[str, ...]
    test: str
    sealed: str

    def of_wording(self, wording: Wording) -> tuple[str, ...]:
        """Return the templates that a task with that wording may use."""
        if wording is Wording.OPEN:
            return self.open
        return (self.test if wording is Wording.TEST else self.sealed,)


@dataclass(frozen=True, eq=False)
class LogEvent:
    """A kind of log line. Two events are equal only if they are the same object.

    Attributes:
        name: unique name, such as "code_error.exception".
        level: severity.
        fields: names of the fields that the templates may use. Their values are given in
            `World.emit_log`, and come from the simulation.
        phrasings: by stack. The stack "any" is used where the service's own is missing.
    """

    name: str
    level: LogLevel
    fields: tuple[str, ...]
    phrasings: Mapping[str, Phrasings]


@dataclass(frozen=True)
class LogRecord:
    """Lines of one event that a service wrote within one tick.

    Attributes:
        count: number of lines in the tick; a reply shows some of them and the count.
        fields: values of the event's fields.
        version: only pods of that version wrote it; "" is all pods. pod: likewise.
    """

    tick: int
    service: str
    event: LogEvent
    count: float
    fields: Mapping[str, str | int | float] = field(default_factory=dict)
    version: str = ""
    pod: str = ""


def choose_phrasing(draws: BitStream, stack: str, event: LogEvent, wording: Wording) -> str:
    """Return the template of the event that is used throughout an episode.

    Args:
        draws: stream of the task, service and event, for example
            `BitStream(f"{task}/{service}/{event.name}")`.
        stack: stack of the service.
        event: kind of log line.
        wording: set of phrasings of the task.
    """
    phrasings = event.phrasings.get(stack) or event.phrasings["any"]
    return draws.choose(phrasings.of_wording(wording))
