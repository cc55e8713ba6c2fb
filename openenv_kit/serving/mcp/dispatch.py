"""The environment's tools over MCP; reset stays with the trainer.

One JSON-RPC dispatcher serves every way in: MCP's streamable HTTP and the framework's own
dialect on POST /mcp, the framework's WebSocket /mcp, and `mcp` messages on /ws.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.errors import ToolArgumentError, truncated_repr
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.serving import metrics
from openenv_kit.unencodable_text import is_encodable

PROTOCOL_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions of MCP that this speaks, newest first; what is used of them has not changed."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, SERVER_ERROR = -32602, -32000

RESULT_META_KEYS = ("reward", "done", "info")
"""Of a step's reply, what travels beside the tool's answer."""

StepFunction = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
EpisodeInfoFunction = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives what is known of the episode that is played: its state, or the arguments of its reset."""
DispatchFunction = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes a request's method and parameters, and gives its result."""


class RpcError(Exception):
    """A JSON-RPC error to answer with.

    Attributes:
        code, data: of the error; its message is the exception's.
        error_kind: what went wrong, for the figures.
        status, headers: of the response where it travels over HTTP.
    """

    def __init__(
        self,
        code: int,
        message: str,
        data: Any = None,
        error_kind: str = "mcp",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.code, self.data, self.error_kind = code, data, error_kind
        self.status, self.headers = status, headers
        super().__init__(message)


class RpcResponse(NamedTuple):
    """The answer to one message, with its HTTP status and headers."""

    body: dict[str, Any]
    status: int = 200
    headers: dict[str, str] | None = None


async def _call_tool(
    environment: Environment,
    params: Mapping[str, Any],
    step: StepFunction,
    get_episode_info: EpisodeInfoFunction,
) -> dict[str, Any]:
    """Run `tools/call`; a tool that fails is a result that says so, as MCP wants it."""
    tools, name, given = environment.tools, params.get("name"), params.get("arguments") or {}
    try:
        try:
            action = tools.build_action(name, given)
        except ToolArgumentError:  # the error is to name what this episode offers
            action = tools.for_episode(await get_episode_info()).build_action(name, given)
    except ToolArgumentError as problem:
        raise RpcError(INVALID_PARAMS, str(problem)) from None
    data = await step(action)
    text = compact_json(tools.format_tool_result(data["observation"]))
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": json.loads(text),
        "isError": data["observation"]["status"] == ReplyStatus.ERROR,
        "_meta": {
            name: data[name] for name in RESULT_META_KEYS if name in data
        },  # for trainers, not models
    }


def _build_initialize_result(
    environment: Environment, params: Mapping[str, Any], episode_info: Mapping[str, Any]
) -> dict[str, Any]:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": environment.name, "version": environment.version},
        "instructions": environment.system_prompt(episode_info),
    }


def _parse_rpc_request(message: Any) -> tuple[str, dict[str, Any], Any]:
    """Method, parameters and id of a JSON-RPC message; the id is None for a notification."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'A request is one object with "jsonrpc": "2.0".')
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, f"method is {truncated_repr(method)}; allowed: text.")
    if not (request_id is None or type(request_id) in (int, str)):
        raise RpcError(
            INVALID_REQUEST, f"id is {truncated_repr(request_id)}; allowed: text or an integer."
        )
    if isinstance(request_id, str) and not is_encodable(request_id):
        raise RpcError(
            INVALID_REQUEST, f"id is {truncated_repr(request_id)}; allowed: well-formed Unicode."
        )
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "Params must be an object.")
    return method, params, request_id


def expects_response(message: Any) -> bool:
    """Whether a message is answered: a notification and a client's own response are not."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return True  # with an error
    if "method" in message:
        return "id" in message or not isinstance(message["method"], str)
    return not ("id" in message and ("result" in message or "error" in message))


def create_dispatcher(
    environment: Environment, step: StepFunction, get_episode_info: EpisodeInfoFunction
) -> DispatchFunction:
    """What answers requests about one episode; tools call `step`."""

    async def dispatch(method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            return _build_initialize_result(environment, params, await get_episode_info())
        if method == "ping":
            return {}
        if method == "tools/list":
            offered = environment.tools.for_episode(await get_episode_info())
            return {"tools": [tool.as_mcp_tool() for tool in offered.tools]}
        if method == "tools/call":
            return await _call_tool(environment, params, step, get_episode_info)
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {truncated_repr(method)}.")

    return dispatch


async def answer_rpc_message(message: Any, dispatch: DispatchFunction) -> RpcResponse:
    """Answer to one message; a wrong message, and whatever `dispatch` refuses, is an error."""
    request_id = None
    try:
        method, params, request_id = _parse_rpc_request(message)
        result = await dispatch(method, params)
        return RpcResponse({"jsonrpc": "2.0", "id": request_id, "result": result})
    except RpcError as problem:
        metrics.ERRORS.labels(problem.error_kind).inc()
        return RpcResponse(build_rpc_error(problem, request_id), problem.status, problem.headers)


def build_rpc_error(rpc_error: RpcError, request_id: Any = None) -> dict[str, Any]:
    """A response that says what was wrong."""
    error: dict[str, Any] = {"code": rpc_error.code, "message": str(rpc_error)}
    if rpc_error.data is not None:
        error["data"] = rpc_error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
