"""WebSocket sessions: the slots of a worker, and how idle ones are freed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openenv_kit.serving import metrics

RETRY_AFTER_S = 5
"""Seconds after which a refused client should retry."""

logger = logging.getLogger("metric_tracker.sessions")


class CapacityError(Exception):
    """Every slot is taken.

    Attributes:
        told: what a client is told besides the message.
    """

    def __init__(self, active: int, limit: int, where: str = "this worker") -> None:
        metrics.ERRORS.labels("capacity").inc()
        counts = {"active_sessions": active, "max_sessions": limit}
        self.told: dict[str, Any] = {**counts, "retry_after_s": RETRY_AFTER_S}
        super().__init__(
            f"All {limit} sessions of {where} are in use ({active} active). "
            f"Retry in {RETRY_AFTER_S} s."
        )


@dataclass(eq=False)
class LiveSession:
    """One open WebSocket session.

    Attributes:
        task: the task that serves it; cancelled to end it from outside.
        episode_id: name of its running episode.
        last_active: clock of its last message, in seconds (monotonic).
        ended: why it was ended from outside, or empty.
    """

    task: asyncio.Task[object] | None = None
    episode_id: str | None = None
    last_active: float = field(default_factory=time.monotonic)
    ended: str = ""

    def end(self, reason: str) -> None:
        """End the session; its task sends a last message if the peer still reads."""
        self.ended = reason
        if self.task is not None:
            self.task.cancel()


class SessionSlots:
    """The sessions of one worker.

    Args:
        limit: sessions at once.
        idle_timeout_s: seconds of silence after which a session is ended; 0 for never.
    """

    def __init__(self, limit: int, idle_timeout_s: float) -> None:
        self.limit = limit
        self.idle_timeout_s = idle_timeout_s
        self._live: set[LiveSession] = set()

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._live))

    def take(self) -> LiveSession:
        """Take a slot for the calling task.

        Raises:
            CapacityError: none is free.
        """
        if len(self._live) >= self.limit:
            raise CapacityError(len(self._live), self.limit)
        session = LiveSession(task=asyncio.current_task())
        self._live.add(session)
        metrics.SESSIONS.inc()
        return session

    def free(self, session: LiveSession) -> None:
        """Give a slot back; safe to call twice."""
        if session in self._live:
            self._live.remove(session)
            metrics.SESSIONS.dec()

    def end_idle(self, now: float) -> int:
        """End every session that has been silent for too long; returns how many.

        Slots are freed at once: a peer that is gone would never answer the closing handshake.
        """
        longest = self.idle_timeout_s or float("inf")
        idle = [each for each in self if now - each.last_active > longest]
        for session in idle:
            self.free(session)
            session.end("idle")
            logger.info("session ended", extra={"reason": "idle", "episode_id": session.episode_id})
        return len(idle)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """End idle sessions while the block runs."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(min(max(self.idle_timeout_s / 4, 0.05), 5.0))
                self.end_idle(time.monotonic())

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()
