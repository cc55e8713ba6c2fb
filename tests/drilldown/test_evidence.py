"""Which answers show a root of the drill-down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drilldown_env.episode import Episode
from drilldown_env.grounding import shown
from drilldown_env.report import ReportRow
from drilldown_env.session import config_of, episode_of

TASKS: Mapping[str, Mapping[str, Any]] = {
    "metric_tracker_rl": {"split": "test", "index": 1},
    "drilldown": {"task_id": "drill_easy_ordering_app"},
    "firewatch": {"task_id": "task_easy_thread_deadlock"},
}


def one_of_a_value() -> tuple[Episode, ReportRow, str, str]:
    """An episode whose root is of one value's people; the root, its attribute and the value."""
    made = episode_of(config_of(TASKS["drilldown"]))
    root = replace(made.expected_rows[0], segment=made.expected_rows[0].segment[:1])
    return replace(made, expected_rows=(root,)), root, *root.segment[0]


def test_root_is_shown_by_result_that_separates_its_segment_and_days() -> None:
    episode, root, name, value = one_of_a_value()
    other = next(d for d in episode.domain.dim_names if d != name)
    days = [[root.date_from, root.date_to]]
    before = [[episode.dates[0], episode.dates[1]]]

    def seen(asked: Mapping[str, Any], stage: str, row: list[Any]) -> bool:
        return shown(episode, "slice", asked, {"columns": [stage], "rows": [row]}) == {0}

    assert seen({"group_by": [name]}, root.stage, [value, 5])
    assert seen({"where": {name: [value]}, "dates": days}, root.stage, [5])
    assert not seen({"group_by": [name]}, root.stage, ["another", 5])
    assert not seen({"group_by": [name], "dates": before}, root.stage, [value, 5])
    assert not seen({"group_by": [other]}, root.stage, [value, 5])
    assert not seen({"where": {name: [value, "another"]}}, root.stage, [5])
    assert not seen({"group_by": [name]}, "another stage", [value, 5])
    assert not seen({}, root.stage, [5])


def test_root_is_shown_by_query_of_its_step_and_segment() -> None:
    episode, root, name, value = one_of_a_value()

    def seen(query: str, *row: Any) -> bool:
        return shown(episode, "sql", {"query": query}, {"rows": [list(row)]}) == {0}

    assert seen(f"SELECT {name}, sum({root.stage}) FROM counts GROUP BY 1", value, 5)
    assert seen(f"SELECT sum({root.stage}) FROM counts WHERE {name} = '{value}'", 5)
    assert not seen(f"SELECT sum({root.stage}) FROM counts", 5)
    assert not seen(f"SELECT {name}, count(*) FROM counts GROUP BY 1", value, 5)
