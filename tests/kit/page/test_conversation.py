"""Recorded messages by step: results stand with their calls, and reasoning apart from the text."""

from __future__ import annotations

from typing import Any

from openenv_kit.page.conversation import (
    CallEntry,
    TextEntry,
    arrange_messages_by_step,
    split_reasoning_from_text,
)


def said(content: str | None, *call_ids: str, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": each, "function": {"name": f"tool_{each}", "arguments": "{}"}} for each in call_ids
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls, **more}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": f"result of {call_id}"}


SYSTEM, USER = {"role": "system", "content": "rules"}, {"role": "user", "content": "task"}


def test_result_in_the_next_steps_line_stands_with_its_call() -> None:
    start, first, second, after = arrange_messages_by_step(
        [[SYSTEM, USER, said("one", "a")], [result("a"), said("two", "b")], [result("b")]], 2
    )
    assert start.entries == [TextEntry("system", "rules"), TextEntry("user", "task")]
    assert first.entries == [
        TextEntry("assistant", "one"),
        CallEntry("tool_a", "{}", "result of a", is_executed=True),
    ]
    assert second.executed_call == CallEntry("tool_b", "{}", "result of b", is_executed=True)
    assert after.entries == []


def test_rejected_call_stands_before_the_call_that_became_the_step() -> None:
    messages = [USER, said("", "bad"), result("bad"), said("again", "good")]
    _, first, _ = arrange_messages_by_step([messages, [result("good")]], 1)
    assert [call.name for call in first.rejected_calls] == ["tool_bad"]
    assert first.executed_call is not None
    assert (first.executed_call.name, first.executed_call.result) == ("tool_good", "result of good")


def test_two_calls_in_one_response_become_two_steps() -> None:
    _, first, second, _ = arrange_messages_by_step(
        [[said("both", "a", "b")], [result("a")], [result("b")]], 2
    )
    assert [first.executed_call.name, second.executed_call.name] == ["tool_a", "tool_b"]  # type: ignore[union-attr]
    assert [first.executed_call.result, second.executed_call.result] == [  # type: ignore[union-attr]
        "result of a",
        "result of b",
    ]


def test_text_after_the_last_step_stands_last() -> None:
    *_, after = arrange_messages_by_step([[said("", "a")], [result("a"), said("I stop.")]], 1)
    assert after.entries == [TextEntry("assistant", "I stop.")]


def test_rollout_without_messages_has_empty_conversations() -> None:
    assert [each.entries for each in arrange_messages_by_step([[], []], 1)] == [[], [], []]


def test_reasoning_is_split_from_text_and_read_from_its_own_field() -> None:
    assert split_reasoning_from_text("<think>why</think>What.") == TextEntry(
        "assistant", "What.", "why"
    )
    message = said("What.", reasoning_content="why")
    _, first, _ = arrange_messages_by_step([[message], []], 1)
    assert first.entries == [TextEntry("assistant", "What.", "why")]


def test_messages_of_any_shape_do_not_raise() -> None:
    odd: list[Any] = [
        {"role": "assistant", "tool_calls": [None, {"function": 3}, {"id": 1}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, "b", 5]},
        {"role": "tool"},
        {},
        {"role": ["x"], "content": {"a": 1}},
    ]
    _, first, _ = arrange_messages_by_step([odd, odd], 1)
    assert TextEntry("assistant", "a\nb\n5") in first.entries
