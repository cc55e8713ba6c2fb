"""Requests of each recorded conversation; the replies are in contract/wire_conversations."""

from __future__ import annotations

import json
import re

from support.conversation_messages import (
    BAD_ACTIONS,
    BAD_MESSAGES,
    BAD_RESETS,
    BAD_RPC,
    BAD_TOOL_CALLS,
    CALLS,
    DATE,
    LIST,
    METHOD,
    MODES,
    RIGHT,
    ROW,
    rpc,
)
from support.wire_conversation import Conversation, Socket


def http_routes(wire: Conversation) -> None:
    """Request the routes that start no episode."""
    for path in ("/health", "/ready", "/metadata", "/schema", "/list_environments", "/nowhere"):
        wire.http(f"GET {path}")
    wire.http("GET /metric_tracker_rl/splits")
    for split, index in (("train", 3), ("validation", 0), ("trian", 0), ("train", 10**9)):
        for route, body in (
            ("num_tasks", {}),
            ("task", {"index": index}),
            ("task_range", {"start": index, "stop": index + 2}),
        ):
            wire.http(f"POST /metric_tracker_rl/{route}", {"split": split, **body})
    wire.http("POST /metric_tracker_rl/tasks", {"split": "test"})
    wire.http("POST /metric_tracker_rl/tasks", {})
    wire.http("POST /other/num_tasks", {"split": "train"})
    wire.http("GET /reset")
    wire.http("POST /state")
    wire.http("GET /mcp")
    paths = wire.http("GET /openapi.json").json()["paths"]
    wire.log[-1][1]["body"] = {path: sorted(methods) for path, methods in paths.items()}
    figures = wire.http("GET /metrics")
    kinds = re.findall(r"^# TYPE (openenv_kit\w+ \w+)", figures.text, re.M)
    # The time at which a figure was first counted is there only once something was counted.
    wire.log[-1][1]["body"] = sorted(each for each in kinds if not each.endswith("_created gauge"))


def http_episodes(wire: Conversation) -> None:
    """Play episodes by id over HTTP."""
    wire.http("POST /reset", {})
    wire.http("POST /reset", {"task_id": "hard_mixed_multi", "seed": 5, "episode_id": "mine"})
    for name, arguments in CALLS[:3]:
        call = {"analysis_method": name, "analysis_args": arguments}
        wire.http("POST /step", {"episode_id": "mine", "action": call})
    for action in BAD_ACTIONS:
        wire.http("POST /step", {"episode_id": "mine", "action": action})
    for arguments in BAD_RESETS:
        wire.http("POST /reset", arguments)
    wire.http("GET /state?episode_id=mine")
    wire.http("GET /state")
    wire.http("GET /state?episode_id=unknown")
    wire.http("POST /step", {"episode_id": "unknown", "action": {}})
    wire.http("POST /step", {"player_id": "unknown", "action": {}})
    wire.http("POST /step", {"action": LIST})
    wire.http("POST /step", {"episode_id": "mine", "player_id": "x", "action": {}})
    for body in ("", "{", "[]", "3", '{"action":3}', '{"action":{},"extra":1}', "[" * 100):
        wire.http("POST /step", body)
    wire.http("POST /reset", '{"seed":' + '{"a":' * 70 + "1" + "}" * 71)
    wire.http("POST /reset", '{"x":[' + "0," * 20_001 + "0]}")
    wire.http("POST /step", '{"episode_id":"\\ud800","action":{}}')
    reset = {"task_id": "easy_single_spike", "max_submissions": 2, "episode_id": "mine"}
    player_id = wire.http("POST /reset", reset).json()["player_id"]
    again = {"episode_id": "mine", "request_id": "one", "action": LIST}
    wire.http("POST /step", again)
    wire.http("POST /step", again)
    wire.http("POST /step", {"player_id": player_id, "action": {"classifications": [ROW, {}]}})
    wire.http("GET /state?episode_id=mine")
    wire.http("POST /step", {"player_id": player_id, "action": {"classifications": RIGHT}})
    wire.http("POST /step", {"player_id": player_id, "action": LIST})
    wire.http("GET /state?episode_id=mine")
    first = wire.http("POST /reset", {"split": "test", "index": 4, "max_steps": 2}).json()
    for _ in range(4):
        wire.http("POST /step", {"episode_id": first["episode_id"], "action": LIST})
    wire.http(f"GET /state?episode_id={first['episode_id']}")
    wire.http("POST /reset", {"episode_id": "0a0a0a0a-0a0a-8a0a-8a0a-0a0a0a0a0a0a"})
    wire.http("POST /reset", {"seed": 3, "feedback": "score", "episode_id": "quiet"})
    wire.http("POST /step", {"episode_id": "quiet", "action": {"classifications": [ROW]}})
    shift = {"method_name": "metric_stddev_shift", "metric_name": "app_opens", "date": DATE}
    custom = {**shift, "stddev_factor": 5.0, "direction": "up"}
    wire.http("POST /reset", {"task_id": "easy_single_spike", "anomalies": [custom]})


