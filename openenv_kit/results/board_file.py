"""Reads and writes `board.json`, the file that the debugger's Leaderboard tab shows.

```
{"format": "leaderboard/1", "boards": [{"environment": …, "split": …, "entries": […]}]}
```
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv_kit.errors import ConfigurationError
from openenv_kit.results.leaderboard_site import (
    Leaderboard,
    LeaderboardEntry,
    list_rollouts_with_zero_for_missing_attested,
)
from openenv_kit.results.submission_folder import SCRIPTED_PREFIX

BOARD_FORMAT = "leaderboard/1"
BOARD_FILENAME = "board.json"
PACKAGED_BOARD = Path(__file__).with_name(BOARD_FILENAME)
"""Leaderboard in the package, which `submissions/remake` writes."""
MAX_BOARD_BYTES = 8 << 20


class BoardEntry(BaseModel):
    """One row of a leaderboard.

    Attributes:
        player: name of the player.
        by: person or group that submitted it; may be empty.
        notes: remarks; may be empty.
        is_scripted: whether the player is a scripted policy of the environment.
        evidence: `attested` or `self-reported`.
        mean, ci_low, ci_high: mean score and its 95 % confidence interval; the bounds are None for
            a single episode.
        levels: mean score by level.
        pass_rates: pass^k by k; values of k without a known rate are missing.
        episodes: number of distinct episodes.
        tokens: mean number of tokens per rollout; None if unknown.
        date: ISO date of the submission; empty if it has none.
    """

    model_config = ConfigDict(frozen=True)

    player: str
    by: str = ""
    notes: str = ""
    is_scripted: bool
    evidence: str
    mean: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    levels: dict[str, float] = {}
    pass_rates: dict[int, float] = {}
    episodes: int
    tokens: float | None = None
    date: str = ""

    @property
    def recorded_player(self) -> str:
        """Name of the player in recordings."""
        return self.player.removeprefix(SCRIPTED_PREFIX)


class Board(BaseModel):
    """Submissions with comparable scores, the highest mean first."""

    model_config = ConfigDict(frozen=True)

    environment: str
    split: str
    first: int
    count: int
    reset: dict[str, Any] = {}
    versions: dict[str, str] = {}
    entries: list[BoardEntry]


class BoardFile(BaseModel):
    """Content of `board.json`."""

    model_config = ConfigDict(frozen=True)

    format: str
    boards: list[Board]


def write_board_file(boards: Sequence[Leaderboard], path: Path) -> None:
    """Write leaderboards to a file."""
    content = BoardFile(format=BOARD_FORMAT, boards=[_build_board(board) for board in boards])
    text = json.dumps(content.model_dump(exclude_defaults=True), indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_board_file(path: Path) -> BoardFile:
    """Read leaderboards from a file.

    Raises:
        ConfigurationError: the file cannot be read, is too large, or has a different format.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"{path} cannot be read: {problem.strerror}.") from None
    if len(content) > MAX_BOARD_BYTES:
        raise ConfigurationError(f"{path} has more than {MAX_BOARD_BYTES >> 20} MiB.")
    try:
        board_file = BoardFile.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path} is not a leaderboard: {place} {first['msg']}.") from None
    if board_file.format != BOARD_FORMAT:
        raise ConfigurationError(
            f"{path} has the format {board_file.format!r}; allowed: {BOARD_FORMAT!r}."
        )
    return board_file


def _build_board(board: Leaderboard) -> Board:
    card = board.card
    return Board(
        environment=card.environment,
        split=card.split,
        first=card.first,
        count=card.count,
        reset=card.reset,
        versions=card.versions,
        entries=[_build_entry(board, entry) for entry in board.entries],
    )


def _build_entry(board: Leaderboard, entry: LeaderboardEntry) -> BoardEntry:
    card, summary = entry.submission.card, entry.summary
    interval = summary.interval
    return BoardEntry(
        player=card.player,
        by=card.by,
        notes=card.notes,
        is_scripted=card.is_scripted,
        evidence=str(entry.evidence_label),
        mean=_round(summary.mean),
        ci_low=_round(interval.ci_low) if interval else None,
        ci_high=_round(interval.ci_high) if interval else None,
        levels=dict(_compute_mean_by_level(board, entry)),
        pass_rates={
            rate.k: round(rate.probability, 6)
            for rate in summary.pass_rates
            if rate.probability is not None
        },
        episodes=summary.task_count,
        tokens=summary.tokens,
        date=card.date,
    )


def _compute_mean_by_level(board: Leaderboard, entry: LeaderboardEntry) -> dict[str, float]:
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for rollout in list_rollouts_with_zero_for_missing_attested(entry.submission):
        level = board.environment.build_result_labels(rollout.reset).get("level")
        if level and rollout.score is not None:
            scores[level].append(rollout.score)
    return {level: round(fmean(values), 6) for level, values in sorted(scores.items())}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
