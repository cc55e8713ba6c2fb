"""The table of accepted draws: it says what the search finds, and nothing else is taken from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from metric_tracker_rl.drilldown import admitted, building
from metric_tracker_rl.drilldown.admitted import SHIPPED, attempt_of, fingerprint
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.generator import Draw, attempt_draw
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.session import DrillSession
from metric_tracker_rl.drilldown.tasks import PREFIX, SPLITS, TASKS

TABLE = admitted._table()
FULL = bool(os.environ.get("METRIC_TRACKER_FULL"))
"""Whether the search is done again for every task; else for one a level that was drawn twice."""


def tasks(level: str, splits: Sequence[str] = SHIPPED) -> Iterator[tuple[str, DrillConfig]]:
    """Shipped tasks of a level."""
    for split in splits:
        for index in range(SPLITS.size(PREFIX + split)):
            task = SPLITS.task(PREFIX + split, index)
            if task.config.difficulty == level:
                yield task.task_id, task.config


def test_the_table_was_made_with_the_levels_there_are() -> None:
    stale = [name for name in LEVELS if TABLE["levels"].get(name) != fingerprint(name)]
    assert stale == [], f"python -m metric_tracker_rl.drilldown.admit {' '.join(stale)}"


@pytest.mark.parametrize("level", TABLE["levels"])
def test_it_tells_of_every_task_of_its_levels(level: str) -> None:
    named = [(name, config) for name, config in TASKS.items() if config.difficulty == level]
    shipped = [*named, *tasks(level, SHIPPED if FULL else SHIPPED[2:])]
    assert [name for name, config in shipped if attempt_of(name, config) is None] == []
    sizes = {name: SPLITS.size(PREFIX + name) for name in SHIPPED}
    assert {name: len(row) for name, row in TABLE["splits"].items()} == sizes


@pytest.mark.slow
@pytest.mark.parametrize("level", TABLE["levels"])
def test_it_says_what_the_search_finds(level: str) -> None:
    shipped = list(tasks(level, SHIPPED if FULL else SHIPPED[2:]))
    if not FULL:
        shipped = [each for each in shipped if attempt_of(*each) == 1][:1]
    for name, config in shipped:
        draw, episode = generate(config)
        assert attempt_of(name, config) == draw.draws - 1, name
        short, same = generate(config, draw.draws - 1)
        assert (short.counts == draw.counts).all()
        assert (short.dates, short.runs, short.roots) == (draw.dates, draw.runs, draw.roots)
        assert (same.log, same.expected_rows) == (episode.log, episode.expected_rows)


def test_it_tells_nothing_of_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    name, config = next(tasks("drill_hard", SHIPPED[2:]))
    task = "drill_hard_ordering_app"
    assert attempt_of(name, config) is not None
    assert attempt_of(task, TASKS[task]) is not None
    for other in (name.replace("test", "sealed"), "drill_test-1152", "drill_test-x", "drill_test"):
        assert attempt_of(other, config) is None
    assert attempt_of("certificate", config) is attempt_of("", config) is None
    for known in (name, task):
        assert attempt_of(known, replace(config, seed=5)) is None
    changed = {**LEVELS, "drill_hard": replace(LEVELS["drill_hard"], budget=1)}
    fingerprint.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(admitted, "LEVELS", changed)
        assert attempt_of(name, config) is None
    fingerprint.cache_clear()
    assert attempt_of(name, config) is not None


def test_a_draw_that_the_definition_does_not_accept_is_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(config: DrillConfig, attempt: int, *, admitted: bool = False) -> Draw | str:
        return "not the plan" if admitted else attempt_draw(config, attempt)

    config = TASKS["drill_easy_ordering_app"]
    right, _ = generate(config)
    monkeypatch.setattr(building, "attempt_draw", refused)
    assert generate(config, 7)[0].draws == right.draws


def test_a_reset_by_task_and_one_by_its_numbers_share_an_episode() -> None:
    config = TASKS["drill_hard_saas_trial"]
    by_name, by_numbers = DrillSession(), DrillSession()
    by_name.reset(task_id="drill_hard_saas_trial")
    by_numbers.reset(
        seed=config.seed, difficulty="drill_hard", product="saas_trial", causes=config.causes
    )
    assert by_name.episode is not None
    assert by_name.episode is by_numbers.episode
