"""Request and response models of the HTTP routes, which appear in the OpenAPI schema."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Self

from openenv.core.env_server.types import ResetResponse, StepRequest, StepResponse
from pydantic import BaseModel, Field, model_validator

from openenv_kit.serving.episodes.ids import MAX_ID_LENGTH

INFO_FIELD = Field(None, description="values beside the observation, if the environment has any")


class EpisodeResetResponse(ResetResponse):
    """The reset observation, and the ids of the episode for further requests."""

    episode_id: str | None = Field(
        None,
        description="the trainer's id, for POST /step and GET /state; null if the reset failed",
    )
    player_id: str | None = Field(
        None, description="id for a player, which can only step the episode"
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
        description="instead of episode_id: the player_id that POST /reset returned",
    )
    request_id: str | None = Field(
        None,
        max_length=MAX_ID_LENGTH,
        description="id of this request; a request with the same id gets the same reply and "
        "executes no second step",
    )

    @model_validator(mode="after")
    def _require_at_most_one_id(self) -> Self:
        if self.episode_id is not None and self.player_id is not None:
            raise ValueError("episode_id and player_id were given; allowed: one of them")
        return self


class EpisodeStepResponse(StepResponse):
    """The reply to a step."""

    episode_id: str | None = Field(None, description="the request's episode_id")
    player_id: str | None = Field(None, description="the request's player_id")
    info: dict[str, Any] | None = INFO_FIELD


class SealedRecord(BaseModel):
    """A participant's episodes of sealed tasks."""

    player: str = Field(description="name of the participant on this server")
    plays: int = Field(description="number of episodes that the record contains")
    attestation: str = Field(description="the signed record, for `metric-tracker submit`")
    public_key: str = Field(description="key that verifies it; compare it with the published one")


class Problem(BaseModel):
    """Description of what was wrong with a request."""

    detail: str


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (HTTPStatus.BAD_REQUEST, "Not JSON, or nested too deeply"),
        (HTTPStatus.FORBIDDEN, "Not allowed for a player"),
        (HTTPStatus.NOT_FOUND, "Unknown or expired episode"),
        (HTTPStatus.CONFLICT, "The episode was closed"),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too long, or episode too long"),
        (HTTPStatus.TOO_MANY_REQUESTS, "The client's limit on the episode store is reached"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "The episode store is full, or cannot be written"),
    )
}
"""Error responses of the episode routes by HTTP status, for the OpenAPI schema."""
