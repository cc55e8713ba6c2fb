"""Replies that reject an input."""

from __future__ import annotations

from typing import Any


def message_of_rejection(reply: Any) -> str:
    """Return the message of an error reply; assert that the reply contains no results."""
    assert (reply.status, reply.reward or 0.0, reply.done) == ("error", 0.0, False)
    fields = ("analysis_result", "tool_result", "reward_breakdown", "score_parts")
    assert not any(reply.observation_fields.get(name) for name in fields)
    return str(reply.message)
