"""Files of a run: what each training and each examination writes, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from openenv_kit.errors import InvalidValueError
from research.learning_lm.played_task import PlayedTask
from research.learning_lm.settings import Plan, Player, TaskSet

PLAN_FILE = "plan.json"
TRAINING_PREFIX = "training-"
PLAYED_PREFIX = "played-"
MODELS_FOLDER = "models"
TRAINER_FOLDER = "trainer"
"""Folder for checkpoints of unfinished trainings."""


@dataclass(frozen=True)
class TrainingRecord:
    """How a player was trained.

    Attributes:
        player: the player.
        cpu_seconds: CPU time of the training, without examinations.
        steps: gradient steps.
        log: values that the trainer logged, one entry per gradient step.
        examinations: results on validation tasks during training.
        details: other facts, such as the reward that was paid.
    """

    player: Player
    cpu_seconds: float
    steps: int
    log: list[dict[str, float]]
    examinations: list[dict[str, float]]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def last_validation_exact(self) -> float:
        """Share of exact reports in the last examination."""
        return self.examinations[-1]["exact"]


@dataclass(frozen=True)
class PlayedTasks:
    """Tasks of one set that a player played, once each.

    Attributes:
        player: the player.
        task_set: the set of tasks.
        cpu_seconds: CPU time.
        tasks: the episodes.
    """

    player: Player
    task_set: TaskSet
    cpu_seconds: float
    tasks: list[PlayedTask]


def training_path(folder: Path, player: Player) -> Path:
    """Return the path of a player's training record."""
    return folder / f"{TRAINING_PREFIX}{player}.json"


def played_path(folder: Path, player: Player, task_set: TaskSet) -> Path:
    """Return the path of the tasks of a set that a player played."""
    return folder / f"{PLAYED_PREFIX}{player}-{task_set}.json"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file with one line for each element of a list, in one operation."""
    members = []
    for name, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"  {json.dumps(element)}" for element in value) + "\n ]"
        members.append(f" {json.dumps(name)}: {text}")
    # The file is renamed into place, so that an interrupted run leaves no incomplete file.
    path.parent.mkdir(parents=True, exist_ok=True)
    incomplete = path.with_suffix(".incomplete")
    incomplete.write_text("{\n" + ",\n".join(members) + "\n}\n", encoding="utf-8")
    incomplete.replace(path)


def write_training(folder: Path, record: TrainingRecord) -> None:
    """Write a player's training record."""
    write_json(training_path(folder, record.player), asdict(record))


def read_training(folder: Path, player: Player) -> TrainingRecord:
    """Read a player's training record."""
    content = json.loads(training_path(folder, player).read_text(encoding="utf-8"))
    return TrainingRecord(**{**content, "player": Player(content["player"])})


def write_played(folder: Path, record: PlayedTasks) -> None:
    """Write the tasks that a player played."""
    content = asdict(record) | {"tasks": [task._asdict() for task in record.tasks]}
    write_json(played_path(folder, record.player, record.task_set), content)


def read_all_played(folder: Path) -> list[PlayedTasks]:
    """Read everything that was played in a run."""
    records = []
    for path in sorted(folder.glob(f"{PLAYED_PREFIX}*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        records.append(
            PlayedTasks(
                Player(content["player"]),
                TaskSet(content["task_set"]),
                content["cpu_seconds"],
                [PlayedTask(**task) for task in content["tasks"]],
            )
        )
    return records


def read_all_trainings(folder: Path) -> list[TrainingRecord]:
    """Read the training records of a run."""
    return [
        read_training(folder, player) for player in Player if training_path(folder, player).exists()
    ]


def write_or_compare_plan(folder: Path, plan: Plan, versions: Mapping[str, str]) -> None:
    """Write the plan of a new run; make sure that a resumed run has the same plan.

    Raises:
        InvalidValueError: the folder contains a run with another plan.
    """
    path = folder / PLAN_FILE
    content = json.loads(json.dumps(asdict(plan)))
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))["plan"]
        different = sorted(name for name in content if stored.get(name) != content[name])
        if different:
            name = different[0]
            allowed = f"{stored.get(name)!r}, as in {path}, or another folder"
            raise InvalidValueError(name, content[name], allowed)
        return
    write_json(path, {"plan": content, "versions": dict(versions)})
