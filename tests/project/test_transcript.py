"""The transcript of a policy's episode, as a model would read it."""

from __future__ import annotations

import json

import pytest

from metric_tracker_rl.engine.configuration.modes import LEAN_MODE, MODES
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.errors import InvalidValueError
from research.transcript import build_transcript

NAMES = ["overview", "scan", "day", "hours", "calendar", "submit"]


LEAN = {"profile": "lean"}


def test_transcript_contains_all_messages_and_rejects_a_wrong_reset() -> None:
    reset = {"task_id": "hard_mixed_multi", **LEAN}
    brief, tools, opening, *turns = build_transcript(ENVIRONMENT, get_policy("reference"), reset)
    assert brief == MODES[LEAN_MODE].system_prompt
    assert [each["function"]["name"] for each in json.loads(tools)] == NAMES
    assert opening.count("Report the root") == 1
    assert [json.loads(call)["name"] for call in turns[::2]] == ["scan", "calendar", "submit"]
    assert json.loads(turns[-1])["message"].startswith("Score 1.0000")
    assert not any("Report the root" in text for text in (brief, tools, *turns))
    with pytest.raises(InvalidValueError, match="Did you mean 'lean'"):
        build_transcript(ENVIRONMENT, get_policy("reference"), {"profile": "leen"})
