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
    iter_recording_paths,
    read_recording_text,
    read_runs,
)

NAMED_TASKS = "named tasks"
"""Stands for the split of a play that names its task, or sets an episode up itself."""


class MixedResultsError(ConfigurationError):
    """Plays that cannot be compared: other versions, another split, another environment."""


@dataclass(frozen=True)
class ScoredEpisode:
    """One play.

    Attributes:
        task: what people call the task.
        reset: arguments that make the episode; plays with the same are of the same episode.
        score: in [0, 1]; None where the play ended by an error.
        tool_calls: steps, the last one included.
        tokens, cost_usd: of the model, in tokens and US dollars; None where nobody counted.
        seconds: wall time; None where it was not measured.
        evidence_share: of what was right, the share whose evidence had been read; None if unknown.
    """

    task: str
    reset: Mapping[str, Any]
    score: float | None
    tool_calls: int
    tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None
    evidence_share: float | None = None

    @property
    def split(self) -> str:
        """Split of the task, or `NAMED`."""
        return str(self.reset["split"]) if "split" in self.reset else NAMED_TASKS

    @property
    def episode_key(self) -> str:
        """The same for plays of the same episode, and different for others.

        Feedback comes after the play, so runs with and without it are of the same episode.
        """
        without = ("episode_id", "feedback")
        return repr(sorted((k, repr(v)) for k, v in self.reset.items() if k not in without))


@dataclass(frozen=True)
class PlayerResults:
    """Everything that one player played.

    Attributes:
        source: the files, for messages.
        versions: under which it was played.
        has_independent_rollouts: whether several plays of a task are known to be different plays.
            Without this, copies could make pass^k out of one play, so it is not estimated for
            k > 1.
    """

    name: str
    source: str
    versions: Mapping[str, str]
    rollouts: Sequence[ScoredEpisode]
    has_independent_rollouts: bool = True

    def merged_with(self, other: PlayerResults) -> PlayerResults:
        """This player with the plays of another one.

        Raises:
            MixedResultsError: those are of other versions.
        """
        _require_same_versions(other, self.versions, self.source)
        return replace(self, rollouts=[*self.rollouts, *other.rollouts])

    @property
    def splits(self) -> Iterable[str]:
        """Splits of the plays, in their order."""
        return dict.fromkeys(play.split for play in self.rollouts)

    @property
    def scored_rollouts(self) -> list[ScoredEpisode]:
        """Plays that ended with a score."""
        return [play for play in self.rollouts if play.score is not None]


def scores_by_episode(episodes: Iterable[ScoredEpisode]) -> dict[str, list[float]]:
    """Scores of each episode, in the order played; plays without one are left out."""
    found: dict[str, list[float]] = {}
    for play in episodes:
        if play.score is not None:
            found.setdefault(play.episode_key, []).append(play.score)
    return found


def read_player_results(
    files: Iterable[tuple[str, Path]], environment: Environment
) -> list[PlayerResults]:
    """Players of some files, in their order; files of the same player are put together.

    Args:
        files: at least one, each with the name under which to show its player; an empty one stands
            for the name in the file, and a folder for the recordings in it.
        environment: what was played.

    Raises:
        MixedResultsError: a file of another environment, or files of different versions.
        RecordingError: neither results of `inference.py` nor a recording.
    """
    found: dict[str, PlayerResults] = {}
    for name, path in files:
        for each in iter_recording_paths([path]):
            for player in _read_result_file(each, environment):
                shown = name or player.name
                before = found.get(shown)
                found[shown] = before.merged_with(player) if before else replace(player, name=shown)
    first, *others = found.values()
    for player in others:
        _require_same_versions(player, first.versions, first.source)
    return [first, *others]


def select_split(
    players: Sequence[PlayerResults], split: str = ""
) -> tuple[list[PlayerResults], str]:
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
        plays = [play for play in player.rollouts if play.split == split]
        if not plays:
            raise MixedResultsError(f"{player.name} has no play of the split {split!r}.")
        kept.append(replace(player, rollouts=plays))
    return kept, split


def _read_result_file(path: Path, environment: Environment) -> list[PlayerResults]:
    text = read_recording_text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None  # several lines: a recording
    if isinstance(found, Mapping) and found.get("format") == RESULTS_FORMAT:
        return [_player_from_results(found, path, environment)]
    try:
        runs = read_runs(path)
    except RecordingError as problem:
        allowed = "results of inference.py, or a recording"
        raise RecordingError(f"{path}: {problem} Allowed: {allowed}.") from None
    if not runs:
        raise RecordingError(f"{path} holds no play.")
    players: dict[str, PlayerResults] = {}
    for run in runs:
        if strange := run.versions.keys() - environment.versions.keys():
            raise MixedResultsError(
                f"{path} tells a version of {', '.join(strange)}, which {environment.name!r} does "
                "not have. Choose what was played with --environment."
            )
        one = PlayerResults(run.player, str(path), run.versions, [episode_of_run(run)])
        before = players.get(run.player)
        players[run.player] = before.merged_with(one) if before else one
    return list(players.values())


def _player_from_results(
    results: Mapping[str, Any], path: Path, environment: Environment
) -> PlayerResults:
    if results["environment"] != environment.name:
        raise MixedResultsError(
            f"{path} is of the environment {results['environment']!r}; this compares results of "
            f"{environment.name!r}. Choose with --environment."
        )
    plays = [_episode_from_result(each) for each in results["tasks"]]
    return PlayerResults(results["player"], str(path), results["versions"], plays)


def _episode_from_result(task_result: Mapping[str, Any]) -> ScoredEpisode:
    ran = task_result["status"] in (EVALUATED, NOT_SUBMITTED)
    # A scripted policy has no tokens; a model whose calls told none has an unknown number.
    counted = task_result["model_calls"] and not task_result["uncounted_calls"]
    tokens = task_result["prompt_tokens"] + task_result["completion_tokens"] if counted else None
    return ScoredEpisode(
        task=task_result["task_id"],
        reset=task_result["reset"],
        score=task_result["score"] if ran else None,
        tool_calls=task_result["steps"],
        tokens=tokens,
        cost_usd=task_result["cost_usd"],
        seconds=task_result["seconds"],
        evidence_share=task_result.get("grounded"),
    )


def episode_of_run(run: RecordedRun) -> ScoredEpisode:
    """The play of a recorded run."""
    return ScoredEpisode(
        task=run.task_name,
        reset=run.reset,
        score=run.score,
        tool_calls=len(run.steps),
        seconds=sum(step.elapsed_s for step in run.steps),
        evidence_share=run.evidence_share,
    )


def _require_same_versions(
    player: PlayerResults, expected_versions: Mapping[str, str], expected_source: str
) -> None:
    """Raise a MixedResultsError where a player's plays are of other versions."""
    for name in {**player.versions, **expected_versions}:
        mine, theirs = player.versions.get(name), expected_versions.get(name)
        if mine != theirs:
            raise MixedResultsError(
                f"{player.source} was played under {name} version {mine!r} and {expected_source} "
                f"has {theirs!r}; scores of different versions do not compare."
            )
