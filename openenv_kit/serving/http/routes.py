"""The HTTP routes that play episodes by id, /ready and /metrics."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from dataclasses import replace
from typing import Annotated, Any, Self

from fastapi import Body, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from openenv.core.env_server.types import ResetRequest, ResetResponse, StepRequest, StepResponse
from pydantic import BaseModel, Field, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import Response

from openenv_kit.errors import ConfigurationError
from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.draining import SERVER_DRAIN
from openenv_kit.serving.episodes.ids import (
    MAX_ID_LENGTH,
    PLAYER,
    EpisodeAccess,
    EpisodeGoneError,
    EpisodeTooLongError,
    UnknownEpisodeError,
)
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http.access_control import SPACE_HOST_VARIABLE, error_response
from openenv_kit.serving.http.anonymous_episodes import get_anonymous_episode_id
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import (
    RETRY_AFTER_S,
    StoreError,
    StoreFullError,
    build_unavailable_error,
)
from openenv_kit.serving.store.interface import EpisodeStore

NO_EPISODE_ID_TEXT = (
    " Over HTTP an episode has a name: POST /reset returns its episode_id, and POST /step and "
    "GET /state go on with it when they are sent that id."
)
READY_CACHE_S = 0.5
"""Seconds for which /ready gives the same answer: anybody may ask, and asking writes."""
STORE_CHECK_TIMEOUT_S = 1.2
"""Longest wait of /ready for the store. With `READY_CACHE_S` it stays below two seconds."""

INFO_FIELD = Field(
    None, description="what the environment says beside the observation, if anything"
)

logger = logging.getLogger("openenv_kit.http")


class EpisodeResetResponse(ResetResponse):
    """The first observation, and the ids to continue with."""

    episode_id: str | None = Field(
        None,
        description="the trainer's id, for POST /step and GET /state; null where the reset failed",
    )
    player_id: str | None = Field(
        None, description="handle for a player, with which it can step and nothing else"
    )
    info: dict[str, Any] | None = INFO_FIELD


class EpisodeStepRequest(StepRequest):
    """One step of an episode."""

    episode_id: str | None = Field(
        None, max_length=MAX_ID_LENGTH, description="the id that POST /reset returned"
    )
    player_id: str | None = Field(
        None,
        max_length=MAX_ID_LENGTH,
        description="instead of the id: the player's handle that POST /reset returned",
    )
    request_id: str | None = Field(
        None,
        max_length=MAX_ID_LENGTH,
        description="name of this request; sent again, it gets the same reply and no second step",
    )

    @model_validator(mode="after")
    def _require_single_id(self) -> Self:
        if self.episode_id is not None and self.player_id is not None:
            raise ValueError("episode_id and player_id were given; allowed: one of them")
        return self


class EpisodeStepResponse(StepResponse):
    """The reply to a step."""

    episode_id: str | None = Field(None, description="the id, where the request had one")
    player_id: str | None = Field(None, description="the player's handle, where it had that")
    info: dict[str, Any] | None = INFO_FIELD


class Ready(BaseModel):
    """Whether requests can be served."""

    status: str
    detail: str = ""


class SealedRecord(BaseModel):
    """A participant's plays of sealed tasks."""

    player: str = Field(description="name of the participant on this server")
    plays: int = Field(description="number of plays that the record contains")
    attestation: str = Field(description="the signed record, for `metric-tracker submit`")
    public_key: str = Field(description="key that verifies it; compare it with the published one")


class Problem(BaseModel):
    """What went wrong."""

    detail: str


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "Not JSON, or nested too deeply"),
        (403, "Not for a player"),
        (404, "Unknown or expired episode"),
        (409, "The episode was closed"),
        (413, "Body too long, or episode too long"),
        (429, "This client's share of the episode store is used up"),
        (503, "The episode store is full, or cannot be written"),
    )
}


