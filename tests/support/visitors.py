"""Visitors of the debugger who have started an episode of the funnel."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.page.visible_state import rebuild_episode_from_reset_arguments
from openenv_kit.environment import get_environment
from openenv_kit.page.environment_view import (
    EnvironmentView,
    ReportEditor,
    get_environment_view_or_default,
)
from openenv_kit.page.visitor import Visitor

TASK = "hard_mixed_multi"


@pytest.fixture(scope="module")
def funnel_view() -> EnvironmentView:
    return get_environment_view_or_default(get_environment("metric_tracker_rl"))


def start_visitor(view: EnvironmentView, **reset: Any) -> Visitor:
    visitor = Visitor(view.environment)
    visitor.is_page_loaded = True
    visitor.start_episode(**(reset or {"task_id": TASK}))
    assert visitor.has_episode, visitor.problem
    return visitor


def expected_rows_of(visitor: Visitor) -> list[dict[str, Any]]:
    return [
        row.as_dict()
        for row in rebuild_episode_from_reset_arguments(visitor.reset).episode.expected_rows
    ]


def report_editor_of(view: EnvironmentView, visitor: Visitor) -> ReportEditor:
    report = view.report_editor(visitor)
    assert report is not None
    return report