def websocket(wire: Conversation) -> None:
    """Play as the trainer over a WebSocket."""
    with wire.socket("/ws") as socket:
        socket.state()
        socket.step(LIST)
        socket.reset()
        socket.ask({"type": "reset"})
        for name, arguments in CALLS:
            socket.step({"analysis_method": name, "analysis_args": arguments})
        socket.state()
        for action in BAD_ACTIONS:
            socket.step(action)
        for message in BAD_MESSAGES:
            socket.ask(message)
        socket.ask(b'{"type":"state"}')
        socket.ask(b"\xff\xfe")
        for data in BAD_RESETS:
            socket.reset(**data)
        socket.state()
        socket.step({"payload_generators": [METHOD]})
        socket.step({"payload_generators": [METHOD]})
        socket.state()
        for task_id in ("medium_mixed_pair", "hard_mixed_multi"):
            socket.reset(task_id=task_id)
        socket.reset(task_id="easy_single_spike", max_submissions=3, max_steps=5)
        for rows in ([], [ROW, {**ROW, "date": 1}], [{**ROW, "severity": "x" * 200}, ROW, ROW]):
            socket.step({"classifications": rows})
        socket.reset(split="validation", index=1)
        socket.step({})
        with wire.socket("/ws") as second:
            second.state()
            with wire.socket("/ws") as third:
                third.hear("one too many")
                third.hear()
        socket.ask({"type": "close"})


def players_and_resumes(wire: Conversation) -> None:
    """Play as a player, and resume episodes on other connections."""
    with wire.socket("/ws") as socket:
        names = socket.reset(task_id="easy_single_spike")["data"]["metadata"]
        socket.step(LIST)
    resume = {"episode_id": names["episode_id"], "resume": True}
    with wire.socket("/ws") as socket:
        socket.reset(**resume)
        socket.state()
        socket.step({"analysis_method": "list_date"})
        with wire.socket(f"/ws?session_id={names['player_id']}") as player:
            player.state()
            player.reset()
            player.step(LIST)
            player.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        with wire.socket("/ws") as other:
            other.reset(**resume)
            socket.hear("taken over")
            socket.hear()
            other.reset(**resume)
            other.step({"classifications": RIGHT})
            other.reset(**resume)
            other.step(LIST)
    with wire.socket("/ws") as socket:
        socket.reset(episode_id="named", seed=9)
        with wire.socket("/ws") as other:
            other.reset(episode_id="named", seed=10)
            socket.hear("started over")
            socket.hear()
            other.step(LIST)
            other.ask({"type": "close"})
    wire.http("POST /step", {"episode_id": "named", "action": LIST})
    wire.http("GET /state?episode_id=named")
    with wire.socket("/ws") as socket:
        socket.reset(episode_id="named", resume=True)
    with wire.socket("/ws?session_id=unknown") as socket:
        socket.hear("unknown player")
        socket.hear()


