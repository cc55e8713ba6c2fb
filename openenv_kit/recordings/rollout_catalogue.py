"""Lists the rollouts in folders of recordings, from their start and end lines only."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from inspect import getfile
from pathlib import Path
from typing import IO, Any, NamedTuple

from openenv_kit.environment import Environment, find_environment_entry_points, get_environment
from openenv_kit.errors import KitError
from openenv_kit.json_text import canonical_json
from openenv_kit.recordings.format import RecordedRun
from openenv_kit.recordings.rollout_lines import RolloutLines, UnreadableLine, scan_recording

PACKAGED_RECORDINGS_FOLDER = "recordings"
"""Folder with example recordings, next to the module of an environment's class."""
MAX_LISTED_ROLLOUTS = 5_000
MAX_ROLLOUT_BYTES = 32 << 20
"""Largest rollout that is opened, in bytes."""
MAX_SHOWN_PROBLEMS = 20

logger = logging.getLogger("openenv_kit.recordings")


@dataclass(frozen=True)
class RolloutSummary:
    """One entry of a list of rollouts. None means that a value was not recorded.

    Attributes:
        id: identifier, see `compute_rollout_id`.
        player: name of the policy or model.
        environment: name of the environment; empty in older recordings.
        task: name of the task.
        level: level of the task; empty if the environment has no levels or the task is unknown.
        episode: digest that identifies the episode, so that players can be compared on the same
            episodes.
        score: score in [0, 1].
        steps: number of steps.
        errors: number of rejected tool calls.
        tokens: number of tokens that a model read and wrote.
        outcome: a `RolloutOutcome`; `running` if there is no end line; empty if it was not
            recorded.
        source: file that contains the rollout, relative to its folder.
    """

    id: str
    player: str
    environment: str
    task: str
    level: str
    episode: str
    score: float | None
    steps: int
    errors: int | None
    tokens: int | None
    outcome: str
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


class RolloutList(NamedTuple):
    """Result of listing the rollouts in folders.

    Attributes:
        rollouts: the summaries. Of several identical rollouts, only the first is included.
        problems: messages about lines and files that cannot be read.
        omitted_count: number of rollouts beyond `MAX_LISTED_ROLLOUTS`.
        private_count: number of private rollouts, which are not listed.
    """

    rollouts: list[RolloutSummary]
    problems: list[str]
    omitted_count: int
    private_count: int


@dataclass(frozen=True)
class _ScannedRecording:
    """Result of the last scan of a file. When the file grows, its last rollout is read again."""

    size_bytes: int
    modified_ns: int
    rollouts: Sequence[RolloutLines]
    unreadable_lines: Sequence[UnreadableLine]


class _FoundRecording(NamedTuple):
    folder: Path
    path: Path
    recording: _ScannedRecording


class RolloutCatalogue:
    """The rollouts in folders of recordings. Files that have not changed are not read again.

    Args:
        folders: folders that are searched with their subfolders for `*.jsonl` and `*.jsonl.gz`.
        environment_name: environment that is assumed for recordings that do not state one.
    """

    def __init__(self, folders: Sequence[Path], environment_name: str) -> None:
        self._folders = list(folders)
        self._environment_name = environment_name
        self._scanned: dict[Path, _ScannedRecording] = {}
        self._lock = threading.Lock()

    def list_rollouts(self) -> RolloutList:
        """Return the rollouts of all folders, sorted by file and position."""
        summaries: dict[str, RolloutSummary] = {}
        problems: list[str] = []
        omitted_count = private_count = 0
        for folder, path, recording in self._iter_scanned_recordings(problems):
            source = str(path.relative_to(folder))
            problems += _describe_unreadable_lines(source, recording)
            for lines in recording.rollouts:
                if lines.start.get("private"):
                    private_count += 1
                elif len(summaries) < MAX_LISTED_ROLLOUTS or lines.rollout_id in summaries:
                    summary = summarize_rollout(lines, self._environment_name, source)
                    summaries.setdefault(summary.id, summary)
                else:
                    omitted_count += 1
        shown = problems[:MAX_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"{len(problems) - len(shown)} more lines or files cannot be read.")
        return RolloutList(list(summaries.values()), shown, omitted_count, private_count)

    def read_rollout(self, rollout_id: str) -> bytes | None:
        """Return the lines of a rollout; None if it does not exist, is private or is too large."""
        for _, path, recording in self._iter_scanned_recordings([]):
            for lines in recording.rollouts:
                if lines.rollout_id != rollout_id or lines.start.get("private"):
                    continue
                size_bytes = lines.end_offset - lines.offset
                if size_bytes > MAX_ROLLOUT_BYTES:
                    return None
                with _open_recording(path) as file:
                    file.seek(lines.offset)
                    return file.read(size_bytes)
        return None

    def _iter_scanned_recordings(self, problems: list[str]) -> Iterator[_FoundRecording]:
        """Yield folder, path and rollouts of each recording; append messages about errors."""
        for folder in self._folders:
            paths = sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.gz")])
            if not folder.is_dir():
                problems.append(f"The folder {folder.name} does not exist.")
            for path in paths:
                try:
                    yield _FoundRecording(folder, path, self._scan_if_changed(path))
                except (OSError, EOFError) as problem:
                    logger.warning("failed to read recording", extra={"reason": str(problem)})
                    problems.append(f"{path.relative_to(folder)} cannot be read.")

    def _scan_if_changed(self, path: Path) -> _ScannedRecording:
        status = path.stat()
        with self._lock:
            previous = self._scanned.get(path)
        if previous and (previous.size_bytes, previous.modified_ns) == (
            status.st_size,
            status.st_mtime_ns,
        ):
            return previous
        recording = None
        if previous is not None and path.suffix != ".gz" and status.st_size > previous.size_bytes:
            recording = _scan_appended_lines(path, previous, status)
        if recording is None:
            with _open_recording(path) as file:
                found = scan_recording(file)
            recording = _ScannedRecording(
                status.st_size, status.st_mtime_ns, found.rollouts, found.unreadable_lines
            )
        with self._lock:
            self._scanned[path] = recording
        return recording


