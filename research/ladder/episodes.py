"""Plays the reference policy on tasks of a rung, with changed tool results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from metric_tracker_rl.analysis_tools.lean import SUBMIT_TOOL
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.names import Profile, ScanContent
from metric_tracker_rl.engine.episode.episode import FunnelEpisode, build_episode
from metric_tracker_rl.engine.episode.flagged_series import get_series_name, list_series_by_id
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.lean_reference import scan_flagged_series_and_submit_root_ids
from openenv_kit.reply import EndInfo, observation_from_reply
from openenv_kit.rewards import Reward

MAX_STEPS = 128
ToolResult = dict[str, Any]
ChangeResult = Callable[[str, ToolResult], ToolResult]
"""Function that receives a tool's name and its result, and returns the result to show instead."""


class ListedSeries(NamedTuple):
    """A series with an id, and whether the report must contain it.

    Attributes:
        series_id: id of the series in the episode.
        date: ISO date.
        name: name that the tools show.
        change: deviation from the median.
        is_in_scan: whether `scan` shows the name and the change; otherwise it shows the date only.
        is_root: whether the report must contain the series.
    """

    series_id: int
    date: str
    name: str
    change: float
    is_in_scan: bool
    is_root: bool


class PlayedEpisode(NamedTuple):
    """What the reference policy read in one episode, and the right report.

    Attributes:
        reset_observation: observation of the reset.
        dates: ISO dates of the episode.
        series: all series that have an id, in the order of the ids.
        results: result of each tool that the policy called, by the name of the tool; the pages of
            a tool that was called several times are in one list.
        is_exact: whether the report was exactly right.
    """

    reset_observation: dict[str, Any]
    dates: tuple[str, ...]
    series: tuple[ListedSeries, ...]
    results: dict[str, list[ToolResult]]
    is_exact: bool

    @property
    def explained(self) -> frozenset[tuple[str, str]]:
        """Date and name of each series that the calendar explains."""
        return frozenset(
            (date, name)
            for result in self.results.get("calendar", ())
            for date, _, names in result["rows"]
            for name in names
        )

    @property
    def root_ids(self) -> frozenset[int]:
        """Ids of the exactly right report."""
        return frozenset(series.series_id for series in self.series if series.is_root)


class UnplayedEpisode(NamedTuple):
    """The series of an episode that have an id, and what its calendar explains.

    Attributes:
        series: all series that have an id, in the order of the ids.
        explained: date and name of each series that the calendar explains.
    """

    series: tuple[ListedSeries, ...]
    explained: frozenset[tuple[str, str]]


def play_reference(split: str, index: int) -> PlayedEpisode:
    """Play a task with the reference policy in the lean profile."""
    session = EpisodeSession()
    reply = session.reset(split=split, index=index, profile=Profile.LEAN, max_steps=MAX_STEPS)
    episode = session.running_view.episode
    reset_observation = observation_from_reply(reply)
    results: dict[str, list[ToolResult]] = {}
    actions = scan_flagged_series_and_submit_root_ids(reset_observation)
    action = next(actions)
    while True:
        reply = session.step(action)
        if action["analysis_method"] == SUBMIT_TOOL:
            break
        observation = observation_from_reply(reply)
        result = observation["analysis_result"]["result"]
        results.setdefault(action["analysis_method"], []).append(result)
        action = actions.send(observation)
    series = list_series_with_roots(episode)
    is_exact = EndInfo.from_info(reply.info).components[Reward.EXACT] == 1.0
    return PlayedEpisode(reset_observation, episode.dates, series, results, is_exact)


def read_episode(split: str, index: int) -> UnplayedEpisode:
    """Return the series and the explained series of a task without playing it."""
    episode = build_episode(SPLITS.task(split, index).config)
    explained = {
        (episode.dates[entry.day], name)
        for entry in episode.generated.calendar
        for name in entry.explains
    }
    return UnplayedEpisode(list_series_with_roots(episode), frozenset(explained))


def list_series_with_roots(episode: FunnelEpisode) -> tuple[ListedSeries, ...]:
    """Return all series of an episode that have an id, in the order of the ids."""
    expected_keys = {row.key for row in episode.expected_rows}
    scan_lists = episode.config.level_with_policy_parameters.scan_lists
    return tuple(
        ListedSeries(
            series_id,
            listed.row.date,
            listed.row.entity_name
            if scan_lists == ScanContent.FLAGGED
            else get_series_name(listed, episode.config.funnel_with_policy_daytime),
            listed.deviation,
            is_in_scan=scan_lists != ScanContent.DATES,
            is_root=listed.row.key in expected_keys,
        )
        for series_id, listed in enumerate(list_series_by_id(episode), start=1)
    )


def choose_reference_ids(episode: PlayedEpisode, change_result: ChangeResult) -> frozenset[int]:
    """Return the ids that the reference policy submits if it reads changed tool results.

    Args:
        episode: a played episode, whose results are read again.
        change_result: returns the result that the policy reads instead of a tool's own.
    """
    unread = {name: iter(results) for name, results in episode.results.items()}
    actions = scan_flagged_series_and_submit_root_ids(episode.reset_observation)
    action = next(actions)
    while (name := action["analysis_method"]) != SUBMIT_TOOL:
        result = change_result(name, next(unread[name]))
        action = actions.send({"analysis_result": {"result": result}})
    return frozenset(action["analysis_args"]["ids"])


def count_tasks(split: str) -> int:
    """Return the number of tasks of a split."""
    return SPLITS.size(split)
