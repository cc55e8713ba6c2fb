"""Messages of the framework's WebSocket protocol: parsing requests and formatting errors."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from openenv.core.env_server.mcp_types import WSMCPMessage
from openenv.core.env_server.types import (
    WSCloseMessage,
    WSErrorCode,
    WSResetMessage,
    WSStateMessage,
    WSStepMessage,
)
from pydantic import BaseModel, ValidationError

from openenv_kit.errors import build_unknown_name_message
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.messages import JsonObject
from openenv_kit.serving.metrics import ErrorKind


class MessageType(StrEnum):
    """Types of the messages that a client sends."""

    RESET = "reset"
    STEP = "step"
    STATE = "state"
    CLOSE = "close"
    MCP = "mcp"


MESSAGE_MODELS: dict[str, type[BaseModel]] = {
    MessageType.RESET: WSResetMessage,
    MessageType.STEP: WSStepMessage,
    MessageType.STATE: WSStateMessage,
    MessageType.CLOSE: WSCloseMessage,
    MessageType.MCP: WSMCPMessage,
}


class ParsedMessage(NamedTuple):
    """A message of a client.

    Attributes:
        message_type: one of `MessageType`.
        data: `data` member of the message; empty if the type has no such member.
    """

    message_type: str
    data: JsonObject


class InvalidMessageError(Exception):
    """A message that is not JSON, not an object or of an unknown type.

    Attributes:
        error_kind: label of the error in the metrics.
        error_code: error code of the framework's protocol.
    """

    def __init__(self, error_kind: ErrorKind, error_code: str, error_text: str) -> None:
        self.error_kind = error_kind
        self.error_code = error_code
        super().__init__(error_text)


def parse_openenv_message(text: str | bytes) -> ParsedMessage:
    """Parse a client's message into its type and data.

    Raises:
        InvalidMessageError: the message is not JSON, not an object or of an unknown type.
        ValidationError: members of the message are missing or have a wrong type.
    """
    try:
        message = messages.parse_json_within_limits(text)
        if not isinstance(message, dict):
            raise ValueError(f"a message must be an object, not {type(message).__name__}")
    except ValueError as error:
        raise InvalidMessageError(
            ErrorKind.INVALID_JSON, WSErrorCode.INVALID_JSON, f"Invalid JSON: {error}"
        ) from None
    message_type = message.get("type", "")
    if not isinstance(message_type, str) or message_type not in MESSAGE_MODELS:
        problem = build_unknown_name_message("message type:", message_type, MESSAGE_MODELS)
        raise InvalidMessageError(ErrorKind.UNKNOWN_TYPE, WSErrorCode.UNKNOWN_TYPE, problem)
    model = MESSAGE_MODELS[message_type](**message)
    return ParsedMessage(message_type, getattr(model, "data", {}))


def count_and_format_validation_error(error: ValidationError) -> str:
    """Count an invalid message, and return the error message for the client as a JSON string."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return count_and_format_error(
        ErrorKind.INVALID_MESSAGE, "Invalid message", WSErrorCode.VALIDATION_ERROR, errors=problems
    )


def count_and_format_error(
    error_kind: ErrorKind, error_text: str, error_code: str, **details: Any
) -> str:
    """Count an error, and return the error message for the client as a JSON string."""
    metrics.count_error(error_kind)
    return messages.format_error_message(error_text, error_code, **details)
