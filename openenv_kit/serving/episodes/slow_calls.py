"""Queue that runs slow tool calls in a few threads and shares them fairly among episodes.

Calls are ordered by start-time fair queueing. The virtual start time of a call is the virtual end
time of its episode's previous call, or the current virtual time if that is later. The call with the
earliest virtual start time runs first. A cheap call therefore waits only for running calls, not for
all expensive calls that another player has queued. The order does not affect the replies.
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
"""Maximum number of slow calls that run at once in a worker. Where possible, half of the CPU cores
stay free for other work."""

MAX_REMEMBERED_EPISODES = 4096
"""Maximum number of episodes whose virtual end time is remembered."""


class SlowCallCounts(NamedTuple):
    """Numbers of slow calls that are running and waiting in this worker."""

    running: int
    waiting: int


class WaitingCall(NamedTuple):
    """A call that waits for its turn. The tuple order is the order in which calls run.

    Attributes:
        virtual_start_s: virtual start time, in seconds.
        number: sequence number, which orders calls with the same start time.
        turn: future that is completed when the call may run.
    """

    virtual_start_s: float
    number: int
    turn: asyncio.Future[None]


class SlowCallQueue:
    """Fair queue for the slow calls of one worker.

    Args:
        max_running: maximum number of calls that run at once.
    """

    def __init__(self, max_running: int = MAX_RUNNING_CALLS) -> None:
        self._max_running = max_running
        self._threads = ThreadPoolExecutor(max_running, "slow-call")
        self._running_count = 0
        self._call_numbers = itertools.count()
        self._waiting_heap: list[WaitingCall] = []
        self._virtual_time_s = 0.0
        # Keys are episode keys, in the order of their last use.
        self._virtual_end_s: OrderedDict[str, float] = OrderedDict()

    @property
    def running_and_waiting_counts(self) -> SlowCallCounts:
        """Numbers of calls that are running and waiting, for the metrics."""
        waiting_count = sum(not call.turn.done() for call in self._waiting_heap)
        return SlowCallCounts(self._running_count, waiting_count)

    async def run_in_thread_at_fair_turn(self, episode_key: str, call: Callable[[], T]) -> T:
        """Wait for a turn in the fair queue, run a function in a thread and return its result.

        A caller that is cancelled while it waits gives up its turn. A caller that is cancelled
        later waits for the end of the function, because an episode must not be used or stored while
        the function changes it.

        Args:
            episode_key: key of the episode whose virtual time the call uses.
            call: the function.
        """
        virtual_start_s = max(self._virtual_time_s, self._virtual_end_s.get(episode_key, 0.0))
        await self._wait_for_turn_and_count_as_running(virtual_start_s)
        self._virtual_time_s = max(self._virtual_time_s, virtual_start_s)
        begin_s = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
        finally:
            self._remember_virtual_end_of_episode(
                episode_key, virtual_start_s + time.monotonic() - begin_s
            )
            self._running_count -= 1
            self._start_waiting_calls_in_free_threads()

    async def _wait_for_turn_and_count_as_running(self, virtual_start_s: float) -> None:
        """Wait until the call may run, and count the call as running."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting_call = WaitingCall(virtual_start_s, next(self._call_numbers), turn)
        heapq.heappush(self._waiting_heap, waiting_call)
        self._start_waiting_calls_in_free_threads()
        try:
            await turn
        except asyncio.CancelledError:
            got_turn = turn.done() and not turn.cancelled()
            if got_turn:
                self._running_count -= 1
                self._start_waiting_calls_in_free_threads()
            raise

    def _start_waiting_calls_in_free_threads(self) -> None:
        """Start waiting calls until every thread is in use."""
        while self._waiting_heap and self._running_count < self._max_running:
            waiting_call = heapq.heappop(self._waiting_heap)
            if not waiting_call.turn.done():
                self._running_count += 1
                waiting_call.turn.set_result(None)

    def _remember_virtual_end_of_episode(self, episode_key: str, virtual_end_s: float) -> None:
        self._virtual_end_s[episode_key] = virtual_end_s
        self._virtual_end_s.move_to_end(episode_key)
        if len(self._virtual_end_s) > MAX_REMEMBERED_EPISODES:
            self._virtual_end_s.popitem(last=False)


SLOW_CALL_QUEUE = SlowCallQueue()
"""Queue of this worker, for the slow calls of all environments."""
