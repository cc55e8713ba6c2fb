"""The reset arguments of the funnel agree with the code that takes them and with their page."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.configuration.play_rules import MODE_DEFAULTS, PlayRules
from metric_tracker_rl.engine.configuration.reset_arguments import (
    EPISODE_ARGUMENTS,
    PLAY_RULE_ARGUMENTS,
    RESET_ARGUMENTS,
)
from metric_tracker_rl.engine.configuration.tasks import resolve_named_task

PAGE = Path(__file__).resolve().parents[3] / "docs" / "funnel.md"


def field_names(dataclass: type) -> set[str]:
    return {field.name for field in dataclasses.fields(dataclass)}


def test_play_rules_have_a_field_for_each_argument_that_sets_one() -> None:
    assert field_names(PlayRules) == set(PLAY_RULE_ARGUMENTS)
    assert set(MODE_DEFAULTS) < set(PLAY_RULE_ARGUMENTS)


def test_named_tasks_take_every_argument_that_determines_an_episode() -> None:
    assert set(inspect.signature(resolve_named_task).parameters) == set(EPISODE_ARGUMENTS)


def test_configurations_have_a_field_for_each_argument_but_the_task() -> None:
    without_argument = {"funnel", "only_custom"}
    assert field_names(EpisodeConfig) - without_argument == set(EPISODE_ARGUMENTS) - {"task_id"}


def test_page_of_the_funnel_has_a_row_for_each_argument() -> None:
    section = PAGE.read_text().split("## Reset\n", 1)[1].split("\n## ", 1)[0]
    first_cells = re.findall(r"^\| ([^|]+) \|", section, re.M)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(RESET_ARGUMENTS)
