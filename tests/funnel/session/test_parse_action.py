"""Actions of the funnel with two kinds of action, or none."""

from __future__ import annotations

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import perfect_report
from support.rejected_replies import message_of_rejection


def test_arguments_without_a_method_are_refused(session: EpisodeSession) -> None:
    reply = session.step({"analysis_args": {"date": "2022-01-01"}})
    message = message_of_rejection(reply)
    assert "analysis_args" in message
    assert "analysis_method" in message


def test_two_kinds_of_action_at_once_are_refused_and_nothing_is_graded(
    session: EpisodeSession,
) -> None:
    rows = perfect_report(session)
    method = {"method_name": "median_filter"}
    for call, kinds in (
        (
            {"analysis_method": "list_dates", "classifications": rows},
            "analysis_method and classifications",
        ),
        (
            {"analysis_method": "list_dates", "payload_generators": [method]},
            "analysis_method and payload_generators",
        ),
        (
            {"classifications": rows, "payload_generators": [method]},
            "classifications and payload_generators",
        ),
    ):
        message = message_of_rejection(session.step(call))
        assert kinds in message
    assert session.submission_count == 0
