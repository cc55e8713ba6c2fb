"""Reads rollouts and their scores from result files and from recorded runs.

A rollout that ended with an error has no score and is counted separately. It does not count as 0,
because the player is not responsible for a failure of the server.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from openenv_kit.agent.results import FINISHED_STATUSES, RESULTS_FORMAT
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, build_unknown_name_message
from openenv_kit.recordings.format import (
    RecordedRun,
    RecordingError,
    iter_recording_paths,
    read_recording_text,
    read_runs,
)

NAMED_TASKS = "named tasks"
"""Split name of rollouts that have no `split` reset argument, such as those of a named task."""
IGNORED_RESET_ARGUMENTS = ("episode_id", "feedback")
"""Reset arguments that do not change the episode. Feedback is only given after the end."""


class MixedResultsError(ConfigurationError):
    """Rollouts cannot be compared: they differ in version, split or environment."""


@dataclass(frozen=True)
class ScoredEpisode:
    """One rollout and its score.

    Attributes:
        task: name of the task, for display.
        reset: reset arguments of the episode.
        score: score from 0 to 1; None if the rollout ended with an error.
        tool_calls: number of steps, including the final submission.
        tokens: number of tokens that the model read and wrote; None if they were not counted.
        cost_usd: cost of the model in US dollars; None if it is unknown.
        seconds: wall time; None if it was not measured.
        evidence_share: share of correct rows whose data the player had requested; None if unknown.
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
    def split_or_named_tasks(self) -> str:
        """Split of the task; `NAMED_TASKS` if the reset arguments contain no split."""
        return str(self.reset["split"]) if "split" in self.reset else NAMED_TASKS

    @property
    def episode_key(self) -> str:
        """Key of the rollout's episode, equal for all rollouts of the same episode."""
        arguments = sorted(
            (name, repr(value))
            for name, value in self.reset.items()
            if name not in IGNORED_RESET_ARGUMENTS
        )
        return repr(arguments)


@dataclass(frozen=True)
class PlayerResults:
    """All rollouts of one player.

    Attributes:
        name: name of the player, for display.
        source: name of the file or submission that contains the rollouts, for error messages.
        versions: versions of the environment that was played.
        rollouts: the rollouts, including those that have no score.
        has_independent_rollouts: whether the rollouts of a task are known to be independent. If
            not, one may be a copy of another, so pass^k is estimated for k = 1 only.
    """

    name: str
    source: str
    versions: Mapping[str, str]
    rollouts: Sequence[ScoredEpisode]
    has_independent_rollouts: bool = True

    def merge_rollouts_of_same_versions(self, other: PlayerResults) -> PlayerResults:
        """Return a copy of this player that also has the other player's rollouts.

        Raises:
            MixedResultsError: the players have played different versions of the environment.
        """
        _require_same_versions(other, self)
        return replace(self, rollouts=[*self.rollouts, *other.rollouts])

    @property
    def played_split_names(self) -> list[str]:
        """Names of the splits that were played, in order of first occurrence."""
        return list(dict.fromkeys(rollout.split_or_named_tasks for rollout in self.rollouts))

    @property
    def scored_rollouts(self) -> list[ScoredEpisode]:
        """Rollouts that ended with a score."""
        return [rollout for rollout in self.rollouts if rollout.score is not None]


class NamedPath(NamedTuple):
    """A file or folder of results, and the display name of its player.

    If the name is empty, the name in the file is used.
    """

    name: str
    path: Path


class SplitSelection(NamedTuple):
    """Players with rollouts of a single split, and the name of the split."""

    players: list[PlayerResults]
    split: str


