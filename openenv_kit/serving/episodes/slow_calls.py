"""Runs slow tool calls in a few threads of their own, in a fair order among episodes.

An episode that has used much time waits for those that used little (start-time fair queueing): a
call begins at the virtual time at which its episode's last call ended, or now if that is later, and
the call that begins first goes first. So a cheap call waits for the calls that run already, and
not for everything that expensive players have asked for. The order never changes a reply.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

T = TypeVar("T")

MAX_RUNNING_CALLS = max(1, min((os.cpu_count() or 1) // 2, 2))
"""Slow calls that run at once in a worker: they leave half of the cores to everything else."""

MAX_REMEMBERED_EPISODES = 4096
"""Episodes whose use is remembered; of more, the longest unused are forgotten."""


class SlowCallCounts(NamedTuple):
    """How many slow calls of this worker run and wait at the moment."""

    running: int
    waiting: int


class SlowCallQueue:
    """The slow calls of one worker.

    Args:
        max_running: calls that run at once.
    """

    def __init__(self, max_running: int = MAX_RUNNING_CALLS) -> None:
        self._max_running = max_running
        self._threads = ThreadPoolExecutor(max_running, "slow-call")
        self._running = 0
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []  # a heap
        self._virtual_s = 0.0
        self._ended_s: OrderedDict[str, float] = OrderedDict()  # by episode, the last used last

    @property
    def counts(self) -> SlowCallCounts:
        """Calls that run and that wait, for gauges."""
        waiting = sum(not turn.done() for _, _, turn in self._waiting)
        return SlowCallCounts(self._running, waiting)

    async def run_in_turn(self, episode_key: str, call: Callable[[], T]) -> T:
        """Run a call in a thread when it is its turn, and return its result.

        A caller that is cancelled before that gives up its turn; afterwards it waits for the end,
        because nobody may save or play what is still being changed.

        Args:
            episode_key: name of the episode that the call is counted against.
            call: the work.
        """
        begin_s = max(self._virtual_s, self._ended_s.get(episode_key, 0.0))
        await self._wait_for_turn(begin_s)
        self._virtual_s = max(self._virtual_s, begin_s)
        started = time.monotonic()
        running = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        finally:
            self._ended_s[episode_key] = begin_s + time.monotonic() - started
            self._ended_s.move_to_end(episode_key)
            if len(self._ended_s) > MAX_REMEMBERED_EPISODES:
                self._ended_s.popitem(last=False)
            self._running -= 1
            self._start_next_calls()

    async def _wait_for_turn(self, virtual_begin_s: float) -> None:
        """Wait until the call may run; it then counts as running."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (virtual_begin_s, next(self._numbers), turn))
        self._start_next_calls()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given the turn in the meantime
                self._running -= 1
                self._start_next_calls()
            raise

    def _start_next_calls(self) -> None:
        """Give their turn to as many waiting calls as may run."""
        while self._waiting and self._running < self._max_running:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._running += 1
                turn.set_result(None)


SLOW_CALL_QUEUE = SlowCallQueue()
"""Those of this worker, of all its environments; `counts` has what runs and waits."""