def add_episode_routes(app: FastAPI, episodes: EpisodeService) -> None:
    """POST /reset, POST /step and GET /state over a store of episodes."""
    record: Any = episodes.record_model

    @app.post(
        "/reset",
        response_model=EpisodeResetResponse,
        responses=ERROR_RESPONSES,
        tags=["Environment Control"],
        summary="Start an episode",
    )
    async def reset(
        request: Request, body: Annotated[ResetRequest, Body(default_factory=ResetRequest)]
    ) -> Response:
        """Start an episode and get its id; with the id of a running one, start that one over."""
        arguments = body.model_dump(exclude_unset=True)
        if arguments.get("episode_id") is None and (
            named := await get_anonymous_episode_id(request, episodes)
        ):
            arguments["episode_id"] = named
        messages.require_bounded_complexity(arguments)
        _log_episode_id(request, arguments.get("episode_id"))
        started = await episodes.reset(arguments)
        episode_id = started.episode_id
        _log_episode_id(request, episode_id)
        names = {"episode_id": episode_id, "player_id": started.player_id or None}
        return messages.json_response({**started.wire_reply, **names})

    @app.post(
        "/step",
        response_model=EpisodeStepResponse,
        responses=ERROR_RESPONSES,
        tags=["Environment Control"],
        summary="Take one step of an episode",
    )
    async def step(request: Request, body: EpisodeStepRequest) -> Response:
        """Take one step of the episode of that id or of that player, on whichever worker."""
        if body.player_id is not None:
            handle = await episodes.find_player_access(body.player_id)
        elif named := body.episode_id or await get_anonymous_episode_id(request, episodes):
            if request.state.role == PLAYER:
                raise HTTPException(403, "With the player's token send a player_id, no episode_id.")
            handle = EpisodeAccess(named)
        else:
            return messages.json_response(_reply_without_episode(episodes, body.action))
        _log_episode_id(request, handle.episode_id)
        try:
            data = await episodes.step(handle, body.action, body.request_id or "")
        except UnknownEpisodeError:
            if body.episode_id or body.player_id:
                raise
            data = _reply_without_episode(episodes, body.action)
        names = {"episode_id": body.episode_id, "player_id": body.player_id}
        return messages.json_response({**data, **names})

    @app.get(
        "/state",
        response_model=record,
        responses=ERROR_RESPONSES,
        tags=["State Management"],
        summary="Progress of an episode",
    )
    async def state(
        request: Request, episode_id: str | None = Query(None, max_length=MAX_ID_LENGTH)
    ) -> Any:
        """Progress of the episode of that id, and its outcome after the end; idle without one."""
        named = episode_id or await get_anonymous_episode_id(request, episodes)
        if named is None:
            return record()
        _log_episode_id(request, named)
        try:
            return await episodes.get_trainer_record(named)
        except UnknownEpisodeError:
            if episode_id is not None:
                raise
            return record()


def add_sealed_record_route(app: FastAPI, episodes: EpisodeService) -> None:
    """GET /sealed-record: the caller's plays of sealed tasks, signed."""

    @app.get(
        "/sealed-record",
        response_model=SealedRecord,
        responses={409: {"model": Problem, "description": "This server signs no records"}},
        tags=["Sealed tasks"],
        summary="Signed record of all your plays of sealed tasks",
    )
    async def sealed_record(split: str = Query(SEALED_SPLIT, max_length=MAX_ID_LENGTH)) -> Response:
        """Return the record that a leaderboard submission contains; open episodes score 0 in it."""
        from openenv_kit.trust.attestation import (
            format_public_key,
            read_signing_key,
            sign_attestation,
        )

        try:
            key = read_signing_key()
            attestation = await episodes.sealed_episodes.build_current_attestation(split)
        except ConfigurationError as problem:
            return error_response("sealed_record", 409, str(problem))
        return messages.json_response(
            {
                "player": attestation.player,
                "plays": len(attestation.plays),
                "attestation": sign_attestation(attestation, key),
                "public_key": format_public_key(key.public_key()),
            }
        )


class StoreCheck:
    """Checks an episode store on demand, once at a time and not more often than makes sense."""

    def __init__(self, store: EpisodeStore) -> None:
        self._store = store
        self._running: asyncio.Task[StoreError | None] | None = None
        self._checked_at = -math.inf
        self._problem: StoreError | None = None

    async def find_store_error(self) -> StoreError | None:
        """Return why the store cannot be used; None where it can.

        A check that hangs is not started a second time, and nobody waits for it longer than
        `STORE_CHECK_TIMEOUT_S`.
        """
        if self._running is None:
            if time.monotonic() - self._checked_at < READY_CACHE_S:
                return self._problem
            self._running = asyncio.create_task(self._check_store())
        running = self._running
        done, _ = await asyncio.wait({running}, timeout=STORE_CHECK_TIMEOUT_S)
        if not done:
            return build_unavailable_error(
                TimeoutError(f"no answer within {STORE_CHECK_TIMEOUT_S:g} s")
            )
        return running.result()

    async def _check_store(self) -> StoreError | None:
        try:
            await self._store.check_writable()
            self._problem = None
        except StoreError as problem:
            self._problem = problem
        finally:
            self._checked_at, self._running = time.monotonic(), None
        return self._problem


