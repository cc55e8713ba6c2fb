"""Several environments in one process, each below its name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from openenv_kit.environment import get_environment, list_environments_in_same_distribution
from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.serving.app import build_app
from openenv_kit.serving.http.environment_mounts import (
    RESERVED_PATH_SEGMENTS,
    load_and_validate_other_environments,
)
from openenv_kit.serving.settings import Settings, load_settings
from support.paths import ROOT
from support.server_requests import send_message

FUNNEL, FIREWATCH, PIPE = "metric_tracker_rl", "firewatch", "pipe_leak"
DRILL = "drilldown"
OPENINGS = {FUNNEL: {"seed": 3}, FIREWATCH: {"task_id": "task_easy_dns_nxdomain"}}
STEPS = {
    FUNNEL: {"analysis_method": "list_dates"},
    FIREWATCH: {"action_type": "escalate"},
    PIPE: {"tool": "gauge", "arguments": {"segment": 5}},
}
TOKENS = {"token": "t" * 16, "player_token": "p" * 16}


def app_of(root: str, *others: str, **settings: Any) -> Any:
    chosen = Settings(**{"episode_store": "memory", **settings})
    return build_app(chosen, get_environment(root), [get_environment(name) for name in others])


@pytest.fixture(scope="module", params=[(FUNNEL, FIREWATCH, PIPE), (FIREWATCH, FUNNEL, PIPE)])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A client, and the address below which each environment is served."""
    root, *others = request.param
    prefixes = {root: "", **{name: f"/{name}" for name in others}}
    with TestClient(app_of(*request.param)) as client:
        yield client, prefixes


@pytest.mark.parametrize("name", [FUNNEL, FIREWATCH, PIPE])
def test_every_interface_of_an_environment_is_below_its_name(
    served: tuple[TestClient, dict[str, str]], name: str
) -> None:
    client, prefixes = served
    at, environment = prefixes[name], get_environment(name)
    assert client.get(f"{at}/health").json() == {"status": "healthy"}
    assert client.get(f"{at}/ready").status_code == 200
    assert client.get(f"{at}/metadata").json()["name"] == environment.name
    assert "openenv_kit_sessions" in client.get(f"{at}/metrics").text
    assert list(prefixes) == client.get("/list_environments").json()
    tasks = client.post(f"/{name}/num_tasks", json={"split": "test"}).json()
    assert tasks == {"num_tasks": environment.splits.size("test")}
    opening = OPENINGS.get(name, {})
    episode = client.post(f"{at}/reset", json=opening).json()
    body = {"episode_id": episode["episode_id"], "action": STEPS[name]}
    assert client.post(f"{at}/step", json=body).json()["observation"]["status"] != "error"
    with client.websocket_connect(f"{at}/ws") as socket:
        observation = send_message(socket, "reset", opening)["observation"]
        assert observation == client.post(f"{at}/reset", json=opening).json()["observation"] | {
            "metadata": observation["metadata"]
        }
    with client.websocket_connect(f"{at}/mcp") as socket:
        socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        listed = [tool["name"] for tool in socket.receive_json()["result"]["tools"]]
    assert listed == list(environment.tools.select_for_episode().tool_names)


