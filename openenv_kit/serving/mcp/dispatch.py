"""JSON-RPC dispatch of the MCP methods: initialize, ping, tools/list and tools/call.

The same dispatcher serves every transport of MCP messages: MCP's streamable HTTP and the
framework's own dialect on POST /mcp, the framework's WebSocket /mcp, and `mcp` messages on /ws.
There is no method for a reset, because only trainers may reset.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from http import HTTPStatus
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.errors import ToolArgumentError, truncated_repr
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.serving import metrics
from openenv_kit.serving.messages import JsonObject
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.unencodable_text import is_encodable

PROTOCOL_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Supported versions of MCP, newest first. The features used here are the same in all of them."""

RESULT_META_KEYS = ("reward", "done", "info")
"""Fields of a step's reply that `_meta` of the tool result contains for trainers."""

RequestId = int | str | None
"""Id of a JSON-RPC request; None for a notification, or if the id could not be parsed."""

StepFunction = Callable[[JsonObject], Awaitable[JsonObject]]
"""Executes an action and returns the reply in the framework's format."""
EpisodeInfoFunction = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the state of the episode, or its reset arguments if it has not started."""
DispatchFunction = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""Executes a request, given its method and parameters, and returns its result."""


class RpcErrorCode(IntEnum):
    """Error codes of JSON-RPC."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    SERVER_ERROR = -32000


class RpcError(Exception):
    """A JSON-RPC request failed. The exception's text is the message of the error response.

    Attributes:
        code: JSON-RPC error code.
        data: further JSON for the client; None to omit the member.
        error_kind: label of the error in the metrics.
        status: HTTP status, if the response is sent over HTTP.
        headers: HTTP headers, if the response is sent over HTTP.
    """

    def __init__(
        self,
        code: RpcErrorCode,
        message: str,
        data: object = None,
        error_kind: ErrorKind = ErrorKind.MCP,
        status: HTTPStatus = HTTPStatus.OK,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.code = code
        self.data = data
        self.error_kind = error_kind
        self.status = status
        self.headers = headers
        super().__init__(message)


class RpcRequest(NamedTuple):
    """A parsed JSON-RPC request or notification."""

    method: str
    params: JsonObject
    request_id: RequestId


class RpcResponse(NamedTuple):
    """A JSON-RPC response, and the status and headers to send it with over HTTP."""

    body: JsonObject
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] | None = None


def expects_response(message: object) -> bool:
    """Return whether a JSON-RPC message requires a response.

    Notifications and responses from the client require no response. A message that is not valid
    JSON-RPC gets an error response.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return True
    if "method" in message:
        return "id" in message or not isinstance(message["method"], str)
    return not ("id" in message and ("result" in message or "error" in message))


async def handle_rpc_message(message: object, dispatch: DispatchFunction) -> RpcResponse:
    """Return the response to a JSON-RPC message, or an error response if the request fails."""
    request_id = None
    try:
        method, params, request_id = _parse_rpc_request(message)
        result = await dispatch(method, params)
        return RpcResponse({"jsonrpc": "2.0", "id": request_id, "result": result})
    except RpcError as error:
        metrics.count_error(error.error_kind)
        return RpcResponse(build_rpc_error_body(error, request_id), error.status, error.headers)


def build_rpc_error_body(rpc_error: RpcError, request_id: RequestId = None) -> JsonObject:
    """Return the body of a JSON-RPC error response."""
    error: JsonObject = {"code": int(rpc_error.code), "message": str(rpc_error)}
    if rpc_error.data is not None:
        error["data"] = rpc_error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def create_rpc_dispatcher(
    environment: Environment, step: StepFunction, get_episode_info: EpisodeInfoFunction
) -> DispatchFunction:
    """Return a function that executes the requests of one episode.

    Args:
        environment: environment of the episode.
        step: function that executes the action of a tool call.
        get_episode_info: function that returns the state or the reset arguments of the episode.
            The tools and the system prompt depend on them.
    """

    async def dispatch(method: str, params: JsonObject) -> JsonObject:
        match method:
            case "initialize":
                return _build_initialize_result(environment, params, await get_episode_info())
            case "ping":
                return {}
            case "tools/list":
                catalogue = environment.tools.select_for_episode(await get_episode_info())
                return {"tools": [tool.as_mcp_tool() for tool in catalogue.tools]}
            case "tools/call":
                return await _call_tool_and_build_mcp_result(
                    environment, params, step, get_episode_info
                )
        raise RpcError(
            RpcErrorCode.METHOD_NOT_FOUND, f"Method not found: {truncated_repr(method)}."
        )

    return dispatch


async def _call_tool_and_build_mcp_result(
    environment: Environment,
    params: Mapping[str, Any],
    step: StepFunction,
    get_episode_info: EpisodeInfoFunction,
) -> JsonObject:
    """Return the result of `tools/call`. MCP requires tool errors to be returned as results."""
    tools, name, arguments = environment.tools, params.get("name"), params.get("arguments") or {}
    try:
        try:
            action = tools.build_action(name, arguments)
        except ToolArgumentError:
            # The action is built again, so that the error lists only the tools of the episode.
            catalogue = tools.select_for_episode(await get_episode_info())
            action = catalogue.build_action(name, arguments)
    except ToolArgumentError as error:
        raise RpcError(RpcErrorCode.INVALID_PARAMS, str(error)) from None
    reply = await step(action)
    text = compact_json(tools.format_tool_result(reply["observation"]))
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": json.loads(text),
        "isError": reply["observation"]["status"] == ReplyStatus.ERROR,
        # Clients do not show `_meta` to models.
        "_meta": {key: reply[key] for key in RESULT_META_KEYS if key in reply},
    }


def _build_initialize_result(
    environment: Environment, params: Mapping[str, Any], episode_info: Mapping[str, Any]
) -> JsonObject:
    version = params.get("protocolVersion")
    return {
        "protocolVersion": version if version in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": environment.name, "version": environment.version},
        "instructions": environment.build_system_prompt(episode_info),
    }


def _parse_rpc_request(message: object) -> RpcRequest:
    """Validate a JSON-RPC request and return its parts.

    Raises:
        RpcError: the message is not a valid request.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(
            RpcErrorCode.INVALID_REQUEST, 'A request must be one object with "jsonrpc": "2.0".'
        )
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str):
        raise _build_invalid_request_error("method", method, "text")
    if not (request_id is None or type(request_id) in (int, str)):
        raise _build_invalid_request_error("id", request_id, "text or an integer")
    if isinstance(request_id, str) and not is_encodable(request_id):
        raise _build_invalid_request_error("id", request_id, "well-formed Unicode")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise RpcError(RpcErrorCode.INVALID_PARAMS, "Params must be an object.")
    return RpcRequest(method, params, request_id)


def _build_invalid_request_error(field_name: str, value: object, allowed: str) -> RpcError:
    text = f"{field_name} is {truncated_repr(value)}; allowed: {allowed}."
    return RpcError(RpcErrorCode.INVALID_REQUEST, text)
