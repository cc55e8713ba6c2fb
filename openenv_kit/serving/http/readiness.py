"""The `/ready` route: whether this worker can serve requests now."""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from openenv_kit.serving import messages
from openenv_kit.serving.draining import SERVER_DRAIN
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.store.errors import (
    RETRY_AFTER_S,
    StoreError,
    log_and_build_unavailable_error,
)
from openenv_kit.serving.store.interface import EpisodeStore

READY_CACHE_S = 0.5
"""Time for which the result of a store check is reused. Requests to /ready need no token, and each
check writes to the store, so the number of checks has to be limited."""
STORE_CHECK_TIMEOUT_S = 1.2
"""Maximum time to wait for a store check. Together with `READY_CACHE_S`, this limit makes /ready
respond within two seconds."""


class Ready(BaseModel):
    """Status of the worker (`ready`, `unavailable` or `stopping`), and why it is not ready.

    `max_sessions` is the total number of sessions that the server's workers are configured for.
    Clients use it to limit the number of their own episodes.
    """

    status: str
    detail: str = ""
    max_sessions: int | None = None


class StoreCheck:
    """Checks an episode store on request. Checks do not overlap, and recent results are reused.

    Args:
        store: store to check.

    Attributes:
        running_check: task of the check that is running; None between checks.
    """

    def __init__(self, store: EpisodeStore) -> None:
        self._store = store
        self.running_check: asyncio.Task[StoreError | None] | None = None
        self._checked_at_s = -math.inf
        self._error: StoreError | None = None

    async def find_store_error_with_cache(self) -> StoreError | None:
        """Return the error of the latest store check; None if the store can be used.

        A new check starts if the latest result is older than `READY_CACHE_S` and no check is
        running. The call waits for a running check for at most `STORE_CHECK_TIMEOUT_S`.
        """
        if self.running_check is None:
            if time.monotonic() - self._checked_at_s < READY_CACHE_S:
                return self._error
            self.running_check = asyncio.create_task(self._check_and_remember_store_error())
        check = self.running_check
        done, _ = await asyncio.wait({check}, timeout=STORE_CHECK_TIMEOUT_S)
        if not done:
            return log_and_build_unavailable_error(
                TimeoutError(f"no answer within {STORE_CHECK_TIMEOUT_S:g} s")
            )
        return check.result()

    async def _check_and_remember_store_error(self) -> StoreError | None:
        try:
            await self._store.require_store_is_writable()
            self._error = None
        except StoreError as error:
            self._error = error
        finally:
            self._checked_at_s = time.monotonic()
            self.running_check = None
        return self._error


def add_ready_route(app: FastAPI, episodes: EpisodeService, max_sessions: int) -> None:
    """Add GET /ready, which reports whether this worker can serve requests.

    Args:
        app: app of one environment.
        episodes: service for its episodes.
        max_sessions: total number of sessions that the workers are configured for.

    A worker is ready while its episode store accepts writes. It stays ready when the store is full
    of running episodes, because these episodes continue and only resets are rejected.
    """
    store_check = StoreCheck(episodes.store)

    @app.get(
        "/ready",
        response_model=Ready,
        responses={
            HTTPStatus.SERVICE_UNAVAILABLE: {
                "model": Ready,
                "description": "Requests cannot be served at present",
            }
        },
        tags=["Health"],
        summary="Whether requests can be served",
    )
    async def ready() -> Response:
        """Return 200 while episodes can be stored and started, else 503 with Retry-After."""
        if SERVER_DRAIN.is_draining:
            return _build_not_ready_response("stopping", "The server is stopping.", RETRY_AFTER_S)
        error = await store_check.find_store_error_with_cache()
        if error is not None:
            return _build_not_ready_response("unavailable", str(error), error.retry_after_s)
        return messages.build_json_response(
            {"status": "ready", "detail": "", "max_sessions": max_sessions}
        )


def _build_not_ready_response(status: str, detail: str, retry_after_s: float | None) -> Response:
    return messages.build_json_response(
        {"status": status, "detail": detail},
        HTTPStatus.SERVICE_UNAVAILABLE,
        {} if retry_after_s is None else {"retry-after": str(math.ceil(retry_after_s))},
    )