@pytest.mark.parametrize(("mine", "theirs"), [(FUNNEL, FIREWATCH), (FIREWATCH, FUNNEL)])
def test_id_of_one_environment_is_unknown_in_another(
    served: tuple[TestClient, dict[str, str]], mine: str, theirs: str
) -> None:
    client, prefixes = served
    here, there = prefixes[mine], prefixes[theirs]
    started = client.post(f"{here}/reset", json=OPENINGS[mine]).json()
    for handle in ("episode_id", "player_id"):
        body = {handle: started[handle], "action": STEPS[mine]}
        assert client.post(f"{there}/step", json=body).status_code == 404
        assert client.post(f"{here}/step", json=body).status_code == 200
    named = {"episode_id": started["episode_id"]}
    assert client.get(f"{there}/state", params=named).status_code == 404
    with client.websocket_connect(f"{there}/ws") as socket:
        message = send_message(socket, "reset", {**named, "resume": True})["observation"]["message"]
        assert "the id is unknown" in message
    with client.websocket_connect(f"{there}/ws?session_id={started['player_id']}") as socket:
        assert "the id is unknown" in socket.receive_json()["data"]["message"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    session = {"mcp-session-id": started["player_id"]}
    assert client.post(f"{there}/mcp", json=call, headers=session).status_code == 404
    assert client.delete(f"{there}/mcp", headers=session).status_code == 404
    client.post(f"{there}/reset", json=named)
    assert client.get(f"{here}/state", params=named).json()["step_count"] == 2


def test_same_episode_id_is_separate_in_each_environment(
    served: tuple[TestClient, dict[str, str]],
) -> None:
    client, prefixes = served
    named = {"episode_id": "mine"}
    with client.websocket_connect(f"{prefixes[FUNNEL]}/ws") as socket:
        send_message(socket, "reset", named)
        for name in (FUNNEL, FIREWATCH):
            if name == FIREWATCH:
                client.post(f"{prefixes[name]}/reset", json={**named, **OPENINGS[name]})
                with client.websocket_connect(f"{prefixes[name]}/ws") as other:
                    send_message(other, "reset", {**named, "resume": True})
            body = {**named, "action": STEPS[name]}
            assert client.post(f"{prefixes[name]}/step", json=body).status_code == 200
        # Taking the other one over did not end this connection.
        assert send_message(socket, "step", STEPS[FUNNEL])["observation"]["status"] == "analyzed"
    for name, steps in ((FUNNEL, 2), (FIREWATCH, 1)):
        state = client.get(f"{prefixes[name]}/state", params=named).json()
        assert (state["step_count"], state["timeline"]) == (steps, 1)


def test_a_client_without_an_id_plays_below_the_name_too(
    served: tuple[TestClient, dict[str, str]],
) -> None:
    client, prefixes = served
    at = prefixes[FIREWATCH]
    for caller in ("", "/as/alice", "/as/bob"):
        opening = client.post(f"{at}{caller}/reset", json=OPENINGS[FIREWATCH]).json()
        assert opening["observation"]["sim_tick"] == 0
    client.post(f"{at}/as/alice/step", json={"action": STEPS[FIREWATCH]})
    ticks = [
        client.post(f"{at}{caller}/step", json={"action": STEPS[FIREWATCH]}).json()
        for caller in ("", "/as/alice", "/as/bob")
    ]
    assert [reply["observation"]["sim_tick"] for reply in ticks] == [1, 2, 1]
    assert client.get(f"{at}/as/alice/health").status_code == 200
    assert client.post(f"{prefixes[FUNNEL]}/as/alice/reset", json={}).status_code == 404


def test_each_environment_has_tasks_for_mcp_sessions(
    served: tuple[TestClient, dict[str, str]],
) -> None:
    client, prefixes = served
    opened = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    for name in (PIPE, FIREWATCH):
        session = client.post(f"{prefixes[name]}/mcp", json=opened).headers["mcp-session-id"]
        with client.websocket_connect(f"{prefixes[name]}/ws?session_id={session}") as socket:
            assert send_message(socket, "state")["task_id"].startswith("sessions")


def test_tokens_and_roles_apply_to_each_environment() -> None:
    with TestClient(app_of(FUNNEL, FIREWATCH, **TOKENS)) as client:
        trainer, player = ({"authorization": f"Bearer {TOKENS[k]}"} for k in TOKENS)
        assert client.get("/firewatch/health").status_code == 200
        for path in ("/firewatch/reset", "/firewatch/step", "/firewatch/mcp"):
            assert client.post(path, json={"action": {}}).status_code == 401
        assert client.get("/firewatch/metrics").status_code == 401
        refused = client.post("/firewatch/reset", json={}, headers=player)
        assert refused.status_code == 403
        started = client.post("/firewatch/reset", json={}, headers=trainer).json()
        body = {"player_id": started["player_id"], "action": STEPS[FIREWATCH]}
        assert client.post("/firewatch/step", json=body, headers=player).status_code == 200
        assert client.post("/firewatch/splits", headers=player).status_code == 403
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/firewatch/ws"):
            pass


def test_slots_and_the_longest_body_are_limits_of_all_environments_together() -> None:
    app = app_of(FUNNEL, FIREWATCH, max_sessions=1, max_message_bytes=1024)
    with TestClient(app) as client:
        assert client.post("/firewatch/reset", content=b" " * 2000).status_code == 413
        with client.websocket_connect("/ws") as first:
            send_message(first, "state")
            with client.websocket_connect("/firewatch/ws") as second:
                error = second.receive_json()["data"]
                assert (error["active_sessions"], error["max_sessions"]) == (1, 1)
        with client.websocket_connect("/firewatch/ws") as third:
            assert send_message(third, "state")["status"] == "idle"


def test_a_proxy_s_prefix_goes_before_the_name() -> None:
    app = app_of(FUNNEL, FIREWATCH)
    with TestClient(app, root_path="/proxy") as client:
        for path in ("/firewatch/metadata", "/proxy/firewatch/metadata"):
            assert client.get(path).json()["name"] == "firewatch"


@pytest.mark.slow
def test_the_page_of_each_environment_is_below_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    with TestClient(app_of(FUNNEL, FIREWATCH)) as client:
        for at, title in (("", "Metric Tracker RL"), ("/firewatch", "FirewatchEnv")):
            led = client.get(f"{at}/web", follow_redirects=False)
            assert led.headers["location"] == f"{at}/web/"
            page = client.get(f"{at}/web/")
            assert f"<title>{title}</title>" in page.text
            assert client.get(f"{at}/web/config").status_code == 200
            assert client.get(f"{at}/web/theme.css").status_code == 200


# Settings.


def test_default_mounts_the_environments_of_the_distribution() -> None:
    assert list_environments_in_same_distribution(FUNNEL) == [DRILL, FIREWATCH]
    assert list_environments_in_same_distribution(FIREWATCH) == [DRILL, FUNNEL]
    assert list(list_environments_in_same_distribution(PIPE)) == []
    assert list(list_environments_in_same_distribution("nothing of the kind")) == []


@pytest.mark.parametrize(
    ("asked", "mounted"),
    [
        ("", [DRILL, FIREWATCH]),
        ("all", [DRILL, FIREWATCH]),
        ("none", []),
        (" pipe_leak ,firewatch,pipe_leak", [PIPE, FIREWATCH]),
        ("metric_tracker_rl", []),
    ],
)
def test_also_serve_setting_selects_mounted_environments(asked: str, mounted: list[str]) -> None:
    chosen = load_settings({"ALSO_SERVE": asked})
    assert [
        each.name for each in load_and_validate_other_environments(get_environment(FUNNEL), chosen)
    ] == mounted


def test_an_unknown_environment_is_refused_with_the_nearest_name() -> None:
    chosen = load_settings({"ALSO_SERVE": "firewach"})
    with pytest.raises(UnknownNameError, match=r"ALSO_SERVE 'firewach'.*mean 'firewatch'"):
        load_and_validate_other_environments(get_environment(FUNNEL), chosen)


@pytest.mark.parametrize("path", ["reset", "step", "mcp", "as/alice/reset"])
def test_unknown_environment_path_lists_what_is_served(
    served: tuple[TestClient, dict[str, str]], path: str
) -> None:
    client, prefixes = served
    root, *others = prefixes
    answer = client.post(f"/firewach/{path}", json={})
    assert answer.status_code == 404
    detail = answer.json()["detail"]
    assert "Unknown environment 'firewach'." in detail
    assert f"{root} is served at the root" in detail
    assert all(name in detail for name in others)
    assert ("Did you mean 'firewatch'?" in detail) == (FIREWATCH in others)


def test_a_split_that_one_of_them_lacks_is_refused() -> None:
    chosen = Settings(mcp_split="validation", also_serve=PIPE)
    with pytest.raises(InvalidValueError, match="pipe_leak has train, test"):
        load_and_validate_other_environments(get_environment(FUNNEL), chosen)


def test_a_name_that_the_root_s_paths_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_environment(PIPE)), "name", "web")
    with pytest.raises(InvalidValueError, match="ALSO_SERVE is 'web'"):
        load_and_validate_other_environments(get_environment(FUNNEL), Settings(also_serve=PIPE))


@pytest.mark.slow
def test_every_first_segment_of_the_root_s_paths_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    paths = [getattr(each, "path", "") for each in app_of(FUNNEL).routes]
    first = {path.split("/")[1] for path in paths if path}
    plain = {name for name in first if name and "{" not in name and "." not in name}
    assert plain <= RESERVED_PATH_SEGMENTS, plain - RESERVED_PATH_SEGMENTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "below their names"),
        (["--also", "firewach"], "Did you mean 'firewatch'"),
        (["--environment", "firewach"], "Did you mean 'firewatch'"),
    ],
)
def test_server_command_explains_environments_and_names_the_nearest(
    arguments: list[str], expected: str
) -> None:
    command = [sys.executable, "-m", "server.app", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert expected in " ".join((done.stdout + done.stderr).split())
    assert done.returncode == (0 if "--help" in arguments else 2)
