"""The analysis methods as MCP tools, and submission as two more; reset stays with the trainer.

One JSON-RPC dispatcher serves every way in: MCP's streamable HTTP and the framework's own
dialect on POST /mcp, the framework's WebSocket /mcp, and `mcp` messages on /ws.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

import metric_tracker_rl
from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.rows import MetricSubmissionRow, PayloadGeneratorMethod
from openenv_kit.environment import ERROR
from openenv_kit.errors import echo, unknown_name_message
from openenv_kit.serving import frames
from openenv_kit.serving.handles import well_formed
from openenv_kit.tools.schema import json_schema

PROTOCOL_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Versions of MCP that this speaks, newest first; what is used of them has not changed."""

BATCHING = "2025-03-26"
"""The one version with batches; it has no header that would name it."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR, SERVER_ERROR = -32602, -32603, -32000

INSTRUCTIONS = (
    "Some weeks of product-funnel data hold anomalies. Call task_overview first: it tells the "
    "reporting policy. Investigate with the analysis tools, then submit one report with "
    "submit_solution or submit_payload_generator; the episode is over then."
)
QUIET = frozenset(
    (
        "metadata",
        "available_methods",
        "available_synthetic_generator_methods",
        "available_tasks",
        "conversion_metric_definitions",
    )
)
"""Fields that tool results leave out: the tool list already says them."""

Step = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class RpcError(Exception):
    """A JSON-RPC error to answer with."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.data = data
        super().__init__(message)


class ReportRows(BaseModel):
    """Arguments of submit_solution."""

    rows: list[MetricSubmissionRow]


class GeneratorMethods(BaseModel):
    """Arguments of submit_payload_generator."""

    generator_methods: list[PayloadGeneratorMethod]


SUBMISSIONS: dict[str, tuple[str, str, type[BaseModel], str]] = {
    "submit_solution": (
        "rows",
        "classifications",
        ReportRows,
        "Submit the final report, row by row; an empty list reports that nothing is anomalous.",
    ),
    "submit_payload_generator": (
        "generator_methods",
        "payload_generators",
        GeneratorMethods,
        "Let row generators build the final report on the server, and submit it. Rows of dates "
        "that no method has shown you are invalid.",
    ),
}
"""Submission tools: argument, field of the action, model of the arguments, description."""


@lru_cache(maxsize=1)
def tools() -> list[dict[str, Any]]:
    """Every tool as MCP lists it."""
    listed = [
        {"name": each.name, "description": each.description, "inputSchema": each.parameters}
        for each in TOOLS.catalogue()
    ]
    for name, (_, _, model, description) in SUBMISSIONS.items():
        schema = json_schema(model, ORDERING_APP)
        listed.append({"name": name, "description": description, "inputSchema": schema})
    for tool in listed:
        only_reads = tool["name"] in TOOLS
        tool["annotations"] = {"readOnlyHint": only_reads, "openWorldHint": False}
    return listed


def action_for(name: object, arguments: object) -> dict[str, Any]:
    """The action that a tool call stands for.

    Raises:
        RpcError: no such tool, or arguments that are no object.
    """
    if not isinstance(name, str) or (name not in TOOLS and name not in SUBMISSIONS):
        raise RpcError(INVALID_PARAMS, unknown_name_message("tool", name, (*TOOLS, *SUBMISSIONS)))
    if not isinstance(arguments, Mapping):
        raise RpcError(INVALID_PARAMS, f"arguments is {echo(arguments)}; allowed: an object.")
    if name in TOOLS:
        return {"analysis_method": name, "analysis_args": dict(arguments)}
    argument, field, _, _ = SUBMISSIONS[name]
    if argument not in arguments or (field == "payload_generators" and not arguments[argument]):
        # Left out, it would submit an empty report, and that is final.
        raise RpcError(INVALID_PARAMS, f"{name}: the argument {argument!r} is required.")
    others = {key: value for key, value in arguments.items() if key != argument}
    return {field: arguments[argument], **others}


async def call_tool(params: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """Run `tools/call`; a tool that fails is a result that says so, as MCP wants it."""
    data = await step(action_for(params.get("name"), params.get("arguments") or {}))
    told = {
        key: value
        for key, value in data["observation"].items()
        if value not in ("", None, [], {}) and key not in QUIET
    }
    told |= {"reward": data["reward"], "done": data["done"]}
    text = frames.dumps(told)
    return {
        "content": [{"type": "text", "text": text.decode()}],
        "structuredContent": frames.loads(text),
        "isError": told["status"] == ERROR,
    }


def initialize(params: Mapping[str, Any]) -> dict[str, Any]:
    """Answer to `initialize`."""
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "metric_tracker_rl", "version": metric_tracker_rl.__version__},
        "instructions": INSTRUCTIONS,
    }


def read_request(message: Any) -> tuple[str, dict[str, Any], Any]:
    """Method, parameters and id of a JSON-RPC message; the id is None for a notification.

    Raises:
        RpcError: it is none.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'A request is an object with "jsonrpc": "2.0".')
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, f"method is {echo(method)}; allowed: text.")
    if not (request_id is None or type(request_id) in (int, str)):
        raise RpcError(INVALID_REQUEST, f"id is {echo(request_id)}; allowed: text or an integer.")
    if isinstance(request_id, str) and not well_formed(request_id):
        raise RpcError(INVALID_REQUEST, f"id is {echo(request_id)}; allowed: well-formed Unicode.")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "Params must be an object.")
    return method, params, request_id


def wants_answer(message: Any) -> bool:
    """Whether a message is answered: a notification and a client's own response are not."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return True  # with an error
    if "method" in message:
        return "id" in message or not isinstance(message["method"], str)
    return not ("id" in message and ("result" in message or "error" in message))


async def dispatch(method: str, params: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """Result of a request that needs no session of its own.

    Raises:
        RpcError: unknown method, or wrong parameters.
    """
    if method == "initialize":
        return initialize(params)
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": tools()}
    if method == "tools/call":
        return await call_tool(params, step)
    raise RpcError(METHOD_NOT_FOUND, f"Method not found: {echo(method)}.")


async def answer(message: Any, step: Step) -> dict[str, Any]:
    """Response to one message on a connection that is itself the session."""
    request_id = None
    try:
        method, params, request_id = read_request(message)
        return result(await dispatch(method, params, step), request_id)
    except RpcError as problem:
        return failure(problem, request_id)


def result(value: Any, request_id: Any) -> dict[str, Any]:
    """A response that says what was asked for."""
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def failure(problem: RpcError, request_id: Any = None) -> dict[str, Any]:
    """A response that says what was wrong."""
    told: dict[str, Any] = {"code": problem.code, "message": str(problem)}
    if problem.data is not None:
        told["data"] = problem.data
    return {"jsonrpc": "2.0", "id": request_id, "error": told}
