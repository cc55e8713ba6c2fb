"""Options of inference.py."""

from __future__ import annotations

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent.command_line import parse_options
from openenv_kit.agent.episode_plan import plan_episodes
from openenv_kit.errors import ConfigurationError

LEAN = {"profile": "lean"}


def test_inference_takes_arguments_of_the_reset() -> None:
    options = parse_options(["--reset", "profile=lean", "--reset", "max_steps=9"])
    assert dict(options.reset or ()) == {"profile": "lean", "max_steps": 9}
    (first, *_) = plan_episodes(ENVIRONMENT, "train:0-2", extra_reset_arguments=LEAN)
    assert first.reset == {"split": "train", "index": 0, "profile": "lean"}
    with pytest.raises(
        ConfigurationError, match="Unknown --reset 'profil'\\. Did you mean 'profile'"
    ):
        plan_episodes(ENVIRONMENT, extra_reset_arguments={"profil": "lean"})
    with pytest.raises(ConfigurationError, match="Unknown --reset 'seed'"):
        plan_episodes(ENVIRONMENT, extra_reset_arguments={"seed": 3})
    with pytest.raises(SystemExit):
        parse_options(["--reset", "profile"])
