"""Stand-ins for what TRL passes to callbacks, and finished episodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.trl import ToolEnvironment, environment_class

MODULES = ("openenv_kit.trainers.trl_monitor", "openenv_kit.trainers.trl_curriculum")


LEAN = {"profile": "lean"}


STAGES = [{"split": "train_rung_1", **LEAN}, {"split": "train_rung_2", **LEAN}]


END = 2


class Columns:
    """The part of a dataset that callbacks read."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows, self.column_names = rows, list(rows[0])

    @classmethod
    def from_list(cls, rows: list[dict[str, Any]]) -> Columns:
        return cls(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


class Tokenizer:
    eos_token_id, pad_token_id = END, 0

    def __init__(self, digits_per_token: int = 3) -> None:
        self.digits_per_token = digits_per_token

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [7] * -(-len(text) // self.digits_per_token)


def arguments(**given: Any) -> SimpleNamespace:
    usual = {"world_size": 1, "per_device_train_batch_size": 8, "num_generations": 8}
    usual |= {"steps_per_generation": 1, "max_completion_length": 16384}
    return SimpleNamespace(**{**usual, "output_dir": "no-such-folder", **given})


def monitored(callbacks: Any) -> Any:
    monitor = callbacks.RolloutMonitor()
    monitor.on_init_end(arguments(), None, None, processing_class=Tokenizer())
    return monitor


def finished(score_one: bool) -> ToolEnvironment:
    """Return an environment whose episode ended with score 1.0 or 0.0."""
    environment = environment_class(split="train_rung_1", reset=LEAN)()
    opening = environment.reset(split="train_rung_1", index=0, **LEAN)
    play_to_the_end(environment, opening, score_one)
    return environment


def play_to_the_end(environment: Any, introduction: str, score_one: bool) -> None:
    """Play as the reference, or submit an empty report, which is wrong on a rung."""
    if not score_one:
        environment.submit(ids=[])
    answers: list[str] = []
    while score_one and (
        call := get_next_scripted_call("reference", answers, first_user_message=introduction)
    ):
        answers.append(getattr(environment, call[0])(**call[1]))
    assert environment._episode.reward == float(score_one)
    assert environment._episode.is_done
