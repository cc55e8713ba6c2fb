"""Log formats and the wording of consequences and alerts."""

from __future__ import annotations

import json
import re
import string
from datetime import UTC, datetime

import pytest

from firewatch_next.simulation.log_event import LogEvent, LogLevel, Phrasings, Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks import STACKS, list_stacks
from firewatch_next.stacks.stack import CONSEQUENCE_FIELDS, LogLine, parse_messages
from firewatch_next.telemetry import consequences
from firewatch_next.telemetry.alerts import ALERT_WORDINGS
from firewatch_next.telemetry.consequences import consequence_event

STORE_MESSAGES = {"queue_full", "slow_statement", "replica_behind"}
CALLER_MESSAGES = set(CONSEQUENCE_FIELDS) - {"slow_statement", "replica_behind"}
CALLER_KINDS = {ServiceKind.INGRESS, ServiceKind.APPLICATION, ServiceKind.WORKER}
POD_EVENTS = (consequences.POD_KILLED, consequences.POD_STARTED, consequences.POD_STOPPED)
EVENTS: list[LogEvent] = [
    *(consequence_event(name) for name in CONSEQUENCE_FIELDS),
    *POD_EVENTS,
    *ALERT_WORDINGS,
]
ALL_PHRASINGS = [
    pytest.param(event, stack, id=f"{event.name} {stack}")
    for event in EVENTS
    for stack in event.phrasings
]


def templates_of(event: LogEvent, stack: str) -> list[str]:
    phrasings = event.phrasings[stack]
    return [*phrasings.open, phrasings.test, phrasings.sealed]


def fields_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize(("event", "stack"), ALL_PHRASINGS)
def test_every_phrasing_formats_with_the_fields_of_its_event(event: LogEvent, stack: str) -> None:
    values = {name: f"<{name}>" for name in event.fields}
    for template in templates_of(event, stack):
        assert fields_in(template) <= set(event.fields)
        text = template.format(**values)
        assert all(f"<{name}>" in text for name in fields_in(template))
        assert "\n" not in text


@pytest.mark.parametrize(("event", "stack"), ALL_PHRASINGS)
def test_every_event_has_four_phrasings_with_different_words(event: LogEvent, stack: str) -> None:
    assert len(event.phrasings[stack].open) >= 2
    templates = templates_of(event, stack)
    words = [frozenset(re.findall(r"[A-Za-z_.]{3,}", re.sub(r"{\w+}", "", t))) for t in templates]
    assert len(set(templates)) == len(templates)
    for number, own in enumerate(words):
        for other in words[:number]:
            assert len(own & other) <= 0.5 * max(len(own), len(other))


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_words_what_its_kinds_of_services_can_notice(name: str) -> None:
    stack = STACKS[name]
    expected = CALLER_MESSAGES if stack.kinds & CALLER_KINDS else STORE_MESSAGES
    assert set(stack.messages) == expected
    assert {line.level for line in stack.ordinary} >= {LogLevel.INFO, LogLevel.WARN}


@pytest.mark.parametrize("level", list(LogLevel))
@pytest.mark.parametrize("name", STACKS)
def test_every_stack_formats_a_line_with_its_message(name: str, level: LogLevel) -> None:
    line = LogLine(
        datetime(2026, 3, 17, 14, 31, 5, 123_000, tzinfo=UTC), level, "cart-api", "cart-api-x1",
        'no "quoted" answer', "call_failed", {"callee": "cart-db", "status": 503, "path": "/c"},
        123_456_789,
    )  # fmt: skip
    text = STACKS[name].format_line(line)
    assert "\n" not in text
    assert "31" in text or name == "node_pino"
    if text.startswith("{"):
        assert json.loads(text)["msg"] == line.message
    else:
        assert "answer" in text.replace("_", " ")


def test_messages_are_parsed_with_continued_lines() -> None:
    messages = parse_messages("""
lost
    one {a}
      goes on
    two
    three
    four
    five
""")
    assert messages == {"lost": Phrasings(("one {a} goes on", "two", "three"), "four", "five")}


def test_message_with_too_few_phrasings_is_an_error() -> None:
    with pytest.raises(ValueError, match="lost has 3 phrasings"):
        parse_messages("lost\n    one\n    two\n    three")


def test_a_kind_of_stack_is_kept_for_the_test_and_the_sealed_split() -> None:
    def stacks_of(wording: Wording) -> set[str]:
        return {name for kind in ServiceKind for name in list_stacks(kind, wording)}

    open_stacks = stacks_of(Wording.OPEN)
    assert stacks_of(Wording.TEST) - open_stacks == {"node_pino"}
    assert stacks_of(Wording.SEALED) - open_stacks == {"dotnet"}
    assert not list_stacks(ServiceKind.THIRD_PARTY, Wording.TEST)
    assert all(
        list_stacks(kind, Wording.OPEN) for kind in ServiceKind if kind != ServiceKind.THIRD_PARTY
    )
