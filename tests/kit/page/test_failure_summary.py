"""Why a rollout got its score: its end, its rejected calls, and its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.failure_summary import (
    FailureSummary,
    shorten_reason,
    summarize_failure,
)
from openenv_kit.page.rollout import open_rollout
from openenv_kit.recordings.rollout_catalogue import (
    RolloutCatalogue,
    packaged_recordings_folder,
)
from openenv_kit.trainers.tool_episode import ToolEpisode

EASY = {"task_id": "easy_single_spike"}


def summarize_recording(folder: Path, name: str = "metric_tracker_rl") -> list[FailureSummary]:
    environment = get_environment(name)
    view = get_environment_view_or_default(environment)
    catalogue = RolloutCatalogue([folder], name)
    summaries = []
    for rollout in catalogue.list_rollouts().rollouts:
        lines = catalogue.read_rollout(rollout.id)
        assert lines is not None
        summaries.append(summarize_failure(open_rollout(lines, environment), view))
    return summaries


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., FailureSummary]:
    def play_calls(*calls: tuple[str, dict[str, object]], text: str = "") -> FailureSummary:
        episode = ToolEpisode(record=tmp_path)
        episode.reset({**EASY, "max_steps": 10})
        for name, arguments in calls:
            episode.call_tool(name, arguments)
        if text:
            episode.record_text_without_call(text)
        episode.close()
        return summarize_recording(tmp_path)[0]

    return play_calls


def test_rollout_that_stops_is_said_to_have_no_report(play: Callable[..., FailureSummary]) -> None:
    summary = play(("list_dates", {}), text="I am done.")
    assert summary.ending == "No report: stopped after step 1."
    assert {row.outcome for row in summary.rows} == {"never read"}
    assert (summary.call_count, summary.rejected_count) == (1, 0)


def test_episode_that_reaches_its_limit_gives_the_reply_as_reason(
    play: Callable[..., FailureSummary],
) -> None:
    summary = play(*[("list_dates", {})] * 11)
    assert summary.ending.startswith("No report: stopped after step 11. ")
    assert "10" in summary.ending.removeprefix("No report: stopped after step 11. ")


def test_rejected_calls_are_grouped_by_reason_with_their_steps(
    play: Callable[..., FailureSummary],
) -> None:
    bad_date: tuple[str, dict[str, object]] = ("rows_for_date", {"date": "2031-01-01"})
    summary = play(bad_date, ("list_dates", {}), bad_date, ("no_tool", {}), ("list_dates", {}))
    assert [(group.reason, list(group.steps)) for group in summary.rejected] == [
        ("date '2031-01-01' is not in this episode", [1, 3]),
        ("Unknown tool 'no_tool'", [4]),
    ]
    assert (summary.call_count, summary.rejected_count) == (5, 3)


def test_row_that_was_read_names_the_first_step_that_showed_it(
    play: Callable[..., FailureSummary],
) -> None:
    summary = play(
        ("list_dates", {}),
        ("rows_for_date", {"date": "2022-05-13"}),
        ("rows_for_date", {"date": "2022-05-13"}),
        ("submit_solution", {"rows": []}),
    )
    assert summary.ending == "The episode ended at step 4."
    assert summary.score_text.startswith("Score 0.0000")
    by_title = {row.title: (row.outcome, row.step) for row in summary.rows}
    assert by_title["Fri 13 May, app open → menu open"] == ("read but not reported", 2)
    assert [outcome for outcome, _ in by_title.values()].count("never read") == 1


def test_row_that_was_never_read_names_the_step_whose_list_contains_its_day(
    play: Callable[..., FailureSummary],
) -> None:
    listed = play(("list_dates", {}), ("list_suspicious_dates", {"limit": 3}))
    assert {(row.outcome, row.step) for row in listed.rows} == {("never read", 2)}
    assert "the list in this step names the day" in listed.rows[0].sentence


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown"])
def test_packaged_rollouts_are_explained_row_by_row(name: str) -> None:
    folder = packaged_recordings_folder(get_environment(name))
    failing, *_, reference = summarize_recording(folder, name)
    assert not all(row.is_good for row in failing.rows)
    assert failing.rejected_count > 0
    assert {row.outcome for row in reference.rows} == {"found"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("date 'x' is unknown. Allowed: a, b", "date 'x' is unknown"),
        ("argument: wrong; allowed: a", "argument: wrong"),
        ("", "No reason is recorded"),
        ("x" * 300, "x" * 109 + "…"),
    ],
)
def test_reason_is_the_first_sentence(message: str, reason: str) -> None:
    assert shorten_reason(message) == reason