def add_ready_route(app: FastAPI, episodes: EpisodeService) -> None:
    """GET /ready: whether this worker can serve, apart from whether it is alive (GET /health).

    A worker is ready while its episode store takes writes. A store that is full of running
    episodes is ready: those go on, and only resets are refused.
    """
    check = StoreCheck(episodes.store)

    @app.get(
        "/ready",
        response_model=Ready,
        responses={503: {"model": Ready, "description": "Requests cannot be served at present"}},
        tags=["Health"],
        summary="Whether requests can be served",
    )
    async def ready() -> Response:
        """200 while episodes can be stored and started; 503, with Retry-After, otherwise."""
        if SERVER_DRAIN.is_draining:
            body = {"status": "stopping", "detail": "The server is stopping."}
            return messages.json_response(body, 503, {"retry-after": str(RETRY_AFTER_S)})
        problem = await check.find_store_error()
        if problem is None:
            return messages.json_response({"status": "ready", "detail": ""})
        headers = {"retry-after": str(problem.retry_after_s)}
        return messages.json_response(
            {"status": "unavailable", "detail": str(problem)}, 503, headers
        )


def add_metrics_route(app: FastAPI, settings: Settings) -> None:
    """GET /metrics, with the trainer's token where one is set.

    Prometheus reads the port for metrics; this is for those who read it here before there was one.
    In a Space without a token, where everybody could, there is none.
    """
    if os.environ.get(SPACE_HOST_VARIABLE) and not settings.token:
        return

    @app.get("/metrics", include_in_schema=False)
    async def figures() -> Response:
        """Figures for Prometheus."""
        body, content_type = metrics.render_metrics()
        return Response(body, media_type=content_type)


def add_error_handlers(app: FastAPI) -> None:
    """Errors as `{"detail": …}`, without a trace, a path or an echo of the whole input.

    The gate answers what none of these is: an internal error.
    """

    async def answer(_: Request, problem: Exception) -> Response:
        detail: Any = str(problem)
        match problem:
            case UnknownEpisodeError():
                return error_response("unknown_episode", 404, detail)
            case EpisodeGoneError():
                return error_response("unknown_episode", 409, detail)
            case EpisodeTooLongError():
                return error_response("too_big", 413, detail)
            case messages.MessageTooComplexError():
                return error_response("invalid_request", 400, f"Cannot read the body: {detail}.")
            case StoreError():
                status, headers = http_status_of_store_error(problem)
                return error_response("store", status, detail, headers)
            case RequestValidationError():
                names = ("type", "loc", "msg")
                detail = [{name: each[name] for name in names} for each in problem.errors()]
                return error_response("invalid_request", 422, detail)
        raise problem

    ours = (EpisodeGoneError, EpisodeTooLongError, messages.MessageTooComplexError, StoreError)
    for kind in (*ours, RequestValidationError):
        app.add_exception_handler(kind, answer)


def http_status_of_store_error(store_error: StoreError) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a request that the episode store refused."""
    if store_error.retry_after_s is None:
        return 413, {}
    own = isinstance(store_error, StoreFullError) and store_error.is_client_limit
    return 429 if own else 503, {"retry-after": str(store_error.retry_after_s)}


def _reply_without_episode(episodes: EpisodeService, action: dict[str, Any]) -> dict[str, Any]:
    """The reply to a step without an id: an error that says how to get one."""
    messages.require_bounded_complexity(action)
    play = episodes.create_live_episode("http")
    reply = play.session.step(action)
    return play.build_wire_reply(replace(reply, message=reply.message + NO_EPISODE_ID_TEXT))


def _log_episode_id(request: Request, episode_id: object) -> None:
    """Add the episode to this request's log line."""
    named = episode_id if isinstance(episode_id, str) and len(episode_id) <= MAX_ID_LENGTH else None
    request.scope["state"]["notes"]["episode_id"] = named
