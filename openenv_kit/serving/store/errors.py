"""Errors of an episode store.

StoreError
├── StoreFullError          a limit is reached, and no stored episode may be evicted
├── BusyError               too many resets are waiting
├── StoppingError           the server is stopping and starts no new episode
└── StoreUnavailableError   the disk, the file or Redis cannot be used at the moment
    └── StoreReplacedError  the file or the database has been replaced since the server was started
"""

from __future__ import annotations

import logging

RETRY_AFTER_S = 5
"""Seconds after which a client may retry while the store cannot be used."""

logger = logging.getLogger("openenv_kit.store")


class StoreError(Exception):
    """A call was rejected and changed nothing in the store, so the request can be repeated.

    Attributes:
        retry_after_s: seconds after which a retry can succeed; None if no retry can succeed.
    """

    def __init__(self, message: str, retry_after_s: int | None = RETRY_AFTER_S) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StoreFullError(StoreError):
    """A limit is reached, and no episode can be evicted because all of them are running.

    Attributes:
        is_client_limit: whether the client's own limit is reached instead of the store's limit.
    """

    def __init__(
        self, message: str, retry_after_s: int | None, *, is_client_limit: bool = False
    ) -> None:
        self.is_client_limit = is_client_limit
        super().__init__(message, retry_after_s)


class BusyError(StoreError):
    """Too many requests are waiting."""


class StoppingError(StoreError):
    """The server is stopping. The client should send the request to another server."""


class StoreUnavailableError(StoreError):
    """The storage of the episodes cannot be read or written at the moment."""


class StoreReplacedError(StoreUnavailableError):
    """The storage has been replaced since the server was started.

    Args:
        change: what happened to the storage, such as "was deleted".
    """

    def __init__(self, change: str) -> None:
        logger.error("episode store replaced", extra={"reason": change})
        super().__init__(
            f"The episode store {change} while the server ran, and its episodes are not served. "
            "Restore it, or restart the server to use the present one."
        )


def log_and_build_unavailable_error(
    cause: Exception, state_text: str = "cannot be written at the moment"
) -> StoreError:
    """Log why the store cannot be used, and build the error for the client.

    Args:
        cause: error of the file system, of SQLite or of Redis.
        state_text: state that the message reports, such as "cannot be written at the moment".
    """
    logger.warning("episode store unavailable", extra={"reason": str(cause)})
    return StoreUnavailableError(f"The episode store {state_text}. Retry in {RETRY_AFTER_S} s.")
