"""Runs the child process that imports a table, with a limit on its duration."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from openenv_kit.own_data.import_process import ImportStage

MAX_DURATION_S = {ImportStage.CHECK: 60.0, ImportStage.IMPORT: 240.0}
MAX_LINE_BYTES = 64 << 20
"""Longest line that the child sends, in bytes. Three years of hourly counts take 2 MB."""
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""Environment variables that the child inherits. The server's tokens and keys are not inherited."""
IMPORT_SLOT = threading.Lock()
"""Lock that is held while an import runs. The pages of all environments share it."""


class ImportFailedError(Exception):
    """Raised if the child process ends without a result; the message states the reason."""


async def iter_child_messages(
    request: Mapping[str, Any], temporary_folder: Path
) -> AsyncIterator[Mapping[str, Any]]:
    """Run the child process and yield its messages. The child ends when the iteration ends.

    Args:
        request: request of the child; see `openenv_kit.own_data.import_process`.
        temporary_folder: folder for the child's temporary files.

    Raises:
        ImportFailedError: the child took too long, or ended without a result.
    """
    limit_s = MAX_DURATION_S[ImportStage(request["stage"])]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "openenv_kit.own_data.import_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A traceback could contain numbers of the table, and the server's errors are logged.
        stderr=asyncio.subprocess.DEVNULL,
        env=_build_child_variables(temporary_folder),
        start_new_session=True,
        limit=MAX_LINE_BYTES,
    )
    if process.stdin is None or process.stdout is None:
        raise ImportFailedError("The import could not be started.")
    is_answered = False
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(limit_s):
            while line := await process.stdout.readline():
                message = json.loads(line)
                is_answered = "done" not in message
                yield message
    except TimeoutError:
        text = f"The import took longer than {limit_s:.0f} seconds, so it was stopped."
        raise ImportFailedError(text) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        # A visitor who leaves cancels this task at every await, also at this one.
        with anyio.CancelScope(shield=True):
            await process.wait()
    if not is_answered:
        raise ImportFailedError(
            "The import stopped before it was finished. It probably needed more memory than "
            "allowed; use `metric-tracker import`."
        )


def _build_child_variables(temporary_folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    # The modules are found as in this process, whatever its working directory.
    paths = os.pathsep.join(dict.fromkeys(filter(None, sys.path)))
    return {**kept, "PYTHONPATH": paths, "TMPDIR": str(temporary_folder)}
