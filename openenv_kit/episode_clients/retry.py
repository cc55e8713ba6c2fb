"""Timeouts of the clients, and the pauses between two attempts to reach a server."""

from __future__ import annotations

import time

CONNECT_TIMEOUT_S = 10.0
"""Longest wait for one connection to be accepted, in seconds."""
REPLY_TIMEOUT_S = 60.0
"""Longest wait for one reply, in seconds."""
RECONNECT_TIMEOUT_S = 30.0
"""How long a client retries when a server cannot be reached, in seconds."""
FIRST_RETRY_PAUSE_S = 0.2
MAX_RETRY_PAUSE_S = 5.0
"""Bounds of the pause between attempts, in seconds. The pause doubles with each attempt."""
CAPACITY_TIMEOUT_S = 1800.0
"""Longest wait for a free session on a server that is at capacity, in seconds.

Most sessions are used by other episodes of the same run, which end only after minutes.
"""
CAPACITY_RETRY_PAUSE_S = 0.5
"""Pause between two attempts to get a session on a server at capacity, in seconds."""
UNAVAILABLE_STATUSES = (502, 503, 504)
"""HTTP statuses that a proxy returns while the server behind it is down or starting."""
FULL_STATUSES = (429, 503)
"""HTTP statuses of a server at capacity, whose response has the header `Retry-After`."""


def compute_capacity_pause_s(retry_after_s: float) -> float:
    """Return how many seconds to wait before retrying a server that is at capacity.

    The server asks clients to wait until it can evict an idle episode, which may take minutes.
    Other episodes of the same run usually end sooner, so the result is at most `MAX_RETRY_PAUSE_S`.

    Args:
        retry_after_s: number of seconds in the server's header `Retry-After`.
    """
    return min(max(retry_after_s, CAPACITY_RETRY_PAUSE_S), MAX_RETRY_PAUSE_S)


class RetryTimer:
    """Tracks the remaining time and the next pause of an operation that is retried.

    Args:
        timeout_s: how long to retry, in seconds.
        retry_at_once: whether to start the first retry without a pause, for connections that the
            server may have closed.
    """

    def __init__(self, timeout_s: float, *, retry_at_once: bool = False) -> None:
        self._deadline = time.monotonic() + timeout_s
        self.pause_s = 0.0 if retry_at_once else FIRST_RETRY_PAUSE_S
        """Pause before the next attempt, in seconds."""

    @property
    def remaining_s(self) -> float:
        """Seconds until the timeout; negative afterwards."""
        return self._deadline - time.monotonic()

    @property
    def is_expired(self) -> bool:
        """Whether the next attempt would start after the timeout."""
        return self.pause_s >= self.remaining_s

    def increase_next_pause(self) -> None:
        """Double the pause, starting at `FIRST_RETRY_PAUSE_S` and up to `MAX_RETRY_PAUSE_S`."""
        self.pause_s = min(max(FIRST_RETRY_PAUSE_S, 2 * self.pause_s), MAX_RETRY_PAUSE_S)
