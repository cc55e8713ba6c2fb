"""Recordings of finished episodes in the data folder of the server.

Each environment has a folder with one file per day, to which recordings are appended. The debugger
shows the recordings, and `metric-tracker replay` replays them. Sealed tasks are not recorded. When
the total size exceeds `MAX_RECORDINGS_BYTES`, the oldest files are deleted.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openenv_kit.environment import Environment, Reply
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import Settings

MAX_RECORDINGS_BYTES = 1 << 30
RECORDINGS_FOLDER_NAME = "recordings"
RECORDINGS_PER_SIZE_CHECK = 100
"""Number of recordings after which a worker checks the size of all files."""

logger = logging.getLogger("openenv_kit.recordings")

_writer_thread = ThreadPoolExecutor(1, "recordings")
"""Thread that writes recordings to the disk, so that steps do not wait for the disk."""
_written_count = 0


class EpisodeRecorder:
    """Records an episode while it is played, and saves the recording when the episode ends.

    Args:
        environment: the environment.
        transport: transport of the episode, recorded as the player's name.
        reset_arguments: arguments of the reset.
        reset_reply: reply to that reset.
        data_folder: data folder of the server.
    """

    def __init__(
        self,
        environment: Environment,
        transport: str,
        reset_arguments: Mapping[str, Any],
        reset_reply: Reply,
        data_folder: Path,
    ) -> None:
        self._folder = data_folder / RECORDINGS_FOLDER_NAME / environment.name
        self._text = io.StringIO()
        self._recorder = RunRecorder(
            self._text, transport, reset_arguments, observation_from_reply(reset_reply), environment
        )

    def record_step(self, action: Mapping[str, Any], reply: Reply) -> None:
        """Record an action and the reply to it."""
        self._recorder.record_step(action, observation_from_reply(reply))

    def save_recording_in_background(self, final_reply: Reply) -> None:
        """Complete the recording, and write it to its file in the background."""
        self._recorder.record_end(final_reply.reward or 0.0, observation_from_reply(final_reply))
        _writer_thread.submit(
            _append_recording_to_daily_file_and_limit_total_size,
            self._folder,
            self._text.getvalue().encode(),
        )


def create_recorder_unless_disabled_or_sealed(
    environment: Environment,
    settings: Settings,
    transport: str,
    reset_arguments: Mapping[str, Any],
    reset_reply: Reply,
) -> EpisodeRecorder | None:
    """Return a recorder for an episode; None if no data folder is set or the task is sealed.

    Args:
        environment: the environment.
        settings: settings of the server.
        transport: transport of the episode.
        reset_arguments: arguments of the reset.
        reset_reply: reply to the reset.
    """
    if not settings.data_folder or is_sealed_split(reset_arguments.get("split")):
        return None
    folder = Path(settings.data_folder)
    return EpisodeRecorder(environment, transport, reset_arguments, reset_reply, folder)


def wait_for_recordings() -> None:
    """Wait until all recordings are written to the disk."""
    _writer_thread.submit(lambda: None).result()


def _append_recording_to_daily_file_and_limit_total_size(folder: Path, recording: bytes) -> None:
    """Append a recording to today's file. File system errors are only logged."""
    global _written_count
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One write call appends the whole recording, because other workers append to the same file.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, recording)
        finally:
            os.close(file)
        if _written_count % RECORDINGS_PER_SIZE_CHECK == 0:
            _delete_oldest_recording_files_above_limit(folder.parent)
        _written_count += 1
    except OSError as error:
        logger.warning("failed to write recording", extra={"reason": str(error)})


def _delete_oldest_recording_files_above_limit(parent_folder: Path) -> None:
    """Delete the oldest files until the size limit is met. The newest file is never deleted."""
    files = sorted(parent_folder.glob("*/*.jsonl"), key=lambda path: path.name)
    total_bytes = sum(path.stat().st_size for path in files)
    for path in files[:-1]:
        if total_bytes <= MAX_RECORDINGS_BYTES:
            return
        total_bytes -= path.stat().st_size
        path.unlink(missing_ok=True)
