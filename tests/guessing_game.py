"""A third environment, as small as one can be: find a digit."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from openenv_kit.environment import Environment, Reply, environments, get_environment
from openenv_kit.play.policies import Policy
from openenv_kit.tools.catalogue import Catalogue, ToolSpec

NAME = "guessing_game"
NUMBER = {
    "type": "object",
    "properties": {"number": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["number"],
}


def binary_search(_):
    """Compare until one digit is left."""
    low, high = 0, 9
    while low < high:
        middle = (low + high) // 2
        seen = yield {"compare": middle}
        low, high = (middle + 1, high) if seen["larger"] else (low, middle)
    yield {"guess": low}


class GuessingSession:
    task_id, done = "digit", False

    def reset(self, index=0):
        self.done, self.hidden = False, index
        return Reply("ready", "Find the digit.")

    def step(self, action):
        if "guess" in action:
            self.done = True
            return Reply("guessed", "", float(action["guess"] == self.hidden), done=True)
        return Reply("compared", "", content={"larger": self.hidden > action["compare"]})


@dataclass(frozen=True)
class GuessingTask:
    index: int

    @property
    def task_id(self):
        return f"train-{self.index}"

    def reset_arguments(self):
        return asdict(self)

    as_dict = reset_arguments


class GuessingGame(Environment):
    name = NAME
    title, description = "Guessing game", "Find a digit."
    rules: ClassVar = {"max_steps": 12}
    reset_arguments = ("index",)
    splits = SimpleNamespace(
        names=lambda: ["train"], size=lambda _: 10, task=lambda _, index: GuessingTask(index)
    )
    policies: ClassVar = {"reference": Policy("reference", "Halves what is left.", binary_search)}
    session = GuessingSession
    tools = Catalogue(
        tools=(
            ToolSpec(
                "compare",
                "Whether the digit is larger than a number.",
                NUMBER,
                lambda arguments: {"compare": arguments["number"]},
            ),
            ToolSpec(
                "guess",
                "Name the digit. This ends the episode.",
                NUMBER,
                lambda arguments: {"guess": arguments["number"]},
                reads_only=False,
                finishes=True,
            ),
        ),
        called=lambda action: next((name, {"number": each}) for name, each in action.items()),
        answer=dict,
    )

    def brief(self, opening=None):
        return "You find digits."


@pytest.fixture
def guessing_game(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its name, while it is installed."""
    monkeypatch.setitem(environments(), NAME, SimpleNamespace(load=GuessingGame))
    yield NAME
    get_environment.cache_clear()
