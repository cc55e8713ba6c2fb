"""Selects which values and verdicts the page may show during an episode and after its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from metric_tracker_rl.engine.configuration.play_rules import FULL_FEEDBACK
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.episode.flagged_series import list_series_by_id
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.page.known_values import KnownValues
from metric_tracker_rl.page.verdicts import (
    RowVerdict,
    judge_submitted_and_missing_rows,
)
from openenv_kit.page.playback import PlaybackStep
from openenv_kit.reset_arguments import TABLE

if TYPE_CHECKING:
    from metric_tracker_rl.own_metrics.investigate import TableInvestigation

PlaybackSteps = Sequence[PlaybackStep]


class VisibleState(NamedTuple):
    """Values and verdicts of an episode that the page may show.

    Attributes:
        known_values: metric values and baselines that may be shown.
        verdicts: verdicts about the report; empty until the episode ends.
        is_complete: whether the page may show all values and verdicts.
    """

    known_values: KnownValues
    verdicts: tuple[RowVerdict, ...]
    is_complete: bool


def collect_known_values_from_replies(steps: PlaybackSteps) -> KnownValues:
    """Return the metric values and baselines that the replies to an episode's steps contained."""
    known_values = KnownValues(steps[0].observation["config"])
    for step in steps:
        analysis = step.observation.get("analysis_result")
        known_values.latest = set()
        if analysis:
            known_values.add_values_of_tool_result(analysis)
    return known_values


def may_reveal_answers(steps: PlaybackSteps) -> bool:
    """Return whether the page may show the correct answers.

    This is allowed if the episode has ended and was played with full feedback.
    """
    feedback = steps[0].observation["config"].get("feedback", FULL_FEEDBACK)
    return bool(steps[-1].observation.get("done")) and feedback == FULL_FEEDBACK


def find_table_investigation(reset: Mapping[str, Any]) -> TableInvestigation | None:
    """Return the investigation that a visitor of the page plays; None for all other episodes."""
    table = reset.get(TABLE.name)
    if table is None:
        return None
    # Few visitors investigate a table, so its modules are not imported with the page.
    from metric_tracker_rl.own_metrics.investigate import TableInvestigation

    return table if isinstance(table, TableInvestigation) else None


def rebuild_episode_from_reset_arguments(reset: Mapping[str, Any]) -> EpisodeView:
    """Return the episode that the reset arguments describe, with its labels.

    Call this function only after the episode has ended, because the labels are the answers. For an
    investigation of a user's own table, the existing episode is returned.
    """
    investigation = find_table_investigation(reset)
    if investigation is not None:
        return investigation.view
    session = EpisodeSession()
    session.reset(**reset)
    return session.running_view


def collect_values_and_verdicts_to_show(
    steps: PlaybackSteps, reset: Mapping[str, Any]
) -> VisibleState:
    """Return the values and verdicts that the page may show after the given steps.

    These are all values and verdicts if `may_reveal_answers` allows it. Otherwise they are only the
    values that the player has seen, without verdicts.
    """
    if not may_reveal_answers(steps):
        return VisibleState(collect_known_values_from_replies(steps), (), is_complete=False)
    view = rebuild_episode_from_reset_arguments(reset)
    all_values = KnownValues.from_episode(view.episode, view.public_config)
    read_values = collect_known_values_from_replies(steps).values
    all_values.unread = frozenset(all_values.values.keys() - read_values.keys())
    verdicts = judge_submitted_and_missing_rows(
        list_submitted_rows_of_graded_report(view, steps[-1]),
        view.episode,
        read_values=read_values,
    )
    is_own_table = TABLE.name in reset
    verdicts = [replace(verdict, is_own_table=is_own_table) for verdict in verdicts]
    return VisibleState(all_values, tuple(verdicts), is_complete=True)


def list_submitted_rows_of_graded_report(view: EpisodeView, step: PlaybackStep) -> Sequence[Any]:
    """Return all rows of a graded report, including the rows that were submitted by id.

    The result is empty if the step was not graded.
    """
    if not step.observation.get("reward_breakdown"):
        return ()
    submitted = step.observation.get("submitted_rows")
    if submitted is not None:
        return list(submitted)
    arguments: Mapping[str, Any] = step.action.get("analysis_args") or {}
    listed_series = list_series_by_id(view.episode)
    named = [listed_series[number - 1].row.as_dict() for number in arguments.get("ids") or ()]
    return [*named, *(arguments.get("rows") or step.action.get("classifications") or ())]