def mcp_over_http(wire: Conversation) -> None:
    """Play over streamable HTTP and over the framework's form of MCP."""
    wire.http("POST /reset", {"task_id": "easy_single_spike", "episode_id": "mine"})
    opened = wire.http("POST /mcp?episode_id=mine", rpc("initialize", protocolVersion="2025-06-18"))
    session = {"mcp_session_id": opened.headers["mcp-session-id"]}
    wire.http("POST /mcp", rpc("initialize", protocolVersion="1999-01-01"))
    wire.http(f"POST /mcp?player_id={session['mcp_session_id']}", rpc("initialize"))
    wire.http("POST /mcp?episode_id=unknown", rpc("initialize"))
    wire.http("POST /mcp?task_id=unknown", rpc("initialize"))
    wire.http("POST /mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
    wire.http("POST /mcp", {"jsonrpc": "2.0", "id": 4, "result": {}}, **session)
    wire.http("POST /mcp", rpc("ping"), **session)
    wire.http("POST /mcp", rpc("tools/list"), **session)
    for name, arguments in CALLS:
        wire.http("POST /mcp", rpc("tools/call", "a", name=name, arguments=arguments), **session)
    for params in BAD_TOOL_CALLS:
        wire.http("POST /mcp", rpc("tools/call", **params), **session)
    for text in BAD_RPC:
        wire.http("POST /mcp", text, **session)
    batch = [rpc("ping", 1), rpc("tools/call", 9, name="list_dates")]
    wire.http("POST /mcp", batch, **session)
    wire.http("POST /mcp", batch, mcp_protocol_version="2025-06-18", **session)
    wire.http("POST /mcp", rpc("ping"), mcp_protocol_version="1.0")
    wire.http("POST /mcp", rpc("tools/list"), mcp_session_id="unknown")
    wire.http("POST /mcp", rpc("tools/call", name="list_dates"))
    wire.http("POST /mcp", rpc("tools/call", name="list_dates", session_id="unknown"))
    wire.http(
        "POST /mcp", rpc("tools/call", name="submit_solution", arguments={"rows": RIGHT}), **session
    )
    wire.http("POST /mcp", rpc("tools/call", name="list_dates"), **session)
    created = wire.http("POST /mcp", rpc("openenv/session/create")).json()["result"]
    wire.http("POST /mcp", rpc("tools/call", name="list_dates", **created))
    methods = {"generator_methods": [METHOD]}
    generated = {"name": "submit_payload_generator", "arguments": methods}
    wire.http("POST /mcp", rpc("tools/call", **generated, **created))
    wire.http("POST /mcp", rpc("openenv/session/create"))
    wire.http("POST /mcp", rpc("openenv/session/create"))
    wire.http("POST /mcp", rpc("openenv/session/close", **created))
    wire.http("POST /mcp", rpc("openenv/session/close", **created))
    wire.http("POST /mcp", rpc("tools/call", name="list_dates", **created))
    wire.http("POST /mcp", rpc("openenv/session/close"))
    wire.http("DELETE /mcp")
    wire.http("DELETE /mcp", **session)
    wire.http("DELETE /mcp", **session)
    wire.http("DELETE /mcp", mcp_session_id="unknown")


def mcp_over_sockets(wire: Conversation) -> None:
    """Play over the WebSocket /mcp and with `mcp` messages on /ws."""
    with wire.socket("/mcp?task_id=easy_single_spike") as socket:
        socket.ask(rpc("initialize"))
        socket.ask(rpc("tools/list"))
        for text in BAD_RPC:
            socket.ask(text)
        socket.notify({"jsonrpc": "2.0", "method": "notifications/initialized"})
        for params in BAD_TOOL_CALLS:
            socket.ask(rpc("tools/call", **params))
        socket.ask(json.dumps(rpc("tools/call", name="list_dates")).encode())
        socket.ask(rpc("tools/call", name="submit_solution", arguments={"rows": [ROW]}))
        socket.ask(rpc("tools/call", name="list_dates"))
        with wire.socket("/mcp") as fresh:
            fresh.ask(rpc("tools/call", name="task_overview"))
            with wire.socket("/mcp") as refused:
                refused.hear("one too many")
                refused.hear()
    for path in ("/mcp?task_id=unknown", "/mcp?episode_id=unknown", "/mcp?player_id=unknown"):
        with wire.socket(path) as socket:
            socket.ask(rpc("tools/call", name="list_dates"))
    with wire.socket("/ws") as socket:
        socket.ask({"type": "mcp", "data": rpc("initialize")})
        socket.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        socket.reset(task_id="easy_single_spike")
        socket.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        socket.ask({"type": "mcp", "data": {}})
        socket.ask({"type": "mcp", "data": {"jsonrpc": "2.0", "method": "ping"}})
        socket.state()


def small_limits(wire: Conversation) -> None:
    """Send messages over the size limits."""
    long = {"analysis_method": "x" * 3000}
    wire.http("POST /step", {"action": long})
    wire.http("POST /mcp", "x" * 3000)
    wire.http("POST /reset", {"episode_id": "mine"})
    for _ in range(2):
        wire.http("POST /step", {"episode_id": "mine", "action": {"analysis_method": "x" * 900}})
    with wire.socket("/ws") as socket:
        socket.reset(episode_id="mine", resume=True)
        socket.step({"analysis_method": "x" * 900})
        socket.step(long)
        socket.hear()
    with wire.socket("/mcp?episode_id=mine") as socket:
        call = {"name": "rows_for_date", "arguments": {"date": "x" * 900}}
        socket.ask(rpc("tools/call", **call))
        socket.ask(json.dumps(rpc("ping", text="x" * 3000)))


def with_tokens(wire: Conversation) -> None:
    """Play with the tokens of trainer and player."""
    trainer = {"authorization": "Bearer trainer-trainer-trainer"}
    player = {"authorization": "Bearer player-player-player"}
    for headers in ({}, {"authorization": "Bearer wrong"}, player, trainer):
        for route in ("GET /health", "GET /metadata", "POST /reset", "GET /state", "POST /step"):
            wire.http(route, {"action": {}} if route == "POST /step" else None, **headers)
        wire.http("POST /mcp", rpc("ping"), **headers)
    names = wire.http("POST /reset", {"seed": 2, "episode_id": "mine"}, **trainer).json()
    player_id = names["player_id"]
    for name in ("episode_id", "player_id"):
        wire.http("POST /step", {name: names[name], "action": LIST}, **player)
    for query in (
        "episode_id=mine",
        "task_id=easy_single_spike",
        f"player_id={player_id}",
    ):
        wire.http(f"POST /mcp?{query}", rpc("initialize"), **player)
    for path in ("/ws", "/mcp?episode_id=mine"):
        with wire.client.websocket_connect(path, headers=player) as opened:
            socket = Socket(wire, path, opened)
            if path == "/ws":
                socket.hear("a player")
            else:
                socket.ask(rpc("tools/call", name="list_dates"))


def with_origins(wire: Conversation) -> None:
    """Send requests of web pages of other sites."""
    for origin in ("https://trainer.example", "https://other.example", "null"):
        wire.http("GET /health", origin=origin)
        wire.http("OPTIONS /reset", origin=origin, access_control_request_method="POST")


def play_mode(mode: str, wire: Conversation) -> None:
    """Play a whole episode of a mode over each interface."""
    arguments, calls = MODES[mode]
    actions = [
        {"classifications": given["rows"]}
        if name == "submit_solution"
        else {"analysis_method": name, "analysis_args": given}
        for name, given in calls
    ]
    reset = {"task_id": "easy_single_spike", **arguments}
    wire.http("POST /reset", {**reset, "episode_id": "http"})
    for action in actions:
        wire.http("POST /step", {"episode_id": "http", "action": action})
    wire.http("GET /state?episode_id=http")
    with wire.socket("/ws") as socket:
        socket.reset(**reset)
        for action in actions:
            socket.step(action)
        socket.state()
    wire.http("POST /reset", {**reset, "episode_id": "mcp"})
    with wire.socket("/mcp?episode_id=mcp") as socket:
        socket.ask(rpc("tools/list"))
        for name, given in calls:
            socket.ask(rpc("tools/call", name=name, arguments=given))
