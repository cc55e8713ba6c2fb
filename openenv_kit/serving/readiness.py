"""`GET /ready`: whether this worker can serve, apart from whether it is alive (`GET /health`).

A worker is ready while its episode store takes writes. A store that is full of running episodes
is ready: those go on, and only resets are refused.
"""

from __future__ import annotations

import time

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from openenv_kit.serving.episode_store import StoreError
from openenv_kit.serving.http_episodes import Episodes

READY = "/ready"
FRESH_S = 1.0
"""Time for which an answer is given again: anybody may ask, and asking writes."""


class Ready(BaseModel):
    """Whether requests can be served."""

    status: str
    detail: str = ""


class Readiness:
    """Asks the store, not too often.

    Args:
        episodes: the store's episodes.
    """

    def __init__(self, episodes: Episodes) -> None:
        self._episodes = episodes
        self._asked = -FRESH_S
        self._problem: StoreError | None = None

    async def problem(self) -> StoreError | None:
        """Why requests cannot be served; None if they can."""
        if time.monotonic() - self._asked >= FRESH_S:
            self._asked = time.monotonic()
            try:
                await self._episodes.store.call("check")
                self._problem = None
            except StoreError as problem:
                self._problem = problem
        return self._problem


def add_ready_route(app: FastAPI, readiness: Readiness) -> None:
    """GET /ready."""

    @app.get(
        READY,
        response_model=Ready,
        responses={503: {"model": Ready, "description": "Requests cannot be served at present"}},
        tags=["Health"],
        summary="Whether requests can be served",
    )
    async def ready() -> Response:
        """200 while episodes can be stored; 503, with Retry-After, while they cannot."""
        problem = await readiness.problem()
        if problem is None:
            return JSONResponse({"status": "ready", "detail": ""})
        headers = {"retry-after": str(problem.retry_after_s)}
        return JSONResponse({"status": "unavailable", "detail": str(problem)}, 503, headers)
