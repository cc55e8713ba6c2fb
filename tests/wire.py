"""A fixed conversation with the server: every kind of message over HTTP, WebSocket and MCP.

`converse` plays it and returns what was sent and what came back, exchange by exchange. Ids, the
package's version and references to the log are replaced by numbered placeholders, so two plays of
the same server are equal. The conversation that the server promises is wire_conversation.json;
`python tests/wire.py` records it anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

GOLDEN = Path(__file__).parent / "wire_conversation.json"

BuildApp = Callable[..., Any]
"""Builds an app from the fields of `Settings`."""

PLACEHOLDERS = {
    "episode": r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "player": r"pl-[0-9a-f]{32}",
    "request": r"\b[0-9a-f]{32}\b",
    "version": r'(?<="version":")\d+\.\d+\.\d+(?=")',
}
DATE = "2022-05-13"
LIST = {"analysis_method": "list_dates"}
ROW = {
    "date": DATE,
    "entity_type": "conversion_rate",
    "entity_name": "app_open_to_menu_open",
    "anomaly_type": "rate_spike_from_median",
    "detection_method": "compare_rate_to_median",
    "baseline_value": 58.2974,
    "observed_value": 80.6015,
    "delta_value": 22.3041,
    "severity": "high",
}
RIGHT = [
    ROW,
    {
        **ROW,
        "date": "2022-06-02",
        "entity_name": "product_added_to_cart_to_order_placed",
        "baseline_value": 51.375,
        "observed_value": 70.0573,
        "delta_value": 18.6823,
    },
]
METHOD = {"method_name": "rate_spike_from_median", "threshold_multiplier": 2.0}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("task_overview", {}),
    ("list_dates", {}),
    ("list_entities", {}),
    ("rows_for_date", {"date": DATE}),
    ("hourly_rows_for_date", {"date": DATE}),
    ("show_raw_data", {"limit": 2}),
    ("list_calendar", {}),
    ("preview_submission", {"rows": [ROW]}),
    ("compare_rate_to_median", {"date": DATE, "entity_name": "app_open_to_menu_open"}),
    ("compare_count_to_median", {"date": DATE, "entity_name": "app_opens"}),
    ("detect_funnel_break", {"date": DATE}),
    ("check_impossible_counts", {"date": DATE}),
    ("list_suspicious_dates", {"limit": 2}),
    ("get_metric_median", {"metric_name": "app_opens"}),
    ("get_metric_std_dev_from_median", {"metric_names": ["app_opens", "menu_opens"]}),
    ("get_rows_with_abs_diff_from_median_gt", {"metric_name": "app_opens", "threshold": 400.0}),
    ("payload_generator", {"generator_methods": [METHOD]}),
    ("get_median_filter_rows", {"threshold_multiplier": 2.5}),
    ("get_rate_drop_from_median_rows", {"threshold_multiplier": 2}),
    ("get_rate_spike_from_median_rows", {"threshold_multiplier": 2}),
    ("get_absolute_drop_in_event_count_rows", {"threshold_multiplier": 2}),
    ("get_absolute_spike_in_event_count_rows", {"threshold_multiplier": 2}),
    ("get_funnel_break_rows", {"threshold_multiplier": 2}),
    ("get_hourly_traffic_mix_shift_rows", {"threshold_multiplier": 2}),
    ("get_instrumentation_data_quality_issue_rows", {"threshold_multiplier": 2}),
]
BAD_ACTIONS: list[Any] = [
    {"analysis_method": "list_date"},
    {"analysis_method": 7},
    {"analysis_method": "rows_for_date"},
    {"analysis_method": "rows_for_date", "analysis_args": {"date": "2001-01-01"}},
    {"analysis_method": "rows_for_date", "analysis_args": []},
    {"analysis_args": {"date": DATE}},
    {"surprise": 1},
    {"analysis_method": "list_dates", "metadata": {"note": 1}},
    {"analysis_method": "list_dates", "classifications": [ROW]},
    {"classifications": {"date": DATE}},
    {"payload_generators": ["rate_spike_from_median"]},
    {"payload_generators": [{"method_name": "median_filer"}]},
    {"analysis_method": "get_metric_median", "analysis_args": {"metric_name": 10**30}},
    {"analysis_method": "\ud800"},
]
BAD_RESETS: list[dict[str, Any]] = [
    {"task_id": "easy_spike"},
    {"task": "easy_single_spike"},
    {"episode_id": ""},
    {"episode_id": 5},
    {"episode_id": "\ud800"},
    {"max_steps": 501},
    {"max_steps": 0},
    {"max_submissions": 6},
    {"max_submissions": 2, "feedback": "score"},
    {"seed": 1.5},
    {"split": "train", "seed": 1},
    {"split": "trian"},
    {"index": 10**9},
    {"anomalies": [3]},
    {"resume": True},
    {"resume": 1, "episode_id": "x"},
    {"resume": True, "episode_id": "unknown"},
]
BAD_MESSAGES = [
    "",
    "{",
    "null",
    "[1,2]",
    '"reset"',
    "[" * 100,
    '{"type":"step","data":' + '{"a":' * 70 + "1" + "}" * 71,
    '{"type":"step","data":{' + ",".join(f'"k{n}":{n}' for n in range(1001)) + "}}",
    '{"type":"step","data":{"x":[' + "0," * 20_001 + "0]}}",
    "{}",
    '{"type":"resett"}',
    '{"type":["reset"]}',
    '{"type":"step"}',
    '{"type":"step","data":3}',
    '{"type":"step","data":{},"extra":1}',
    '{"type":"reset","data":[]}',
    '{"type":"state","data":{}}',
    '{"type":"close","extra":1}',
    '{"type":"mcp"}',
    '{"type":"step","data":{"analysis_method":NaN}}',
]
BAD_RPC = [
    "{}",
    "[]",
    "{",
    "[" * 100,
    "3",
    '{"jsonrpc":"1.0","id":1,"method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":5}',
    '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    '{"jsonrpc":"2.0","id":true,"method":"ping"}',
    '{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}',
    '{"jsonrpc":"2.0","id":1,"method":"resources/list"}',
    '{"jsonrpc":"2.0","id":null,"method":"ping"}',
]
BAD_TOOL_CALLS: list[dict[str, Any]] = [
    {},
    {"name": "list_date"},
    {"name": 5},
    {"name": "reset"},
    {"name": "list_dates", "arguments": [1]},
    {"name": "rows_for_date"},
    {"name": "rows_for_date", "arguments": {"date": "1999-01-01"}},
    {"name": "submit_solution"},
    {"name": "submit_solution", "arguments": {"row": []}},
    {"name": "submit_payload_generator", "arguments": {"generator_methods": []}},
]


def rpc(method: str, request_id: Any = 1, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


class Conversation:
    """What was sent and what came back, with placeholders in the place of ids.

    Args:
        client: the app.
        log: where exchanges are added.
        names: placeholders given out so far.
    """

    def __init__(self, client: TestClient, log: list[list[Any]], names: dict[str, str]) -> None:
        self.client = client
        self.log = log
        self.names = names

    def http(self, route: str, body: Any = None, **headers: str) -> Any:
        """One request, for example `http("POST /reset", {"seed": 1})`; returns the response."""
        method, path = route.split(" ", 1)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        if content is not None:
            sent.setdefault("content-type", "application/json")
        answer = self.client.request(method, path, content=content, headers=sent)
        told = {name: value for name, value in answer.headers.items() if name != "content-length"}
        self._add(f"{route} {content or ''}", [answer.status_code, told, self.plain(answer.text)])
        return answer

    @contextmanager
    def socket(self, path: str) -> Iterator[Socket]:
        """A WebSocket, closed at the end."""
        with self.client.websocket_connect(path) as opened:
            yield Socket(self, path, opened)

    def _add(self, sent: str, got: Any) -> None:
        text = self._named(sent)
        short = text if len(text) < 400 else f"{text[:399]}…"
        self.log.append([short, self._once(self._named(got))])

    def _once(self, value: Any) -> Any:
        """The same, with a placeholder for each long part that was said before."""
        written = json.dumps(value)
        if len(written) >= 200:
            if isinstance(value, str) and not isinstance(within := self.plain(value), str):
                return {"text of": self._once(within)}
            if written in self.names:
                return self.names[written]
            if isinstance(value, dict):
                value = {name: self._once(each) for name, each in value.items()}
            elif isinstance(value, list):
                value = [self._once(each) for each in value]
            digest = hashlib.sha256(written.encode()).hexdigest()
            self.names[written] = f"<as before: {digest[:12]}>"
        return value

    def plain(self, text: str) -> Any:
        """A text with placeholders; as JSON where writing that compactly gives the same text."""
        named = self._named(text)
        try:
            value = json.loads(named)
        except ValueError:
            return named
        same = json.dumps(value, separators=(",", ":"), ensure_ascii=False) == named
        return value if same else named

    def _named(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._named(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._named(each) for each in value]
        if not isinstance(value, str):
            return value
        for kind, pattern in PLACEHOLDERS.items():
            value = re.sub(pattern, lambda found, kind=kind: self._name(kind, found[0]), value)
        return value

    def _name(self, kind: str, found: str) -> str:
        if kind in ("version", "request"):
            return f"<{kind}>"
        count = sum(name.startswith(f"<{kind} ") for name in self.names.values())
        return self.names.setdefault(found, f"<{kind} {count + 1}>")


class Socket:
    """One WebSocket of a conversation."""

    def __init__(self, conversation: Conversation, path: str, opened: Any) -> None:
        self._all = conversation
        self._path = path
        self._opened = opened

    def ask(self, message: Any) -> Any:
        """Send a message, as JSON unless it is text or bytes; returns the reply."""
        if isinstance(message, bytes):
            self._opened.send_bytes(message)
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self._opened.send_text(text)
        return self.hear(message)

    def hear(self, sent: Any = "") -> Any:
        """The next message, or how the connection was closed."""
        got = self._opened.receive()
        self._all._add(f"{self._path} {sent}", self._all.plain(got.get("text") or json.dumps(got)))
        return json.loads(got["text"]) if "text" in got else got

    def tell(self, message: Any) -> None:
        """Send a message that gets no reply."""
        self._opened.send_text(json.dumps(message))

    def reset(self, **data: Any) -> Any:
        return self.ask({"type": "reset", "data": data})

    def step(self, data: Any) -> Any:
        return self.ask({"type": "step", "data": data})

    def state(self) -> Any:
        return self.ask({"type": "state"})


def converse(build: BuildApp) -> list[list[Any]]:
    """Play the whole conversation; returns pairs of what was sent and what came back."""
    log: list[list[Any]] = []
    names: dict[str, str] = {}
    tokens = {"token": "trainer-trainer-trainer", "player_token": "player-player-player"}
    for play, settings in (
        (http_routes, {}),
        (http_episodes, {}),
        (websocket, {"max_sessions": 2}),
        (players_and_resumes, {}),
        (mcp_over_http, {"max_mcp_sessions": 3}),
        (mcp_over_sockets, {"max_mcp_sessions": 2}),
        (small_limits, {"max_message_bytes": 2048, "max_episode_bytes": 1200}),
        (with_tokens, tokens),
        (with_origins, {"allowed_origins": ("https://trainer.example",)}),
    ):
        log.append([f"== {play.__name__}", settings])
        with TestClient(build(episode_store="memory", **settings)) as client:
            play(Conversation(client, log, names))
    return log


def http_routes(talk: Conversation) -> None:
    """Routes that play nothing."""
    for path in ("/health", "/ready", "/metadata", "/schema", "/list_environments", "/nowhere"):
        talk.http(f"GET {path}")
    talk.http("GET /metric_tracker_rl/splits")
    for split, index in (("train", 3), ("validation", 0), ("trian", 0), ("train", 10**9)):
        for route, body in (
            ("num_tasks", {}),
            ("task", {"index": index}),
            ("task_range", {"start": index, "stop": index + 2}),
        ):
            talk.http(f"POST /metric_tracker_rl/{route}", {"split": split, **body})
    talk.http("POST /metric_tracker_rl/tasks", {"split": "test"})
    talk.http("POST /metric_tracker_rl/tasks", {})
    talk.http("POST /other/num_tasks", {"split": "train"})
    talk.http("GET /reset")
    talk.http("POST /state")
    talk.http("GET /mcp")
    paths = talk.http("GET /openapi.json").json()["paths"]
    talk.log[-1][1] = {path: sorted(methods) for path, methods in paths.items()}
    figures = talk.http("GET /metrics")
    kinds = re.findall(r"^# TYPE (metric_tracker\w+ \w+)", figures.text, re.M)
    # The time at which a figure was first counted is there only once something was counted.
    talk.log[-1][1][2] = sorted(each for each in kinds if not each.endswith("_created gauge"))


def http_episodes(talk: Conversation) -> None:
    """Episodes by id."""
    talk.http("POST /reset", {})
    talk.http("POST /reset", {"task_id": "hard_mixed_multi", "seed": 5, "episode_id": "mine"})
    for name, arguments in CALLS[:3]:
        call = {"analysis_method": name, "analysis_args": arguments}
        talk.http("POST /step", {"episode_id": "mine", "action": call})
    for action in BAD_ACTIONS:
        talk.http("POST /step", {"episode_id": "mine", "action": action})
    for arguments in BAD_RESETS:
        talk.http("POST /reset", arguments)
    talk.http("GET /state?episode_id=mine")
    talk.http("GET /state")
    talk.http("GET /state?episode_id=unknown")
    talk.http("POST /step", {"episode_id": "unknown", "action": {}})
    talk.http("POST /step", {"player_id": "unknown", "action": {}})
    talk.http("POST /step", {"action": LIST})
    talk.http("POST /step", {"episode_id": "mine", "player_id": "x", "action": {}})
    for body in ("", "{", "[]", "3", '{"action":3}', '{"action":{},"extra":1}', "[" * 100):
        talk.http("POST /step", body)
    talk.http("POST /reset", '{"seed":' + '{"a":' * 70 + "1" + "}" * 71)
    talk.http("POST /reset", '{"x":[' + "0," * 20_001 + "0]}")
    talk.http("POST /step", '{"episode_id":"\\ud800","action":{}}')
    reset = {"task_id": "easy_single_spike", "max_submissions": 2, "episode_id": "mine"}
    player_id = talk.http("POST /reset", reset).json()["player_id"]
    again = {"episode_id": "mine", "request_id": "one", "action": LIST}
    talk.http("POST /step", again)
    talk.http("POST /step", again)
    talk.http("POST /step", {"player_id": player_id, "action": {"classifications": [ROW, {}]}})
    talk.http("GET /state?episode_id=mine")
    talk.http("POST /step", {"player_id": player_id, "action": {"classifications": RIGHT}})
    talk.http("POST /step", {"player_id": player_id, "action": LIST})
    talk.http("GET /state?episode_id=mine")
    first = talk.http("POST /reset", {"split": "test", "index": 4, "max_steps": 2}).json()
    for _ in range(4):
        talk.http("POST /step", {"episode_id": first["episode_id"], "action": LIST})
    talk.http(f"GET /state?episode_id={first['episode_id']}")
    talk.http("POST /reset", {"episode_id": "0a0a0a0a-0a0a-8a0a-8a0a-0a0a0a0a0a0a"})
    talk.http("POST /reset", {"seed": 3, "feedback": "score", "episode_id": "quiet"})
    talk.http("POST /step", {"episode_id": "quiet", "action": {"classifications": [ROW]}})
    shift = {"method_name": "metric_stddev_shift", "metric_name": "app_opens", "date": DATE}
    custom = {**shift, "stddev_factor": 5.0, "direction": "up"}
    talk.http("POST /reset", {"task_id": "easy_single_spike", "anomalies": [custom]})


def websocket(talk: Conversation) -> None:
    """A trainer's own session."""
    with talk.socket("/ws") as socket:
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
        with talk.socket("/ws") as second:
            second.state()
            with talk.socket("/ws") as third:
                third.hear("one too many")
                third.hear()
        socket.ask({"type": "close"})


