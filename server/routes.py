"""The HTTP routes that play episodes by id, and /metrics."""

from __future__ import annotations

import logging
import uuid
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from openenv.core.env_server.types import ResetRequest, ResetResponse, StepRequest, StepResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from metric_tracker_rl.models import MetricTrackerRlState
from metric_tracker_rl.session import MAX_EPISODE_ID
from server import frames, metrics
from server.episode_store import StoreError, StoreFullError
from server.http_episodes import (
    MAX_REQUEST_ID,
    Episodes,
    EpisodeTooLongError,
    UnknownEpisodeError,
)
from server.play import Play

NO_EPISODE = (
    " Over HTTP an episode has a name: POST /reset returns its episode_id, and POST /step and "
    "GET /state go on with it when they are sent that id."
)
logger = logging.getLogger("metric_tracker.http")


class EpisodeResetResponse(ResetResponse):
    """The first observation, and the id to go on with."""

    episode_id: str | None = Field(
        None, description="send it with POST /step and GET /state; null where the reset failed"
    )


class EpisodeStepRequest(StepRequest):
    """One step of an episode."""

    episode_id: str | None = Field(
        None, max_length=MAX_EPISODE_ID, description="the id that POST /reset returned"
    )
    request_id: str | None = Field(
        None,
        max_length=MAX_REQUEST_ID,
        description="name of this request; sent again, it gets the same reply and no second step",
    )


class EpisodeStepResponse(StepResponse):
    """What the step told."""

    episode_id: str | None = Field(None, description="the episode's id")


class Problem(BaseModel):
    """What went wrong."""

    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not JSON, or nested too deeply"},
    404: {"model": Problem, "description": "Unknown or expired episode"},
    413: {"model": Problem, "description": "Body too long, or episode too long"},
    429: {"model": Problem, "description": "This client's share of the episode store is used up"},
    503: {"model": Problem, "description": "The episode store is full, or cannot be written"},
}


def add_episode_routes(app: FastAPI, episodes: Episodes) -> None:
    """POST /reset, POST /step and GET /state over a store of episodes."""

    @app.post(
        "/reset",
        response_model=EpisodeResetResponse,
        responses=PROBLEMS,
        tags=["Environment Control"],
        summary="Start an episode",
    )
    async def reset(
        request: Request, body: Annotated[ResetRequest, Body(default_factory=ResetRequest)]
    ) -> Response:
        """Start an episode and get its id; with the id of a running one, start that one over."""
        arguments = body.model_dump(exclude_unset=True)
        frames.check_shape(arguments)
        episode_id, data = await episodes.reset(arguments)
        _note(request, episode_id)
        return _json({**data, "episode_id": episode_id})

    @app.post(
        "/step",
        response_model=EpisodeStepResponse,
        responses=PROBLEMS,
        tags=["Environment Control"],
        summary="Take one step of an episode",
    )
    async def step(request: Request, body: EpisodeStepRequest) -> Response:
        """Take one step of the episode of that id, on whichever worker."""
        frames.check_shape(body.action)
        if body.episode_id is None:
            return _json(_without_episode(body.action))
        _note(request, body.episode_id)
        data = await episodes.step(body.episode_id, body.action, body.request_id or "")
        return _json({**data, "episode_id": body.episode_id})

    @app.get(
        "/state",
        response_model=MetricTrackerRlState,
        responses=PROBLEMS,
        tags=["State Management"],
        summary="Progress of an episode",
    )
    async def state(
        request: Request, episode_id: str | None = Query(None, max_length=MAX_EPISODE_ID)
    ) -> MetricTrackerRlState:
        """Public progress of the episode of that id; idle without one."""
        if episode_id is None:
            return MetricTrackerRlState()
        _note(request, episode_id)
        return await episodes.state(episode_id)


def add_metrics_route(app: FastAPI) -> None:
    """GET /metrics."""

    @app.get("/metrics", include_in_schema=False)
    async def figures() -> Response:
        """Figures for Prometheus."""
        body, content_type = metrics.exposition()
        return Response(body, media_type=content_type)


def add_error_answers(app: FastAPI) -> None:
    """Errors as `{"detail": …}`, without a trace, a path or an echo of the whole input."""

    async def gone(_: Request, problem: Exception) -> Response:
        metrics.ERRORS.labels("unknown_episode").inc()
        return _json({"detail": str(problem)}, 404)

    async def too_long(_: Request, problem: Exception) -> Response:
        metrics.ERRORS.labels("too_big").inc()
        return _json({"detail": str(problem)}, 413)

    async def not_stored(_: Request, problem: Exception) -> Response:
        assert isinstance(problem, StoreError)
        metrics.ERRORS.labels("store").inc()
        return _json({"detail": str(problem)}, *store_refusal(problem))

    async def unwieldy(_: Request, problem: Exception) -> Response:
        metrics.ERRORS.labels("invalid_request").inc()
        return _json({"detail": f"Cannot read the body: {problem}."}, 400)

    async def invalid(_: Request, problem: Exception) -> Response:
        assert isinstance(problem, RequestValidationError)
        metrics.ERRORS.labels("invalid_request").inc()
        told = [
            {"type": each["type"], "loc": each["loc"], "msg": each["msg"]}
            for each in problem.errors()
        ]
        return _json({"detail": told}, 422)

    async def refused(_: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return Response(
            frames.dumps({"detail": problem.detail}),
            problem.status_code,
            problem.headers,
            media_type="application/json",
        )

    async def internal(_: Request, problem: Exception) -> Response:
        reference = uuid.uuid4().hex[:12]
        metrics.ERRORS.labels("internal").inc()
        logger.error("internal error", exc_info=problem, extra={"reference": reference})
        return _json({"detail": f"Internal error; the server's log has it as {reference}."}, 500)

    app.add_exception_handler(UnknownEpisodeError, gone)
    app.add_exception_handler(EpisodeTooLongError, too_long)
    app.add_exception_handler(StoreError, not_stored)
    app.add_exception_handler(frames.UnwieldyError, unwieldy)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, internal)


def store_refusal(problem: StoreError) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a request that the episode store refused."""
    if problem.retry_after_s is None:
        return 413, {}
    own = isinstance(problem, StoreFullError) and problem.own
    return 429 if own else 503, {"retry-after": str(problem.retry_after_s)}


def _without_episode(action: dict[str, Any]) -> dict[str, Any]:
    """The observation of a step that belongs to no episode: an error that says what to do."""
    play = Play("http")
    reply = play.environment.act_on(action)
    data = play.data(reply)
    data["observation"]["message"] += NO_EPISODE
    return data


def _note(request: Request, episode_id: str | None) -> None:
    """Let the log line of this request name the episode."""
    request.scope["state"]["notes"]["episode_id"] = episode_id


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(frames.dumps(body), status, headers, media_type="application/json")
