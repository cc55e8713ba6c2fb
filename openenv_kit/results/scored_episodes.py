"""Plays read from result files and from recorded runs, in one form.

A play that ended by an error has no score. It is counted beside the others and never as a 0: a
server that was lost says nothing about the player.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openenv_kit.agent.results import EVALUATED, NOT_SUBMITTED, RESULTS_FORMAT
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, unknown_name_message
from openenv_kit.recordings.format import (
    RecordedRun,
    RecordingError,
    read_runs,
    recordings,
    text_of,
)

NAMED = "named tasks"
"""Stands for the split of a play that names its task, or sets an episode up itself."""


class MixedResultsError(ConfigurationError):
    """Plays that cannot be compared: other versions, another split, another environment."""


@dataclass(frozen=True)
class Play:
    """One play.

    Attributes:
        task: what people call the task.
        reset: arguments that make the episode; plays with the same are of the same episode.
        score: in [0, 1]; None where the play ended by an error.
        tool_calls: steps, the last one included.
        tokens, cost: of the model, in tokens and US dollars; None where nobody counted.
        seconds: wall time; None where it was not measured.
        grounded: of what was right, the share whose evidence had been read; None if unknown.
    """

    task: str
    reset: Mapping[str, Any]
    score: float | None
    tool_calls: int
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    grounded: float | None = None

    @property
    def split(self) -> str:
        """Split of the task, or `NAMED`."""
        return str(self.reset["split"]) if "split" in self.reset else NAMED

    @property
    def episode(self) -> str:
        """The same for plays of the same episode, and different for others.

        Feedback comes after the play, so runs with and without it are of the same episode.
        """
        without = ("episode_id", "feedback")
        return repr(sorted((k, repr(v)) for k, v in self.reset.items() if k not in without))


@dataclass(frozen=True)
class Player:
    """Everything that one player played.

    Attributes:
        source: the files, for messages.
        versions: under which it was played.
        has_independent_plays: whether several plays of a task are known to be different plays.
            Without this, copies could make pass^k out of one play, so it is not estimated for
            k > 1.
    """

    name: str
    source: str
    versions: Mapping[str, str]
    plays: Sequence[Play]
    has_independent_plays: bool = True

    def and_also(self, other: Player) -> Player:
        """This player with the plays of another one.

        Raises:
            MixedResultsError: those are of other versions.
        """
        _check_versions(other, self.versions, self.source)
        return replace(self, plays=[*self.plays, *other.plays])

    @property
    def splits(self) -> Iterable[str]:
        """Splits of the plays, in their order."""
        return dict.fromkeys(play.split for play in self.plays)

    @property
    def scored(self) -> list[Play]:
        """Plays that ended with a score."""
        return [play for play in self.plays if play.score is not None]


def scores_by_episode(plays: Iterable[Play]) -> dict[str, list[float]]:
    """Scores of each episode, in the order played; plays without one are left out."""
    found: dict[str, list[float]] = {}
    for play in plays:
        if play.score is not None:
            found.setdefault(play.episode, []).append(play.score)
    return found


def read_players(files: Iterable[tuple[str, Path]], environment: Environment) -> list[Player]:
    """Players of some files, in their order; files of the same player are put together.

    Args:
        files: at least one, each with the name under which to show its player; an empty one stands
            for the name in the file, and a folder for the recordings in it.
        environment: what was played.

    Raises:
        MixedResultsError: a file of another environment, or files of different versions.
        RecordingError: neither results of `inference.py` nor a recording.
    """
    found: dict[str, Player] = {}
    for name, path in files:
        for each in recordings([path]):
            for player in _of_file(each, environment):
                shown = name or player.name
                before = found.get(shown)
                found[shown] = before.and_also(player) if before else replace(player, name=shown)
    first, *others = found.values()
    for player in others:
        _check_versions(player, first.versions, first.source)
    return [first, *others]


def of_one_split(players: Sequence[Player], split: str = "") -> tuple[list[Player], str]:
    """The plays of one split, and its name.

    Args:
        players: who played.
        split: which one; empty where all plays are of the same.

    Raises:
        MixedResultsError: plays of several splits and none was chosen, or of none that was.
    """
    there = dict.fromkeys(split for player in players for split in player.splits)
    if not split:
        if len(there) != 1:
            where = "; ".join(f"{each.name} has {' and '.join(each.splits)}" for each in players)
            raise MixedResultsError(
                f"The plays are of {len(there)} splits ({where}), and scores of different splits "
                f"do not compare. Choose one with --split: {', '.join(there)}."
            )
        split = next(iter(there))
    if split not in there:
        raise MixedResultsError(unknown_name_message("split", split, there))
    kept = []
    for player in players:
        plays = [play for play in player.plays if play.split == split]
        if not plays:
            raise MixedResultsError(f"{player.name} has no play of the split {split!r}.")
        kept.append(replace(player, plays=plays))
    return kept, split


def _of_file(path: Path, environment: Environment) -> list[Player]:
    text = text_of(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None  # several lines: a recording
    if isinstance(found, Mapping) and found.get("format") == RESULTS_FORMAT:
        return [_of_results(found, path, environment)]
    try:
        runs = read_runs(path)
    except RecordingError as problem:
        allowed = "results of inference.py, or a recording"
        raise RecordingError(f"{path}: {problem} Allowed: {allowed}.") from None
    if not runs:
        raise RecordingError(f"{path} holds no play.")
    players: dict[str, Player] = {}
    for run in runs:
        if strange := run.versions.keys() - environment.versions.keys():
            raise MixedResultsError(
                f"{path} tells a version of {', '.join(strange)}, which {environment.name!r} does "
                "not have. Choose what was played with --environment."
            )
        one = Player(run.player, str(path), run.versions, [play_of(run)])
        before = players.get(run.player)
        players[run.player] = before.and_also(one) if before else one
    return list(players.values())


def _of_results(found: Mapping[str, Any], path: Path, environment: Environment) -> Player:
    if found["environment"] != environment.name:
        raise MixedResultsError(
            f"{path} is of the environment {found['environment']!r}; this compares results of "
            f"{environment.name!r}. Choose with --environment."
        )
    plays = [_of_task(each) for each in found["tasks"]]
    return Player(found["player"], str(path), found["versions"], plays)


def _of_task(found: Mapping[str, Any]) -> Play:
    ran = found["status"] in (EVALUATED, NOT_SUBMITTED)
    # A scripted policy has no tokens; a model whose calls told none has an unknown number.
    counted = found["model_calls"] and not found["uncounted_calls"]
    tokens = found["prompt_tokens"] + found["completion_tokens"] if counted else None
    return Play(
        task=found["task_id"],
        reset=found["reset"],
        score=found["score"] if ran else None,
        tool_calls=found["steps"],
        tokens=tokens,
        cost=found["cost_usd"],
        seconds=found["seconds"],
        grounded=found.get("grounded"),
    )


def play_of(run: RecordedRun) -> Play:
    """The play of a recorded run."""
    return Play(
        task=run.task,
        reset=run.reset,
        score=run.score,
        tool_calls=len(run.steps),
        seconds=sum(step.elapsed_s for step in run.steps),
        grounded=run.grounded,
    )


def _check_versions(player: Player, others: Mapping[str, str], where: str) -> None:
    """Raise a MixedResultsError where a player's plays are of other versions."""
    for name in {**player.versions, **others}:
        mine, theirs = player.versions.get(name), others.get(name)
        if mine != theirs:
            raise MixedResultsError(
                f"{player.source} was played under {name} version {mine!r} and {where} has "
                f"{theirs!r}; scores of different versions do not compare."
            )