def players_and_resumes(talk: Conversation) -> None:
    """A player's seat, and episodes that go on at another connection."""
    with talk.socket("/ws") as socket:
        names = socket.reset(task_id="easy_single_spike")["data"]["metadata"]
        socket.step(LIST)
    resume = {"episode_id": names["episode_id"], "resume": True}
    with talk.socket("/ws") as socket:
        socket.reset(**resume)
        socket.state()
        socket.step({"analysis_method": "list_date"})
        with talk.socket(f"/ws?session_id={names['player_id']}") as player:
            player.state()
            player.reset()
            player.step(LIST)
            player.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        with talk.socket("/ws") as other:
            other.reset(**resume)
            socket.hear("taken over")
            socket.hear()
            other.reset(**resume)
            other.step({"classifications": RIGHT})
            other.reset(**resume)
            other.step(LIST)
    with talk.socket("/ws") as socket:
        socket.reset(episode_id="named", seed=9)
        with talk.socket("/ws") as other:
            other.reset(episode_id="named", seed=10)
            socket.hear("started over")
            socket.hear()
            other.step(LIST)
            other.ask({"type": "close"})
    talk.http("POST /step", {"episode_id": "named", "action": LIST})
    talk.http("GET /state?episode_id=named")
    with talk.socket("/ws") as socket:
        socket.reset(episode_id="named", resume=True)
    with talk.socket("/ws?session_id=unknown") as socket:
        socket.hear("unknown player")
        socket.hear()


