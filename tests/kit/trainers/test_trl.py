"""The environment class for TRL."""

from __future__ import annotations

import inspect
import json

from openenv_kit.environment import get_environment
from openenv_kit.trainers.trl import environment_class

TOOLS = get_environment("metric_tracker_rl").tools.select_for_episode(None)


def test_the_trl_class_has_a_method_for_each_tool_and_no_other_public_one():
    made = environment_class()
    public = {
        name for name, _ in inspect.getmembers(made, inspect.isfunction) if not name.startswith("_")
    }
    assert public == {"reset", "get_reward", *TOOLS.tool_names}
    for spec in TOOLS.tools:
        method = getattr(made, spec.name)
        parameters = list(inspect.signature(method).parameters)[1:]
        assert set(parameters) == set(spec.parameters["properties"])
        assert all(f"    {name}: " in method.__doc__ for name in parameters)


def test_the_trl_class_plays_and_scores_only_what_was_submitted():
    environment = environment_class()()
    environment.reset(prompt=[], split="validation", index=0, level="easy", task="validation-0")
    assert "2" in json.loads(environment.list_dates())["result"]["dates"][0]
    assert environment.get_reward() == 0.0
