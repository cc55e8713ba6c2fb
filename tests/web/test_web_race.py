"""A race: rivals move with the visitor, and nothing of what they do is told before the end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.page import race
from openenv_kit.page.arrival import arrive
from openenv_kit.page.builder import status_html
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.state import VISITORS, Visitor
from openenv_kit.page.trace import describe
from openenv_kit.page.watch import show as watched
from openenv_kit.page.watching import scripted

EASY = {"task_id": "easy_single_spike"}
PLAYED = [
    ("metric_tracker_rl", EASY),
    ("metric_tracker_rl", {"task_id": "drill_easy_saas_trial"}),
    ("firewatch", {"task_id": "task_easy_timeout_propagation"}),
]


def racing(third: str = race.ALONE, name: str = "metric_tracker_rl", **reset: Any) -> Visitor:
    scenes = scenes_of(get_environment(name))
    visitor = scenes.visitor(scenes.environment)
    visitor.start(**(reset or EASY))
    visitor.token = "drawn anew for each visitor"
    race.start_race(visitor, third)
    return visitor


def told(visitor: Visitor) -> str:
    """All that the page shows of a race."""
    scenes = scenes_of(visitor.environment)
    shown = [status_html(scenes, visitor), *race.show(scenes, visitor)[:1]]
    return "\n".join([*shown, *(str(each) for each in watched(scenes, visitor))])


def rivals_of(visitor: Visitor) -> tuple[Any, ...]:
    assert visitor.race is not None
    return visitor.race.rivals


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reset"), PLAYED)
def test_what_a_rival_does_is_told_when_the_visitor_is_done_and_not_before(
    name: str, reset: dict[str, Any]
) -> None:
    before, after = [], []
    for other in (False, True):
        visitor = racing("reference", name, **reset)
        (first, second), scenes = rivals_of(visitor), scenes_of(visitor.environment)
        first.run_to_end()
        second.run_to_end()
        last = second.frames[-1]
        if other:
            lower = {**last.observation, "reward": 0.125}
            second.frames[1:] = [replace(each, action={}, words="!") for each in second.frames[1:]]
            second.frames[-1] = replace(last, observation=lower)
        seen = []
        for moves in range(len(first.frames) + 1):
            rivals = visitor.race
            assert rivals is not None
            rivals.follow(moves, over=False)
            seen.append(told(visitor))
        calls = {describe(scenes, frame) for frame in first.frames[1:]}
        assert [call for call in calls if call in "".join(seen)] == []
        assert f"reference {len(first.frames) - 1} (done)" in seen[-1]
        race.watch_rival(visitor, "0:1")
        assert visitor.playback is None
        visitor.step("my last move", last.action)
        visitor.log = []  # it tells how long each call took
        before.append(seen)
        after.append(told(visitor))
    assert before[0] == before[1]
    assert after[0] != after[1]
    assert "0.1250" in after[1]
    race.watch_rival(visitor, "0:1")
    assert visitor.playback is first
    assert f"step 1 of {len(first.frames) - 1}" in watched(scenes, visitor)[0]


def test_rivals_make_a_move_when_the_visitor_does() -> None:
    visitor = racing("null")
    reference, null = rivals_of(visitor)
    assert (reference.at, null.at) == (0, 0)
    for moves in (1, 2):
        visitor.call("list_dates", {})
        assert (reference.at, null.at) == (moves, 1)
    assert "reference 2 · null 1 (done)" in told(visitor)
    visitor.step("submit 0 row(s)", {"classifications": []})
    assert reference.finished
    assert "pick_rival" in told(visitor)


def test_a_play_that_was_kept_back_is_raced_on_its_own_episode() -> None:
    visitor = racing()
    with pytest.raises(ConfigurationError, match="no play to race against"):
        race.start_race(visitor, race.WATCHED)
    environment = visitor.environment
    played = scripted(environment.policies["null"], {"task_id": "medium_mixed_pair"}, environment)
    played.run_to_end()
    played.kept_back = True
    visitor.watch(played)
    assert "is kept back" in told(visitor)
    assert "submit 0 row(s)" not in told(visitor)
    race.start_race(visitor, race.WATCHED)
    assert (visitor.session.task_id, visitor.playback) == ("medium_mixed_pair", None)
    assert rivals_of(visitor)[1] is played
    visitor.start(**EASY)
    assert visitor.race is None
    with pytest.raises(ConfigurationError, match=r"rival 'refrence'.*reference"):
        race.start_race(visitor, "refrence")


def test_a_race_goes_on_after_a_reload() -> None:
    visitor = racing()
    VISITORS[visitor.token] = visitor
    visitor.call("list_dates", {})
    running = visitor.race
    scenes = scenes_of(visitor.environment)
    again = scenes.visitor(scenes.environment)
    arrive(scenes, again, json.dumps({"query": {}, "token": visitor.token, "first": False}))
    assert (again.race, visitor.race) == (running, None)
    again.call("list_dates", {})
    assert rivals_of(again)[0].at == 2