def mcp_over_http(talk: Conversation) -> None:
    """Streamable HTTP, and the framework's own dialect."""
    talk.http("POST /reset", {"task_id": "easy_single_spike", "episode_id": "mine"})
    opened = talk.http("POST /mcp?episode_id=mine", rpc("initialize", protocolVersion="2025-06-18"))
    session = {"mcp_session_id": opened.headers["mcp-session-id"]}
    talk.http("POST /mcp", rpc("initialize", protocolVersion="1999-01-01"))
    talk.http(f"POST /mcp?player_id={session['mcp_session_id']}", rpc("initialize"))
    talk.http("POST /mcp?episode_id=unknown", rpc("initialize"))
    talk.http("POST /mcp?task_id=unknown", rpc("initialize"))
    talk.http("POST /mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
    talk.http("POST /mcp", {"jsonrpc": "2.0", "id": 4, "result": {}}, **session)
    talk.http("POST /mcp", rpc("ping"), **session)
    talk.http("POST /mcp", rpc("tools/list"), **session)
    for name, arguments in CALLS:
        talk.http("POST /mcp", rpc("tools/call", "a", name=name, arguments=arguments), **session)
    for params in BAD_TOOL_CALLS:
        talk.http("POST /mcp", rpc("tools/call", **params), **session)
    for text in BAD_RPC:
        talk.http("POST /mcp", text, **session)
    calls = [rpc("ping", 1), {"jsonrpc": "2.0", "method": "ping"}, rpc("nothing", "b"), 3]
    batch = [*calls, rpc("initialize"), rpc("tools/call", 9, name="list_dates")]
    talk.http("POST /mcp", batch, **session)
    talk.http("POST /mcp", batch[:2], mcp_protocol_version="2025-03-26", **session)
    talk.http("POST /mcp", batch[:2], mcp_protocol_version="2025-06-18", **session)
    talk.http("POST /mcp", [batch[1]], **session)
    talk.http("POST /mcp", [rpc("ping")] * 33, **session)
    talk.http("POST /mcp", rpc("ping"), mcp_protocol_version="1.0")
    talk.http("POST /mcp", rpc("tools/list"), mcp_session_id="unknown")
    talk.http("POST /mcp", rpc("tools/call", name="list_dates"))
    talk.http("POST /mcp", rpc("tools/call", name="list_dates", session_id="unknown"))
    talk.http(
        "POST /mcp", rpc("tools/call", name="submit_solution", arguments={"rows": RIGHT}), **session
    )
    talk.http("POST /mcp", rpc("tools/call", name="list_dates"), **session)
    created = talk.http("POST /mcp", rpc("openenv/session/create")).json()["result"]
    talk.http("POST /mcp", rpc("tools/call", name="list_dates", **created))
    methods = {"generator_methods": [METHOD]}
    generated = {"name": "submit_payload_generator", "arguments": methods}
    talk.http("POST /mcp", rpc("tools/call", **generated, **created))
    talk.http("POST /mcp", rpc("openenv/session/create"))
    talk.http("POST /mcp", rpc("openenv/session/create"))
    talk.http("POST /mcp", rpc("openenv/session/close", **created))
    talk.http("POST /mcp", rpc("openenv/session/close", **created))
    talk.http("POST /mcp", rpc("tools/call", name="list_dates", **created))
    talk.http("POST /mcp", rpc("openenv/session/close"))
    talk.http("DELETE /mcp")
    talk.http("DELETE /mcp", **session)
    talk.http("DELETE /mcp", **session)
    talk.http("DELETE /mcp", mcp_session_id="unknown")


def mcp_over_sockets(talk: Conversation) -> None:
    """The WebSocket /mcp, and `mcp` messages on /ws."""
    with talk.socket("/mcp?task_id=easy_single_spike") as socket:
        socket.ask(rpc("initialize"))
        socket.ask(rpc("tools/list"))
        for text in BAD_RPC:
            socket.ask(text)
        socket.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
        for params in BAD_TOOL_CALLS:
            socket.ask(rpc("tools/call", **params))
        socket.ask(json.dumps(rpc("tools/call", name="list_dates")).encode())
        socket.ask(rpc("tools/call", name="submit_solution", arguments={"rows": [ROW]}))
        socket.ask(rpc("tools/call", name="list_dates"))
        with talk.socket("/mcp") as fresh:
            fresh.ask(rpc("tools/call", name="task_overview"))
            with talk.socket("/mcp") as refused:
                refused.hear("one too many")
                refused.hear()
    for path in ("/mcp?task_id=unknown", "/mcp?episode_id=unknown", "/mcp?player_id=unknown"):
        with talk.socket(path) as socket:
            socket.ask(rpc("tools/call", name="list_dates"))
    with talk.socket("/ws") as socket:
        socket.ask({"type": "mcp", "data": rpc("initialize")})
        socket.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        socket.reset(task_id="easy_single_spike")
        socket.ask({"type": "mcp", "data": rpc("tools/call", name="list_dates")})
        socket.ask({"type": "mcp", "data": {}})
        socket.ask({"type": "mcp", "data": {"jsonrpc": "2.0", "method": "ping"}})
        socket.state()


def small_limits(talk: Conversation) -> None:
    """What is too long."""
    long = {"analysis_method": "x" * 3000}
    talk.http("POST /step", {"action": long})
    talk.http("POST /mcp", "x" * 3000)
    talk.http("POST /reset", {"episode_id": "mine"})
    for _ in range(2):
        talk.http("POST /step", {"episode_id": "mine", "action": {"analysis_method": "x" * 900}})
    with talk.socket("/ws") as socket:
        socket.reset(episode_id="mine", resume=True)
        socket.step({"analysis_method": "x" * 900})
        socket.step(long)
        socket.hear()
    with talk.socket("/mcp?episode_id=mine") as socket:
        call = {"name": "rows_for_date", "arguments": {"date": "x" * 900}}
        socket.ask(rpc("tools/call", **call))
        socket.ask(json.dumps(rpc("ping", text="x" * 3000)))


def with_tokens(talk: Conversation) -> None:
    """Two roles, each with a token."""
    trainer = {"authorization": "Bearer trainer-trainer-trainer"}
    player = {"authorization": "Bearer player-player-player"}
    for headers in ({}, {"authorization": "Bearer wrong"}, player, trainer):
        for route in ("GET /health", "GET /metadata", "POST /reset", "GET /state", "POST /step"):
            talk.http(route, {"action": {}} if route == "POST /step" else None, **headers)
        talk.http("POST /mcp", rpc("ping"), **headers)
    names = talk.http("POST /reset", {"seed": 2, "episode_id": "mine"}, **trainer).json()
    player_id = names["player_id"]
    for name in ("episode_id", "player_id"):
        talk.http("POST /step", {name: names[name], "action": LIST}, **player)
    for query in (
        "episode_id=mine",
        "task_id=easy_single_spike",
        f"player_id={player_id}",
    ):
        talk.http(f"POST /mcp?{query}", rpc("initialize"), **player)
    for path in ("/ws", "/mcp?episode_id=mine"):
        with talk.client.websocket_connect(path, headers=player) as opened:
            socket = Socket(talk, path, opened)
            if path == "/ws":
                socket.hear("a player")
            else:
                socket.ask(rpc("tools/call", name="list_dates"))


def with_origins(talk: Conversation) -> None:
    """Pages of other sites."""
    for origin in ("https://trainer.example", "https://other.example", "null"):
        talk.http("GET /health", origin=origin)
        talk.http("OPTIONS /reset", origin=origin, access_control_request_method="POST")


def written(log: list[list[Any]]) -> str:
    """The conversation as a file: one exchange a line."""
    lines = [json.dumps(each, separators=(",", ":")) for each in log]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def build(**settings: Any) -> Any:
    """The app of this checkout."""
    from openenv_kit.serving import websocket
    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import Settings

    # The test client's connections never end by themselves, so waiting for one takes the whole
    # time; here every episode that changes hands is in the store already.
    websocket.HANDOVER_S = 0.05
    return build_app(Settings(**settings))


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else GOLDEN).write_text(written(converse(build)))
