"""Before the end, every number in the charts is in a reply or follows from its stated formula.

The allowed numbers are computed here from the replies alone, without the page's code.
METRIC_TRACKER_EPISODES sets the number of random episodes; 50 takes half a minute.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.page.begin_episode import begin_episode
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.visitor import Visitor

VIEW = get_environment_view_or_default(ENVIRONMENT)
EPISODES = int(os.environ.get("METRIC_TRACKER_EPISODES") or 6)
CALLS = ("rows_for_date", "hourly_rows_for_date")


def iter_mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from iter_mappings(each)


def texts_from_replies(visitor: Visitor) -> set[str]:
    """Every value that the charts may show, formatted: replies, and rates by the stated formula."""
    opening, *steps = visitor.playback_steps
    formulas = opening.observation["conversion_metric_definitions"]
    texts = {"not read yet"}
    for step in steps:
        rows = list(iter_mappings(step.observation.get("analysis_result") or {}))
        daily = [row for row in rows if "app_opens" in row]
        hours = [row for row in daily if "hour" in row]
        if len(hours) == 24:
            names = [name for name in hours[0] if name not in ("date", "hour")]
            daily.append({name: sum(row[name] for row in hours) for name in names})
        for row in daily:
            texts |= {f"{value:,.0f}" for value in row.values() if isinstance(value, int)}
            for formula in formulas:
                share = row[formula["numerator"]] / (row[formula["denominator"]] or 1)
                texts.add(f"{round(100 * share, 4):,.1f} %")
        for row in rows:
            for name in ("median_value", "observed_value", "baseline_value", "value"):
                if isinstance(row.get(name), int | float):
                    texts |= {f"{row[name]:,.0f}", f"{row[name]:,.1f} %"}
            medians = row.get("weekday_medians") or {}
            for value in medians.values() if isinstance(medians, Mapping) else ():
                texts |= {f"{value:,.0f}", f"{value:,.1f} %"}
    return texts


def texts_in_charts(visitor: Visitor) -> set[str]:
    html = VIEW.overview_html(visitor.playback_steps, visitor.reset, visitor.selection)
    drawn = set()
    for values in re.findall('data-values="([^"]*)"', html):
        for text in json.loads(unescape(values)):
            value, _, usual = text.partition(" · usual ")
            drawn |= {value, usual} - {""}
    return drawn


def test_every_drawn_number_is_in_a_reply_or_follows_from_a_stated_formula() -> None:
    for seed in range(EPISODES):
        rng = random.Random(seed)
        visitor = Visitor(ENVIRONMENT)
        visitor.may_read_data = rng.random() < 0.7
        level = rng.choice(["easy", "medium", "hard", "expert"])
        begin_episode(VIEW, visitor, {"difficulty": level, "seed": rng.randrange(10**6)})
        dates = visitor.playback_steps[0].observation["config"]
        for _ in range(3):
            assert texts_in_charts(visitor) <= texts_from_replies(visitor), visitor.reset
            day = f"{dates['start_date'][:8]}{rng.randrange(1, 29):02d}"
            visitor.call_tool(rng.choice(CALLS), {"date": day})
        assert texts_in_charts(visitor) <= texts_from_replies(visitor), visitor.reset


def test_charts_show_more_with_each_reply() -> None:
    visitor = Visitor(ENVIRONMENT)
    visitor.may_read_data = False
    begin_episode(VIEW, visitor, {"difficulty": "easy", "seed": 1})
    assert texts_in_charts(visitor) == {"not read yet"}
    begin_episode(VIEW, visitor, {"difficulty": "easy", "seed": 1})
    visitor.call_tool("show_raw_data", {"limit": 2})
    assert len(texts_in_charts(visitor)) > 5


@pytest.mark.parametrize("name", ["observed_value", "baseline_value"])
def test_changed_number_in_a_reply_is_what_the_charts_show(name: str) -> None:
    visitor = Visitor(ENVIRONMENT)
    visitor.may_read_data = False
    begin_episode(VIEW, visitor, {"difficulty": "easy", "seed": 1})
    start = visitor.playback_steps[0].observation["config"]["start_date"]
    visitor.call_tool("compare_count_to_median", {"date": start, "entity_name": "app_opens"})
    result = visitor.playback_steps[1].observation["analysis_result"]["result"]
    fields = next(each for each in iter_mappings(result) if name in each)
    fields[name] = 7654321  # type: ignore[index]
    assert "7,654,321" in texts_in_charts(visitor)
