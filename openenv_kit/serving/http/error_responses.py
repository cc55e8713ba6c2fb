"""HTTP error responses `{"detail": …}`, which omit stack traces, file paths and long inputs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from openenv_kit.serving import messages, metrics
from openenv_kit.serving.episodes.ids import (
    EpisodeGoneError,
    EpisodeTooLongError,
    UnknownEpisodeError,
)
from openenv_kit.serving.message_limits import MessageTooComplexError
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.store.errors import StoreError, StoreFullError

HANDLED_ERRORS = (
    EpisodeGoneError,
    EpisodeTooLongError,
    MessageTooComplexError,
    RequestValidationError,
    StoreError,
)
"""Exceptions of routes that are converted to error responses. The middleware handles all others."""


class ResponseHead(NamedTuple):
    """Status and headers of an error response."""

    status: HTTPStatus
    headers: dict[str, str]


def count_and_build_error_response(
    error_kind: ErrorKind,
    status: HTTPStatus,
    detail: object,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Count an error and return its response.

    Args:
        error_kind: label of the error in the metrics.
        status: status of the response.
        detail: description of the error, as a string or as a list of JSON objects.
        headers: headers of the response.
    """
    metrics.count_error(error_kind)
    return messages.build_json_response({"detail": detail}, status, headers)


def get_response_head_for_store_error(store_error: StoreError) -> ResponseHead:
    """Return the status and headers of the response to a request that the store rejected."""
    if store_error.retry_after_s is None:
        return ResponseHead(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {})
    headers = {"retry-after": str(store_error.retry_after_s)}
    if isinstance(store_error, StoreFullError) and store_error.is_client_limit:
        return ResponseHead(HTTPStatus.TOO_MANY_REQUESTS, headers)
    return ResponseHead(HTTPStatus.SERVICE_UNAVAILABLE, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Register handlers that convert the exceptions of an app's routes to error responses."""
    for error_type in HANDLED_ERRORS:
        app.add_exception_handler(error_type, _convert_error_to_response)


async def _convert_error_to_response(_: Request, error: Exception) -> Response:
    match error:
        case UnknownEpisodeError():
            return count_and_build_error_response(
                ErrorKind.UNKNOWN_EPISODE, HTTPStatus.NOT_FOUND, str(error)
            )
        case EpisodeGoneError():
            return count_and_build_error_response(
                ErrorKind.UNKNOWN_EPISODE, HTTPStatus.CONFLICT, str(error)
            )
        case EpisodeTooLongError():
            return count_and_build_error_response(
                ErrorKind.TOO_BIG, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)
            )
        case MessageTooComplexError():
            return count_and_build_error_response(
                ErrorKind.INVALID_REQUEST,
                HTTPStatus.BAD_REQUEST,
                f"Cannot read the body: {error}.",
            )
        case StoreError():
            status, headers = get_response_head_for_store_error(error)
            return count_and_build_error_response(ErrorKind.STORE, status, str(error), headers)
        case RequestValidationError():
            # Pydantic's errors also contain the input, which may be large.
            problems = [
                {"type": problem["type"], "loc": problem["loc"], "msg": problem["msg"]}
                for problem in error.errors()
            ]
            return count_and_build_error_response(
                ErrorKind.INVALID_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, problems
            )
    raise error
