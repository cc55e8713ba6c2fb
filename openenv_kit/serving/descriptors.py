"""How many descriptors this process may open, and how many sessions fit into them."""

from __future__ import annotations

import logging
import resource

from openenv_kit.serving.settings import Settings

ENOUGH = 1 << 20
"""Descriptors at which nothing needs to be cut, and as which no limit at all counts."""

OWN = 64
"""Descriptors for the store, the log, threads, and files of the page."""

MAX_BACKLOG = 2048

logger = logging.getLogger("metric_tracker.server")


def raise_limit() -> int:
    """Raise the soft limit of open descriptors as far as the hard one allows; returns the limit."""
    given, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, most = (ENOUGH if n == resource.RLIM_INFINITY else min(n, ENOUGH) for n in (given, hard))
    if soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):  # macOS has a lower limit that it does not tell
            return soft
    return most


def backlog(limit: int) -> int:
    """Connections that may be accepted in one go, before any of them can be refused."""
    return max(16, min(MAX_BACKLOG, limit // 16))


def max_connections(limit: int) -> int:
    """Connections at once that leave the process what else it needs."""
    return max(8, limit - OWN - backlog(limit))


def fitted(chosen: Settings, limit: int) -> Settings:
    """Settings whose sessions fit into so many descriptors, with some left for HTTP.

    Without those a client past the capacity could not even be refused.
    """
    asked = chosen.max_sessions + chosen.max_mcp_sessions
    room = max(2, max_connections(limit) - max(4, limit // 16))
    if asked <= room:
        return chosen
    sessions = max(1, room * chosen.max_sessions // asked)
    fitting = {"max_sessions": sessions, "max_mcp_sessions": max(1, room - sessions)}
    cut = chosen.model_copy(update=fitting)
    logger.warning(
        "capacity cut to %d sessions and %d MCP sessions: the process may open only %d descriptors "
        "(ulimit -n); MAX_CONCURRENT_ENVS is %d, METRIC_TRACKER_MAX_MCP_SESSIONS %d",
        cut.max_sessions,
        cut.max_mcp_sessions,
        limit,
        chosen.max_sessions,
        chosen.max_mcp_sessions,
    )
    return cut
