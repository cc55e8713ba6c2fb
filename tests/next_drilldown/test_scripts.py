"""The simple scripts of `research`, which do without a part of the definition."""

from __future__ import annotations

from statistics import fmean

import pytest

from drilldown_next.segments import SegmentDays
from research.drilldown.compare_scripts import (
    SCRIPTS,
    grade_places,
    play_reference,
    report_log_scopes,
    report_own_medians,
)

from .cases import NO_ROOT, ONE_ROOT, config_of, episode_of


def test_right_places_earn_one_with_the_changes_of_the_log() -> None:
    episode = episode_of(ONE_ROOT)
    (row,) = episode.expected_rows
    place = SegmentDays(row.step, episode.table.index_of[row.segment], row.first, row.last)
    assert grade_places(episode, [place]) == 1.0
    assert grade_places(episode, [place._replace(last=place.last + 1)]) < 0.3
    assert grade_places(episode_of(NO_ROOT), []) == 1.0


@pytest.mark.slow
def test_script_with_own_medians_earns_little_and_log_scopes_more() -> None:
    episodes = [episode_of(config_of("easy", seed)) for seed in range(20, 36)]
    scores = {
        name: fmean(grade_places(episode, report(episode)) for episode in episodes)
        for name, report in SCRIPTS.items()
    }
    assert scores["own_medians"] < 0.2
    assert scores["log_scopes"] > scores["own_medians"]


def test_log_scopes_begin_near_an_entry_of_their_scope() -> None:
    found = 0
    for seed in range(20, 30):
        episode = episode_of(config_of("easy", seed))
        for place in report_log_scopes(episode):
            scope = episode.table.segments[place.segment]
            ages = [place.first - entry.day for entry in episode.log if entry.scope == scope]
            assert any(0 <= age <= 2 for age in ages)
            found += 1
    assert found


def test_scripts_report_as_many_rows_as_allowed() -> None:
    episode = episode_of(config_of("hard", 3))
    assert len(report_own_medians(episode)) == 10
    assert len(report_log_scopes(episode)) <= 3
    assert play_reference(episode_of(NO_ROOT)) == 1.0
