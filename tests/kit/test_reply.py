"""Tests of `openenv_kit.reply`."""

from __future__ import annotations

import pytest

from openenv_kit.reply import EndInfo, Reply, ReplyStatus, observation_from_reply


@pytest.mark.parametrize("info", [None, {}, {"reward_components": None, "reason": None}])
def test_end_info_without_values_is_empty(info: dict[str, object] | None) -> None:
    assert EndInfo.from_info(info) == EndInfo({}, None, "")


def test_end_info_reads_the_names_of_the_wire() -> None:
    info = {"reward_components": {"graded": 0.5}, "grounded": 0.25, "reason": "max_steps"}
    assert EndInfo.from_info(info) == EndInfo({"graded": 0.5}, 0.25, "max_steps")


@pytest.mark.parametrize("done", [False, True])
def test_observation_from_reply_contains_info_only_at_the_end(done: bool) -> None:
    reply = Reply("looked", "Done.", done=done, info={"reason": "max_steps"})
    assert ("metadata" in observation_from_reply(reply)) is done


def test_reply_status_equals_the_text_on_the_wire() -> None:
    assert (f"{ReplyStatus.ERROR}", ReplyStatus.COMPLETED) == ("error", "completed")