def _scan_appended_lines(
    path: Path, previous: _ScannedRecording, status: os.stat_result
) -> _ScannedRecording | None:
    """Scan a file that has grown, starting at its last rollout.

    The last rollout is scanned again because it may have been incomplete. Returns None if the file
    was rewritten instead of appended to.
    """
    if not previous.rollouts:
        return None
    last = previous.rollouts[-1]
    with path.open("rb") as file:
        file.seek(last.offset)
        found = scan_recording(file, last.offset, last.first_line_number)
    if not found.rollouts or found.rollouts[0].start != last.start or found.unreadable_lines:
        return None
    return _ScannedRecording(
        status.st_size,
        status.st_mtime_ns,
        [*previous.rollouts[:-1], *found.rollouts],
        previous.unreadable_lines,
    )


def packaged_recordings_folder(environment: Environment) -> Path:
    """Return the folder with an environment's example recordings, which may not exist."""
    return Path(getfile(type(environment))).with_name(PACKAGED_RECORDINGS_FOLDER)


def summarize_rollout(
    lines: RolloutLines, default_environment_name: str, source: str
) -> RolloutSummary:
    """Return the summary of a rollout from its start and end lines."""
    start, end = lines.start, lines.end
    reset = start["reset"]
    environment_name = str(start.get("environment") or "")
    values = end or {}
    return RolloutSummary(
        id=lines.rollout_id,
        player=str(start.get("player") or ""),
        environment=environment_name,
        task=_format_task_name(reset),
        level=_find_level(environment_name or default_environment_name, canonical_json(reset)),
        episode=identify_episode(reset),
        score=_number_or_none(values.get("score")),
        steps=lines.step_count,
        errors=_integer_or_none(values.get("errors")),
        tokens=_integer_or_none(values.get("tokens")),
        outcome="running" if end is None else str(values.get("outcome") or ""),
        source=source,
    )


def list_levels_in_order(environment: Environment) -> list[str]:
    """Return the levels of the named tasks, which are defined in order of difficulty."""
    resets = environment.reset_arguments_by_task_id.values()
    levels = (environment.build_result_labels(reset).get("level", "") for reset in resets)
    return list(dict.fromkeys(level for level in levels if level))


def identify_episode(reset: Mapping[str, Any]) -> str:
    """Return a short digest of the reset arguments that determine an episode."""
    arguments = {name: value for name, value in reset.items() if name != "episode_id"}
    return hashlib.sha256(canonical_json(arguments).encode()).hexdigest()[:12]


def _format_task_name(reset: Mapping[str, Any]) -> str:
    name = RecordedRun("", dict(reset), {}, "").task_name
    if name == "custom" and reset.get("seed") is not None:
        return f"seed {reset['seed']}"
    return name


@lru_cache(maxsize=20_000)
def _find_level(environment_name: str, reset_json: str) -> str:
    """Return the level of an episode; empty if the environment or the task is unknown."""
    if environment_name not in find_environment_entry_points():
        return ""
    reset = json.loads(reset_json)
    try:
        return get_environment(environment_name).build_result_labels(reset).get("level", "")
    except (KitError, TypeError, ValueError, LookupError, AttributeError):
        return ""


def _describe_unreadable_lines(source: str, recording: _ScannedRecording) -> list[str]:
    lines = [
        *recording.unreadable_lines,
        *(line for rollout in recording.rollouts for line in rollout.unreadable_lines),
    ]
    return [f"{source}, line {line.number}: {line.reason}." for line in lines]


def _open_recording(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _number_or_none(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value == value else None  # type: ignore[arg-type]


def _integer_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
