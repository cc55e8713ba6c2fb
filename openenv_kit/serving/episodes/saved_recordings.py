"""Recordings of finished episodes, in the data folder where the settings name one.

There is a folder for each environment and a file for each day, to which runs are appended. They are
recordings like any other: the page shows them, and `metric-tracker replay` plays them again. Sealed
tasks are not recorded. The oldest files go when all take more than `MAX_RECORDINGS_BYTES`.
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
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.settings import Settings

MAX_RECORDINGS_BYTES = 1 << 30
RECORDINGS_FOLDER_NAME = "recordings"
RECORDINGS_PER_SIZE_CHECK = 100
"""Recordings after which a worker looks at how much they take."""

logger = logging.getLogger("openenv_kit.recordings")

_writer_thread = ThreadPoolExecutor(1, "recordings")
"""Writes to the disk, so that nobody's step waits for it."""
_written_count = 0


class EpisodeRecorder:
    """Records one episode while it is played, and writes it once it is over.

    Args:
        environment: what is played.
        transport: by which; stands for the player's name.
        reset_arguments: of the reset.
        reset_reply: its reply.
        data_folder: the data folder.
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
        """Record an action and its reply."""
        self._recorder.record_step(action, observation_from_reply(reply))

    def save_recording(self, final_reply: Reply) -> None:
        """Write the recording of an episode that `last` ended."""
        self._recorder.record_end(final_reply.reward or 0.0, observation_from_reply(final_reply))
        _writer_thread.submit(_append_recording, self._folder, self._text.getvalue().encode())


def create_recorder(
    environment: Environment,
    settings: Settings,
    transport: str,
    reset_arguments: Mapping[str, Any],
    reset_reply: Reply,
) -> EpisodeRecorder | None:
    """Return what records an episode; None where it is not to be recorded.

    Args:
        environment: what is played.
        settings: of the server.
        transport: by which it is played.
        reset_arguments: of the reset.
        reset_reply: its reply.
    """
    if not settings.data_folder or is_sealed_split(reset_arguments.get("split")):
        return None
    folder = Path(settings.data_folder)
    return EpisodeRecorder(environment, transport, reset_arguments, reset_reply, folder)


def wait_for_recordings() -> None:
    """Wait until everything that was recorded is on the disk."""
    _writer_thread.submit(lambda: None).result()


def _append_recording(folder: Path, recording: bytes) -> None:
    """Append a run to today's file; a disk that refuses is noted in the log."""
    global _written_count
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In one piece: other workers append to the same file.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, recording)
        finally:
            os.close(file)
        if _written_count % RECORDINGS_PER_SIZE_CHECK == 0:
            _remove_oldest_recordings(folder.parent)
        _written_count += 1
    except OSError as problem:
        logger.warning("failed to write recording", extra={"reason": str(problem)})


def _remove_oldest_recordings(folder: Path) -> None:
    """Remove whole files, the oldest first, until the rest takes no more than it may."""
    files = sorted(folder.glob("*/*.jsonl"), key=lambda path: path.name)
    size = sum(path.stat().st_size for path in files)
    for path in files[:-1]:
        if size <= MAX_RECORDINGS_BYTES:
            return
        size -= path.stat().st_size
        path.unlink(missing_ok=True)
