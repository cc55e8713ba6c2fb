"""Draining before shutdown: running episodes may continue, and new episodes are rejected.

After SIGTERM, the server reports that it is not ready and rejects new episodes. It stops when no
episode is in use, or after `OPENENV_KIT_DRAIN_S`, and closes the remaining connections with code
1012. A second SIGTERM, or Ctrl+C, stops it immediately.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES
from openenv_kit.serving.store.errors import RETRY_AFTER_S, StoppingError

IN_USE_WINDOW_S = 60.0
"""Time for which an episode with no open connection counts as in use after its last step."""
POLL_INTERVAL_S = 0.1

logger = logging.getLogger("openenv_kit.server")


class ServerDrain:
    """Shutdown state of a worker process: whether it is draining after a SIGTERM.

    Attributes:
        is_draining: whether new episodes are rejected.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._is_forced = threading.Event()

    def require_not_draining(self) -> None:
        """Raise a StoppingError if the server is draining and must not start new episodes."""
        if self.is_draining:
            raise StoppingError(
                "The server is stopping and starts no new episodes; running ones may continue "
                f"for a while. Retry in {RETRY_AFTER_S} s."
            )

    def skip_draining_at_next_sigterm(self) -> None:
        """Make the next SIGTERM stop the server immediately."""
        self._is_forced.set()

    @asynccontextmanager
    async def drain_on_sigterm(self, max_drain_s: float) -> AsyncIterator[None]:
        """Start draining at the first SIGTERM that arrives while the block runs.

        When draining ends, SIGTERM is passed to the previous handler, which is uvicorn's and stops
        the server. Outside the main thread, signals cannot be handled, so the block runs without a
        handler.

        Args:
            max_drain_s: longest time for which running episodes may continue; 0 to stop
                immediately.
        """
        self.is_draining = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        previous_handler = signal.getsignal(signal.SIGTERM)
        if not callable(previous_handler):
            yield
            return
        drain_tasks: list[asyncio.Task[None]] = []

        def handle_sigterm(number: int, frame: FrameType | None) -> None:
            if self.is_draining or self._is_forced.is_set() or not max_drain_s:
                self.is_draining = True
                previous_handler(number, frame)
                return
            self.is_draining = True
            loop.call_soon_threadsafe(
                lambda: drain_tasks.append(loop.create_task(drain_and_stop(number)))
            )

        async def drain_and_stop(number: int) -> None:
            episode_count = RUNNING_EPISODES.count_unstored_or_recently_used(IN_USE_WINDOW_S)
            logger.info(
                "draining started", extra={"episodes": episode_count, "drain_s": max_drain_s}
            )
            deadline = loop.time() + max_drain_s
            while loop.time() < deadline and RUNNING_EPISODES.count_unstored_or_recently_used(
                IN_USE_WINDOW_S
            ):
                await asyncio.sleep(POLL_INTERVAL_S)
            episode_count = RUNNING_EPISODES.count_unstored_or_recently_used(IN_USE_WINDOW_S)
            logger.info("draining ended", extra={"episodes": episode_count})
            previous_handler(number, None)

        signal.signal(signal.SIGTERM, handle_sigterm)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGTERM) is handle_sigterm:
                signal.signal(signal.SIGTERM, previous_handler)
            for task in drain_tasks:
                task.cancel()


SERVER_DRAIN = ServerDrain()
"""Shutdown state of this process."""
