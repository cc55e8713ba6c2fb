"""Plays the reference policy on tasks of a rung, with changed tool results."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.names import Profile
from metric_tracker_rl.engine.episode.flagged_series import list_flagged_series_by_id
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.lean_reference import scan_flagged_series_and_submit_root_ids
from openenv_kit.reply import EndInfo, observation_from_reply
from openenv_kit.rewards import Reward

MAX_STEPS = 128
ToolResult = dict[str, Any]
ChangeResult = Callable[[str, ToolResult], ToolResult]
"""Function that receives a tool's name and its result, and returns the result to show instead."""


class ListedSeries(NamedTuple):
    """A series with an id, as a player could know it, and whether the report must contain it."""

    series_id: int
    date: str
    name: str
    change: float
    is_root: bool


class PlayedEpisode(NamedTuple):
    """What the reference policy read and submitted in one episode.

    Attributes:
        dates: ISO dates of the episode.
        series: all series that have an id, in the order of the ids.
        results: result of each tool that the policy called, by the name of the tool; the pages of
            a tool that was called several times are in one list.
        submitted_ids: ids that the policy submitted.
        is_exact: whether the report was exactly right.
    """

    dates: tuple[str, ...]
    series: tuple[ListedSeries, ...]
    results: dict[str, list[ToolResult]]
    submitted_ids: frozenset[int]
    is_exact: bool

    @property
    def root_ids(self) -> frozenset[int]:
        """Ids of the exactly right report."""
        return frozenset(series.series_id for series in self.series if series.is_root)


@lru_cache(maxsize=4096)
def play_reference(split: str, index: int) -> PlayedEpisode:
    """Play a task with the reference policy and unchanged results."""
    return play_reference_with_changed_results(split, index, lambda _, result: result)


def play_reference_with_changed_results(
    split: str, index: int, change_result: ChangeResult
) -> PlayedEpisode:
    """Play a task with the reference policy, which reads changed tool results.

    Args:
        split: name of the split.
        index: index of the task.
        change_result: returns the result that the policy reads instead of a tool's own.
    """
    session = EpisodeSession()
    reply = session.reset(split=split, index=index, profile=Profile.LEAN, max_steps=MAX_STEPS)
    episode = session.running_view.episode
    results: dict[str, list[ToolResult]] = {}
    submitted_ids: frozenset[int] = frozenset()
    actions = scan_flagged_series_and_submit_root_ids(observation_from_reply(reply))
    action = next(actions)
    while not reply.done:
        reply = session.step(action)
        name, arguments = action["analysis_method"], action["analysis_args"]
        if name == SUBMIT_TOOL:
            submitted_ids = frozenset(arguments["ids"])
            break
        observation = observation_from_reply(reply)
        analysis = observation["analysis_result"]
        results.setdefault(name, []).append(analysis["result"])
        changed = change_result(name, analysis["result"])
        action = actions.send({**observation, "analysis_result": {**analysis, "result": changed}})
    components = EndInfo.from_info(reply.info).components
    expected_keys = {row.key for row in episode.expected_rows}
    series = tuple(
        ListedSeries(
            series_id,
            listed.row.date,
            listed.row.entity_name,
            listed.deviation,
            listed.row.key in expected_keys,
        )
        for series_id, listed in enumerate(list_flagged_series_by_id(episode), start=1)
    )
    return PlayedEpisode(
        episode.dates,
        series,
        results,
        submitted_ids,
        is_exact=components.get(Reward.EXACT) == 1.0,
    )


def count_tasks(split: str) -> int:
    """Return the number of tasks of a split."""
    return SPLITS.size(split)
