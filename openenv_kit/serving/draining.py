"""How a server stops: running episodes may go on for a while, and no new one starts.

On SIGTERM the server says that it is not ready and refuses new episodes. It stops once no episode
is in use, or after `OPENENV_KIT_DRAIN_S`; the connections that are left are then closed with 1012.
A second SIGTERM, or Ctrl+C, stops it at once.
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
"""Seconds since its last step for which an episode without a connection counts as in use."""
POLL_INTERVAL_S = 0.1

logger = logging.getLogger("openenv_kit.server")


class ServerDrain:
    """Whether this process is about to stop.

    Attributes:
        is_draining: whether new episodes are refused.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self._is_forced = threading.Event()

    def require_not_draining(self) -> None:
        """Raise a StoppingError where no new episode may start."""
        if self.is_draining:
            raise StoppingError(
                "The server is stopping and starts no new episode; running ones go on for a "
                f"while. Retry in {RETRY_AFTER_S} s."
            )

    def skip_draining(self) -> None:
        """Let the next SIGTERM wait for nothing."""
        self._is_forced.set()

    @asynccontextmanager
    async def drain_on_sigterm(self, drain_s: float) -> AsyncIterator[None]:
        """While the block runs, let SIGTERM begin to drain, and pass it on afterwards.

        It is passed on to the handler that was there before: uvicorn's, which ends the server.
        Outside the main thread no signal arrives, and nothing is changed.
        """
        self.is_draining = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
        if not callable(before):
            yield
            return
        waiting: list[asyncio.Task[None]] = []

        def handle(number: int, frame: FrameType | None) -> None:
            if self.is_draining or self._is_forced.is_set() or not drain_s:
                self.is_draining = True
                before(number, frame)
                return
            self.is_draining = True
            loop.call_soon_threadsafe(lambda: waiting.append(loop.create_task(wait(number))))

        async def wait(number: int) -> None:
            running = RUNNING_EPISODES.count_in_use(IN_USE_WINDOW_S)
            logger.info("draining started", extra={"episodes": running, "drain_s": drain_s})
            deadline = loop.time() + drain_s
            while loop.time() < deadline and RUNNING_EPISODES.count_in_use(IN_USE_WINDOW_S):
                await asyncio.sleep(POLL_INTERVAL_S)
            running = RUNNING_EPISODES.count_in_use(IN_USE_WINDOW_S)
            logger.info("draining ended", extra={"episodes": running})
            before(number, None)

        signal.signal(signal.SIGTERM, handle)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGTERM) is handle:
                signal.signal(signal.SIGTERM, before)
            for task in waiting:
                task.cancel()


SERVER_DRAIN = ServerDrain()
