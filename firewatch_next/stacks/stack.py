"""What a stack consists of: the format of its log lines, its own messages and ordinary lines.

A stack is the kind of program that a service runs, seen through its logs. Each is one file in this
folder. To add one, copy a file and list it in `stacks/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from firewatch_next.simulation.log_event import LogLevel, Phrasings, Wording
from firewatch_next.simulation.service import ServiceKind

FieldValue = str | int | float


@dataclass(frozen=True)
class LogLine:
    """One line before it is formatted.

    Attributes:
        time: when it was written.
        message: the event's phrasing with its fields filled in.
        event: name of the event, or "" for an ordinary line.
        fields: the event's fields, and of the request: `path`, `milliseconds`, `status`.
        number: random integer below 2**32 for thread, connection and request ids.
    """

    time: datetime
    level: LogLevel
    service: str
    pod: str
    message: str
    event: str
    fields: Mapping[str, FieldValue]
    number: int


@dataclass(frozen=True)
class OrdinaryLine:
    """A line that the program writes also when all is well, in all splits alike.

    Attributes:
        template: message with fields of the request: `path`, `milliseconds`, `callee`, `count`.
        per_request: lines per request. per_tick: lines in 30 seconds beside these.
    """

    level: LogLevel
    template: str
    per_request: float = 0.0
    per_tick: float = 0.0


@dataclass(frozen=True)
class Stack:
    """A kind of program, as its log lines show it.

    Attributes:
        name: such as "java_spring", the value of `Service.stack`.
        kinds: kinds of services that use it.
        format_line: formats a line as the program does, without a line break.
        messages: wording of consequences, by the names in `CONSEQUENCE_FIELDS`.
        ordinary: lines when all is well.
        wordings: splits in which it is drawn; all unless it is kept for one.
    """

    name: str
    kinds: frozenset[ServiceKind]
    format_line: Callable[[LogLine], str]
    messages: Mapping[str, Phrasings]
    ordinary: tuple[OrdinaryLine, ...]
    wordings: frozenset[Wording] = field(default_factory=lambda: frozenset(Wording))


CONSEQUENCE_FIELDS: dict[str, tuple[str, ...]] = {
    "call_failed": ("callee", "status", "path"),
    "call_timeout": ("callee", "timeout_ms", "path"),
    "connect_failed": ("callee", "problem", "path"),
    "pool_timeout": ("callee", "pool_size", "waited_ms", "path"),
    "queue_full": ("queue_length", "path"),
    "request_failed": ("status", "path", "milliseconds"),
    "retrying": ("callee", "attempt", "path"),
    "gc_pressure": ("gc_percent", "memory_percent"),
    "slow_statement": ("milliseconds", "user", "statement"),
    "replica_behind": ("lag_seconds",),
}
"""Events that any program logs when a call or request goes wrong, with their fields."""


def format_milliseconds(time: datetime) -> str:
    """Return the milliseconds of a time with three digits."""
    return f"{time.microsecond // 1000:03d}"


def make_request_id(line: LogLine) -> str:
    """Return a hexadecimal id of the request that a line belongs to."""
    return f"{line.number:08x}{(line.number * 2654435761) % (1 << 32):08x}"


def parse_messages(text: str) -> dict[str, Phrasings]:
    """Return the phrasings of each event.

    Args:
        text: name of an event, then its phrasings, indented by four spaces: all open ones, then
            that for test, then that for sealed. Lines indented further continue a phrasing.

    Raises:
        ValueError: if an event has fewer than four phrasings.
    """
    found: dict[str, list[str]] = {}
    for line in text.strip("\n").split("\n"):
        if not line.startswith(" "):
            name = line
            found[name] = []
        elif line.startswith("      "):
            found[name][-1] += f" {line.strip()}"
        else:
            found[name].append(line.strip())
    for name, phrasings in found.items():
        if len(phrasings) < 4:
            raise ValueError(f"{name} has {len(phrasings)} phrasings; at least 4 are needed")
    return {name: Phrasings(tuple(p[:-2]), p[-2], p[-1]) for name, p in found.items()}
