"""Splits recordings into the lines of single rollouts, and identifies a rollout by its lines.

The lines are not parsed completely, so that large folders are listed quickly. Blank lines, and
spaces at the start or end of a line, are ignored. The debugger's script `files.js` does the same in
the browser.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ROLLOUT_ID_LENGTH = 16
ROLLOUT_ID_PATTERN = re.compile(rf"[0-9a-f]{{{ROLLOUT_ID_LENGTH}}}")
_EVENT_PATTERN = re.compile(rb'\{\s*"event"\s*:\s*"(start|step|end)"')
_LINE_SPACES = b" \t\r\n"


class UnreadableLine(NamedTuple):
    """Number of a line that cannot be read, and the reason."""

    number: int
    reason: str


@dataclass
class RolloutLines:
    """The lines of one rollout in a file.

    Attributes:
        offset: position of the first line in the file, in bytes.
        end_offset: position after the last line, in bytes.
        first_line_number: number of the first line in the file, from 1.
        start: the start event.
        end: the end event; None if the rollout has no end yet.
        step_count: number of step lines.
        rollout_id: identifier of the rollout, see `compute_rollout_id`.
        unreadable_lines: lines among those of the rollout that are not JSON.
    """

    offset: int
    end_offset: int
    first_line_number: int
    start: dict[str, Any]
    end: dict[str, Any] | None = None
    step_count: int = 0
    rollout_id: str = ""
    unreadable_lines: list[UnreadableLine] = field(default_factory=list)


class ScannedFile(NamedTuple):
    """The rollouts of a file, and the unreadable lines before its first rollout."""

    rollouts: list[RolloutLines]
    unreadable_lines: list[UnreadableLine]


def compute_rollout_id(lines: Iterable[bytes]) -> str:
    """Return the identifier of a rollout: a prefix of the SHA-256 of its lines, in hexadecimal.

    Each line is hashed without surrounding spaces and with a line feed at its end. Blank lines are
    skipped. Moving or copying a file therefore does not change the identifiers.
    """
    digest = hashlib.sha256()
    for line in lines:
        stripped = line.strip(_LINE_SPACES)
        if stripped:
            digest.update(stripped + b"\n")
    return digest.hexdigest()[:ROLLOUT_ID_LENGTH]


def scan_recording(
    lines: Iterable[bytes], offset: int = 0, first_line_number: int = 1
) -> ScannedFile:
    """Find the rollouts in the lines of a recording. Only start and end lines are parsed.

    Args:
        lines: lines of the file, each with its line feed.
        offset: position of the first line in the file, in bytes.
        first_line_number: number of the first line in the file.
    """
    rollouts: list[RolloutLines] = []
    unreadable_lines: list[UnreadableLine] = []
    digest = hashlib.sha256()
    for number, line in enumerate(lines, start=first_line_number):
        position, offset = offset, offset + len(line)
        stripped = line.strip(_LINE_SPACES)
        if not stripped:
            continue
        event, reason = _parse_event_unless_step(stripped)
        kind = event.get("event")
        if kind == "start":
            _store_rollout_id(rollouts, digest)
            digest = hashlib.sha256()
            rollouts.append(RolloutLines(position, offset, number, event))
        elif not reason and not rollouts:
            reason = "it belongs to no rollout"
        if reason:
            found = UnreadableLine(number, reason)
            (rollouts[-1].unreadable_lines if rollouts else unreadable_lines).append(found)
        if not rollouts:
            continue
        digest.update(stripped + b"\n")
        rollouts[-1].end_offset = offset
        if kind == "step":
            rollouts[-1].step_count += 1
        elif kind == "end":
            rollouts[-1].end = event
    _store_rollout_id(rollouts, digest)
    return ScannedFile(rollouts, unreadable_lines)


def iter_step_messages(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Yield the messages of each step of a rollout, and finally those of its end.

    Lines that are not JSON yield no messages. Values that are not messages are left out.
    """
    for line in lines:
        event = _parse_json_object(line.strip(_LINE_SPACES))
        if event is None or event.get("event") not in ("step", "end"):
            continue
        messages = event.get("messages")
        yield [
            message
            for message in (messages if isinstance(messages, list) else ())
            if isinstance(message, dict)
        ]


class _ParsedEvent(NamedTuple):
    event: dict[str, Any]
    reason: str


def _parse_event_unless_step(line: bytes) -> _ParsedEvent:
    """Parse an event line. For a step, whose line can be long, return only the kind."""
    kind = _EVENT_PATTERN.match(line)
    if kind is not None and kind[1] == b"step" and line.endswith(b"}"):
        return _ParsedEvent({"event": "step"}, "")
    event = _parse_json_object(line)
    if event is None:
        return _ParsedEvent({}, "it is not a JSON object")
    if event.get("event") not in ("start", "step", "end"):
        return _ParsedEvent({}, "it is not a line of a recording")
    if event["event"] == "start" and not isinstance(event.get("reset"), dict):
        return _ParsedEvent({}, "its reset is missing")
    return _ParsedEvent(event, "")


def _parse_json_object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _store_rollout_id(rollouts: list[RolloutLines], digest: Any) -> None:
    if rollouts:
        rollouts[-1].rollout_id = digest.hexdigest()[:ROLLOUT_ID_LENGTH]