def group_scores_by_episode(rollouts: Iterable[ScoredEpisode]) -> dict[str, list[float]]:
    """Return the scores of rollouts by episode key. Rollouts without a score are left out."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.score is not None:
            scores[rollout.episode_key].append(rollout.score)
    return dict(scores)


def read_and_merge_player_results(
    files: Iterable[NamedPath], environment: Environment
) -> list[PlayerResults]:
    """Read the rollouts of all players in result files, and merge those of the same player.

    Args:
        files: at least one result file, recording or folder of recordings.
        environment: the environment that was played.

    Returns:
        The players, in order of first occurrence.

    Raises:
        MixedResultsError: a file belongs to a different environment, or the versions in the files
            differ.
        RecordingError: a file contains neither results of `inference.py` nor a recording.
    """
    players: dict[str, PlayerResults] = {}
    for name, path in files:
        for file in iter_recording_paths([path]):
            for player in _read_results_or_recording(file, environment):
                _add_or_merge_player(players, replace(player, name=name or player.name))
    first, *others = players.values()
    for player in others:
        _require_same_versions(player, first)
    return [first, *others]


def select_rollouts_of_split(players: Sequence[PlayerResults], split: str = "") -> SplitSelection:
    """Select the rollouts of one split.

    Args:
        players: the players.
        split: name of the split; may be empty if all rollouts belong to the same split.

    Raises:
        MixedResultsError: `split` is empty and there are several splits, the split is unknown, or
            a player has no rollout of it.
    """
    splits = list(dict.fromkeys(name for player in players for name in player.played_split_names))
    if not split:
        if len(splits) != 1:
            splits_by_player = "; ".join(
                f"{player.name} has {' and '.join(player.played_split_names)}" for player in players
            )
            raise MixedResultsError(
                f"The rollouts are of {len(splits)} splits ({splits_by_player}), and scores of "
                f"different splits cannot be compared. Choose one with --split: "
                f"{', '.join(splits)}."
            )
        split = splits[0]
    if split not in splits:
        raise MixedResultsError(build_unknown_name_message("split", split, splits))
    selected = []
    for player in players:
        rollouts = [rollout for rollout in player.rollouts if rollout.split_or_named_tasks == split]
        if not rollouts:
            raise MixedResultsError(f"{player.name} has no rollout of the split {split!r}.")
        selected.append(replace(player, rollouts=rollouts))
    return SplitSelection(selected, split)


def scored_episode_from_run(run: RecordedRun) -> ScoredEpisode:
    """Convert a recorded run into a rollout with its score."""
    return ScoredEpisode(
        task=run.task_name,
        reset=run.reset,
        score=run.score,
        tool_calls=len(run.steps),
        tokens=run.token_count,
        seconds=sum(step.elapsed_s for step in run.steps),
        evidence_share=run.evidence_share,
    )


def _add_or_merge_player(players: dict[str, PlayerResults], player: PlayerResults) -> None:
    """Add a player to `players`, or add its rollouts to the player that has the same name."""
    previous = players.get(player.name)
    players[player.name] = previous.merge_rollouts_of_same_versions(player) if previous else player


def _read_results_or_recording(path: Path, environment: Environment) -> list[PlayerResults]:
    text = read_recording_text(path)
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        document = None  # The file may be a recording, which has several lines of JSON.
    if isinstance(document, Mapping) and document.get("format") == RESULTS_FORMAT:
        return [_player_from_results(document, path, environment)]
    try:
        runs = read_runs(path)
    except RecordingError as problem:
        allowed = "results of inference.py, or a recording"
        raise RecordingError(f"{path}: {problem} Allowed: {allowed}.") from None
    if not runs:
        raise RecordingError(f"{path} contains no run.")
    players: dict[str, PlayerResults] = {}
    for run in runs:
        if unknown := run.versions.keys() - environment.versions.keys():
            names = ", ".join(sorted(unknown))
            raise MixedResultsError(
                f"{path} contains a version of {names}, which {environment.name!r} does not "
                "have. Name the environment that was played with --environment."
            )
        _add_or_merge_player(
            players,
            PlayerResults(run.player, str(path), run.versions, [scored_episode_from_run(run)]),
        )
    return list(players.values())


def _player_from_results(
    results: Mapping[str, Any], path: Path, environment: Environment
) -> PlayerResults:
    if results["environment"] != environment.name:
        raise MixedResultsError(
            f"{path} is of the environment {results['environment']!r}, and results of "
            f"{environment.name!r} are compared. Choose the environment with --environment."
        )
    rollouts = [_episode_from_result(task_result) for task_result in results["tasks"]]
    return PlayerResults(results["player"], str(path), results["versions"], rollouts)


def _episode_from_result(task_result: Mapping[str, Any]) -> ScoredEpisode:
    is_finished = task_result["status"] in FINISHED_STATUSES
    # Scripted policies use no tokens. If the endpoint omitted a call's usage, the sum is unknown.
    has_token_count = task_result["model_calls"] and not task_result["uncounted_calls"]
    return ScoredEpisode(
        task=task_result["task_id"],
        reset=task_result["reset"],
        score=task_result["score"] if is_finished else None,
        tool_calls=task_result["steps"],
        tokens=(
            task_result["prompt_tokens"] + task_result["completion_tokens"]
            if has_token_count
            else None
        ),
        cost_usd=task_result["cost_usd"],
        seconds=task_result["seconds"],
        evidence_share=task_result.get("grounded"),
    )


def _require_same_versions(player: PlayerResults, expected: PlayerResults) -> None:
    for name in {**player.versions, **expected.versions}:
        version, expected_version = player.versions.get(name), expected.versions.get(name)
        if version != expected_version:
            raise MixedResultsError(
                f"{player.source} was played with {name} version {version!r} and "
                f"{expected.source} with {expected_version!r}; scores of different versions "
                "cannot be compared."
            )
