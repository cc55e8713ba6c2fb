"""HTTP routes: /reset, /step and /state for episodes, /sealed-record and /metrics."""

from __future__ import annotations

import os
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request
from openenv.core.env_server.types import ResetRequest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from openenv_kit.errors import ConfigurationError
from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.serving import messages, metrics_export
from openenv_kit.serving.episodes.ids import MAX_ID_LENGTH, EpisodeAccess, UnknownEpisodeError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http.anonymous_episodes import derive_anonymous_episode_id_if_allowed
from openenv_kit.serving.http.error_responses import count_and_build_error_response
from openenv_kit.serving.http.models import (
    ERROR_RESPONSES,
    EpisodeResetResponse,
    EpisodeStepRequest,
    EpisodeStepResponse,
    Problem,
    SealedRecord,
)
from openenv_kit.serving.message_limits import require_json_within_complexity_limits
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.roles import PLAYER_EPISODE_ID_MESSAGE, Role
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.transports import Transport
from openenv_kit.variables import SPACE_HOST_VARIABLE

NO_EPISODE_ID_TEXT = (
    " Over HTTP, POST /reset returns an episode_id. Send it with POST /step and GET /state."
)


def add_episode_routes(app: FastAPI, episodes: EpisodeService) -> None:
    """Add POST /reset, POST /step and GET /state.

    Args:
        app: app of one environment.
        episodes: service for its episodes.
    """
    record_model: Any = episodes.record_model  # response model of GET /state

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
        """Start an episode and return its ids. The id of a stored episode restarts that episode."""
        arguments = body.model_dump(exclude_unset=True)
        if arguments.get("episode_id") is None:
            anonymous_id = await derive_anonymous_episode_id_if_allowed(request, episodes)
            if anonymous_id is not None:
                arguments["episode_id"] = anonymous_id
        require_json_within_complexity_limits(arguments)
        _add_episode_id_to_request_log(request, arguments.get("episode_id"))
        started = await episodes.reset(arguments)
        _add_episode_id_to_request_log(request, started.episode_id)
        ids = {"episode_id": started.episode_id, "player_id": started.player_id or None}
        return messages.build_json_response({**started.wire_reply, **ids})

    @app.post(
        "/step",
        response_model=EpisodeStepResponse,
        responses=ERROR_RESPONSES,
        tags=["Environment Control"],
        summary="Take one step of an episode",
    )
    async def step(request: Request, body: EpisodeStepRequest) -> Response:
        """Execute one step of an episode. Any worker can serve it."""
        access = await _find_access_to_requested_episode(request, body, episodes)
        if access is None:
            return messages.build_json_response(
                _build_missing_episode_id_reply(episodes, body.action)
            )
        _add_episode_id_to_request_log(request, access.episode_id)
        try:
            reply = await episodes.step(access, body.action, body.request_id or "")
        except UnknownEpisodeError:
            if body.episode_id or body.player_id:
                raise
            reply = _build_missing_episode_id_reply(episodes, body.action)
        ids = {"episode_id": body.episode_id, "player_id": body.player_id}
        return messages.build_json_response({**reply, **ids})

    @app.get(
        "/state",
        response_model=record_model,
        responses=ERROR_RESPONSES,
        tags=["State Management"],
        summary="Progress of an episode",
    )
    async def state(
        request: Request, episode_id: str | None = Query(None, max_length=MAX_ID_LENGTH)
    ) -> BaseModel:
        """Return an episode's progress and, after its end, its result.

        If the request contains no id, the status is `idle`.
        """
        known_id = episode_id or await derive_anonymous_episode_id_if_allowed(request, episodes)
        if known_id is None:
            return record_model()
        _add_episode_id_to_request_log(request, known_id)
        try:
            return await episodes.get_trainer_record(known_id)
        except UnknownEpisodeError:
            if episode_id is not None:
                raise
            return record_model()


def add_sealed_record_route(app: FastAPI, episodes: EpisodeService) -> None:
    """Add GET /sealed-record, which returns the caller's signed record of sealed tasks."""

    @app.get(
        "/sealed-record",
        response_model=SealedRecord,
        responses={
            HTTPStatus.CONFLICT: {"model": Problem, "description": "This server signs no records"}
        },
        tags=["Sealed tasks"],
        summary="Signed record of your episodes of sealed tasks",
    )
    async def sealed_record(split: str = Query(SEALED_SPLIT, max_length=MAX_ID_LENGTH)) -> Response:
        """Return the record for a leaderboard submission. Unfinished episodes score 0."""
        from openenv_kit.trust.attestation import (
            build_signed_attestation_token,
            format_public_key,
            read_signing_key,
        )

        try:
            key = read_signing_key()
            sealed = episodes.sealed_episodes
            attestation = await sealed.record_results_and_build_attestation(split)
        except ConfigurationError as error:
            return count_and_build_error_response(
                ErrorKind.SEALED_RECORD, HTTPStatus.CONFLICT, str(error)
            )
        return messages.build_json_response(
            {
                "player": attestation.player,
                "plays": len(attestation.plays),
                "attestation": build_signed_attestation_token(attestation, key),
                "public_key": format_public_key(key.public_key()),
            }
        )


def add_metrics_route_unless_public(app: FastAPI, settings: Settings) -> None:
    """Add GET /metrics, which needs the trainer's token if one is set.

    Prometheus reads the metrics port, and this route exists for older clients. It is not added in a
    Space without a token, where the metrics would be public.
    """
    if os.environ.get(SPACE_HOST_VARIABLE) and not settings.token:
        return

    @app.get("/metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        """Return the metrics for Prometheus."""
        page = metrics_export.render_metrics()
        return Response(page.body, media_type=page.content_type)


async def _find_access_to_requested_episode(
    request: Request, body: EpisodeStepRequest, episodes: EpisodeService
) -> EpisodeAccess | None:
    """Return the access to the requested episode; None if the request contains no id.

    Raises:
        HTTPException: a player sent an episode_id instead of a player_id.
        UnknownEpisodeError: no episode has that player_id.
    """
    if body.player_id is not None:
        return await episodes.find_access_by_player_id(body.player_id)
    episode_id = body.episode_id or await derive_anonymous_episode_id_if_allowed(request, episodes)
    if not episode_id:
        return None
    if not Role(request.state.role).may_choose_episodes:
        raise HTTPException(HTTPStatus.FORBIDDEN, PLAYER_EPISODE_ID_MESSAGE)
    return EpisodeAccess(episode_id)


def _build_missing_episode_id_reply(episodes: EpisodeService, action: JsonObject) -> WireReply:
    """Return the error reply to a step without an episode id. It explains how to get one."""
    require_json_within_complexity_limits(action)
    live_episode = episodes.create_live_episode_without_reset(Transport.HTTP)
    reply = live_episode.session.step(action)
    return live_episode.build_wire_reply(replace(reply, message=reply.message + NO_EPISODE_ID_TEXT))


def _add_episode_id_to_request_log(request: Request, episode_id: object) -> None:
    """Add an episode id to this request's log line, unless it is too long to be valid."""
    is_loggable = isinstance(episode_id, str) and len(episode_id) <= MAX_ID_LENGTH
    request.scope["state"]["log_fields"]["episode_id"] = episode_id if is_loggable else None
