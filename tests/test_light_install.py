"""What the guide to training calls a light install is enough to play in process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
COMES_ALONG = (
    *("annotated_types", "dateutil", "pydantic_core", "six", "typing_extensions"),
    *("typing_inspection", "tzdata"),
)
"""What the named packages install, by the names under which it is imported."""
OURS = ("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env")
PLAY = """
import importlib.abc, sys
from importlib.metadata import packages_distributions

class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in installed and top not in allowed:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

allowed, installed = set(sys.argv[1].split(",")), set(packages_distributions())
sys.meta_path.insert(0, Refused())

from openenv_kit.environment import get_environment
from openenv_kit.play.driver import play
from openenv_kit.trainers.trl import environment_class

for name in ("metric_tracker_rl", "drilldown", "firewatch"):
    environment = get_environment(name)
    session = environment.session()
    opening = session.reset(split="validation", index=0)
    print(play(session, environment.policies["reference"], opening).score)
    assert environment_class(name)().reset(split="train", index=0)
"""


def named() -> set[str]:
    """Packages that the guide says to install."""
    guide = (ROOT / "docs" / "training.md").read_text().partition("## A light install")[2]
    (line,) = re.findall(r"^pip install ((?:[a-z]+ ?)+)$", guide, re.M)
    return set(line.split())


def played_with(allowed: set[str]) -> subprocess.CompletedProcess[str]:
    """Play all three environments in a process that can import these packages only."""
    words = ",".join({*allowed, *COMES_ALONG, *OURS})
    return subprocess.run(
        [sys.executable, "-c", PLAY, words], capture_output=True, text=True, check=False
    )


def test_the_named_packages_play_all_three_environments() -> None:
    done = played_with(named())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1.0", "1.0", "1.0"]


@pytest.mark.parametrize("name", ["orjson", "pandas"])
def test_without_one_of_them_they_are_not_played(name: str) -> None:
    done = played_with(named() - {name})
    assert done.returncode != 0
    assert f"{name} is not installed" in done.stderr
