"""Crashes, floods and malformed input; METRIC_TRACKER_FULL=1 runs the full size."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from starlette.testclient import TestClient

from benchmarks.load import (
    LoadError,
    LoadSession,
    message_frame,
    open_session,
    open_sessions,
    text_frame,
)
from benchmarks.server_process import HOST, ServerProcess
from openenv_kit.environment import get_environment
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from support.forked_servers import FULL, figures, forked

pytestmark = pytest.mark.slow

SESSIONS, SOAK_ROUNDS = (1000, 10) if FULL else (100, 3)
CRASHED_EPISODES = 200 if FULL else 20
MALFORMED = 20_000 if FULL else 1_000
START = {"type": "reset", "data": {"task_id": "easy_single_spike"}}
LIST = {"type": "step", "data": {"analysis_method": "list_dates"}}


@dataclass(frozen=True)
class Served:
    """An environment of the server, and a well-formed play of it.

    Attributes:
        name: of the environment.
        at: where it is below the server's address.
        start, step: messages of a reset and of a step.
        players: policies whose scores differ.
    """

    name: str
    at: str
    start: dict[str, Any]
    step: dict[str, Any]
    players: tuple[str, ...]

    def reset(self, seed: int) -> dict[str, Any]:
        """Arguments of a reset, by a number."""
        if self.name == "firewatch":
            return {"split": "test", "index": seed}
        return {"seed": seed, "difficulty": "hard", "anomaly_count": 2 + seed % 3}


FUNNEL = Served("metric_tracker_rl", "", START, LIST, ("reference", "median_filter", "random"))
FIREWATCH = Served(
    "firewatch",
    "/firewatch",
    {"type": "reset", "data": {"task_id": "task_easy_oom_baseline"}},
    {"type": "step", "data": {"action_type": "escalate"}},
    ("reference", "random", "keyword_rules"),
)
BOTH = pytest.mark.parametrize("served", [FUNNEL, FIREWATCH], ids=lambda served: served.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Return a server for `SESSIONS` sessions, with episodes in a file."""
    store = tmp_path_factory.mktemp("store") / "episodes.db"
    with forked(
        OPENENV_KIT_EPISODE_STORE=str(store),
        MAX_CONCURRENT_ENVS=str(SESSIONS),
        OPENENV_KIT_LOG_LEVEL="warning",
    ) as server:
        yield server


async def soaked(server: ServerProcess) -> int:
    """One round: every slot taken, half of them dropped, the others closed; memory after it."""
    sessions = await open_sessions(HOST, server.port, SESSIONS)
    for session in sessions:
        answer = await session.send_and_receive(START)
        assert answer["data"]["observation"]["status"] == "ready"
    for number, session in enumerate(sessions):
        session.abort() if number % 2 else session.close()
    deadline = time.monotonic() + 60
    while figures(server)["openenv_kit_sessions"] and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert figures(server)["openenv_kit_sessions"] == 0
    return server.memory_bytes()


def test_dropped_sessions_leak_neither_slots_nor_memory(server: ServerProcess) -> None:
    memory = [asyncio.run(soaked(server)) for _ in range(SOAK_ROUNDS)]
    print("resident MB after each round:", [round(each / 1e6, 1) for each in memory])
    assert max(memory) <= memory[0] * 1.10


class HttpPlayer:
    """Plays one episode over HTTP, through a crash of the server.

    Players differ, so that their scores do: what is lost or played twice shows.
    """

    def __init__(self, client: httpx.Client, served: Served, seed: int) -> None:
        self.client, self.served = client, served
        self.environment = get_environment(served.name)
        self.reset = served.reset(seed)
        # Named, because a client without an id has one episode where these are anonymous.
        self.answer = self.ask("/reset", {**self.reset, "episode_id": f"player-{seed}"})
        self.episode_id = self.answer["episode_id"]
        self.policy = self.environment.policies[served.players[seed % len(served.players)]]
        self.moves = self.policy.generate_actions(self.answer["observation"])
        self.action: Any = next(self.moves)
        self.steps = 0

    def ask(self, path: str, body: Any) -> dict[str, Any]:
        plain = json.loads(json.dumps(body, default=dict))
        answer = self.client.post(f"{self.served.at}{path}", json=plain)
        answer.raise_for_status()
        return dict(answer.json())

    def step(self) -> None:
        """The next step; one that fails is tried again under the same name."""
        body = {"episode_id": self.episode_id, "action": dict(self.action)}
        self.answer = self.ask("/step", {**body, "request_id": f"step-{self.steps}"})
        self.steps += 1
        if not self.answer["done"]:
            self.action = self.moves.send(self.answer["observation"])

    def finish(self) -> float:
        while not self.answer["done"]:
            self.step()
        return float(self.answer["reward"])

    def undisturbed(self) -> tuple[float, int]:
        """Score and steps of the same play in process, where nothing crashes."""
        session = self.environment.create_session()
        outcome = run_policy(session, self.policy, session.reset(**self.reset))
        return outcome.score, outcome.step_count


@BOTH
def test_every_http_episode_survives_a_killed_server(tmp_path: Path, served: Served) -> None:
    environ = {
        "OPENENV_KIT_EPISODE_STORE": str(tmp_path / "episodes.db"),
        "OPENENV_KIT_LOG_LEVEL": "warning",
    }
    with (
        forked(**environ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        players = [HttpPlayer(client, served, seed) for seed in range(CRASHED_EPISODES)]
        for seed, player in enumerate(players):
            for _ in range(seed % 3):
                player.step()
        with ThreadPoolExecutor(8) as pool:
            # Killed while steps are under way, so that some are stored and never answered.
            runners = players[: CRASHED_EPISODES // 2]
            before = sum(player.steps for player in runners)
            racing = [pool.submit(player.finish) for player in runners]
            while sum(player.steps for player in runners) == before:
                time.sleep(0.001)
            server.kill()
            lost = sum(each.exception() is not None for each in racing)
        print(f"{lost} of {len(racing)} players under way were cut off")
        assert lost
        with pytest.raises(httpx.TransportError):
            client.get("/health")
        with forked(server.port, **environ):
            for player in players:
                assert (player.finish(), player.steps) == player.undisturbed()
                named = {"episode_id": player.episode_id}
                state = client.get(f"{served.at}/state", params=named).json()
                assert state["status"] == "completed"
                assert state["step_count"] == player.steps
        scores = {float(player.answer["reward"]) for player in players}
        assert 1.0 in scores
        assert len(scores) > 2


def test_silent_peer_loses_its_slot() -> None:
    """Its connection still stands: nothing but its silence tells that it is gone."""

    async def fall_silent(server: ServerProcess) -> None:
        gone = await open_session(HOST, server.port)
        await gone.send_and_receive(START)
        with gone.take_socket():
            assert figures(server)["openenv_kit_sessions"] == 1
            for _ in range(600):
                if not figures(server)["openenv_kit_sessions"]:
                    break
                await asyncio.sleep(0.1)
            assert figures(server)["openenv_kit_sessions"] == 0
            assert not gone.closed.done()
        gone.abort()
        await gone.closed

    with forked(OPENENV_KIT_IDLE_TIMEOUT_S="1") as server:
        asyncio.run(fall_silent(server))


def nonsense(rng: random.Random) -> bytes:
    """One malformed frame's payload."""
    deep = rng.randint(50, 3000)
    pieces: list[bytes] = [
        b"{" * deep,
        b"[" * deep + b"]" * deep,
        b'{"type":"step","data":' + b'{"a":' * deep + b"1" + b"}" * (deep + 1),
        b'{"type":"reset","data":{"seed":' + b"9" * rng.randint(1, 400) + b"}}",
        b'{"type":"reset","data":{"seed":1e' + str(rng.randint(100, 9999)).encode() + b"}}",
        b'{"type":"step","data":{"analysis_method":"\\ud800","analysis_args":{}}}',
        b'{"type":"reset","data":{"task_id":["\\udfff"]}}',
        json.dumps({"type": rng.choice(["step", "reset", "mcp"]), "data": junk(rng)}).encode(),
        json.dumps({"type": junk(rng), "data": {}}).encode(),
        json.dumps(junk(rng)).encode(),
        json.dumps({"type": "step", "data": {"classifications": junk(rng)}}).encode(),
        json.dumps({"type": "step", "data": {"payload_generators": [junk(rng)]}}).encode(),
        json.dumps(
            {
                "type": "step",
                "data": {
                    "analysis_method": "payload_generator",
                    "analysis_args": {"generator_methods": [junk(rng)]},
                },
            }
        ).encode(),
        json.dumps({"type": "reset", "data": {"anomalies": [junk(rng)]}}).encode(),
        json.dumps({"type": "step", "data": {"action_type": junk(rng)}}).encode(),
        json.dumps(
            {
                "type": "step",
                "data": {
                    "action_type": rng.choice(["scale_replicas", "traffic_shift", "fetch_logs"]),
                    "target_service": junk(rng),
                    "parameters": junk(rng),
                },
            }
        ).encode(),
        b'{"type":"step","data":{"action_type":"set_log_level","target_service":"\\ud800"}}',
        json.dumps({"type": "reset", "data": {"split": junk(rng), "index": junk(rng)}}).encode(),
        rng.randbytes(rng.randint(0, 60)).decode("utf-8", "ignore").encode(),
        b'{"type":"step","data":{"analysis_args":{"threshold":NaN},"analysis_method":'
        b'"get_rows_with_abs_diff_from_median_gt"}}',
        b'{"type":"step","type":"reset","data":{}}',
        b"\x00" * rng.randint(1, 20),
    ]
    return rng.choice(pieces)


def junk(rng: random.Random) -> Any:
    return rng.choice(
        [
            None, True, 0, -1, 10**30, 1.5, "", "text", "\u0000", "é" * 50, [], [[]], {}, {"a": {}},
            [None] * 20, {"metric_name": [1]}, {"method_name": None}, {"date": 10**400},
            {"method_name": "median_filter", "threshold_multiplier": -1e308}, ["2024-01-01"],
        ]
    )  # fmt: skip


async def survives(port: int, served: Served, seed: int, count: int) -> None:
    """One session that talks nonsense beside one that does not; each answers its own."""
    rng = random.Random(seed)
    path = f"{served.at}/ws"
    wild, calm = await open_session(HOST, port, path), await open_session(HOST, port, path)
    opening = await calm.send_and_receive(served.start)
    expected = await calm.send_and_receive(served.step)
    for number in range(count):
        opcode = 0x2 if number % 7 == 0 else 0x1
        answer = await wild.send_frame_and_receive(text_frame(nonsense(rng), opcode))
        assert answer["type"] in ("error", "observation", "mcp", "state"), answer
        assert "Traceback" not in json.dumps(answer)
        assert answer["data"].get("code") != "EXECUTION_ERROR", answer
        if number % 10 == 9:
            assert (await wild.send_and_receive(served.start))["data"]["observation"][
                "status"
            ] != "error"
            assert await wild.send_and_receive(served.step) == expected
    calm_again = await calm.send_and_receive({"type": "state"})
    assert calm_again["data"]["step_count"] == 1
    assert opening["data"]["metadata"]["episode_id"] == calm_again["data"]["episode_id"]
    wild.close()
    calm.close()


@BOTH
def test_malformed_frames_end_neither_session_nor_server(
    server: ServerProcess, served: Served
) -> None:
    async def all_of_them() -> None:
        streams = 10
        await asyncio.gather(
            *(survives(server.port, served, n, MALFORMED // streams) for n in range(streams))
        )

    asyncio.run(all_of_them())
    assert figures(server).get('openenv_kit_errors_total{kind="internal"}', 0) == 0
    assert server.process.poll() is None


def test_frames_that_are_no_websocket_end_only_their_own_session(server: ServerProcess) -> None:
    async def talk() -> None:
        calm = await open_session(HOST, server.port)
        await calm.send_and_receive(START)
        for raw in (b"\xff" * 20, text_frame(b"\xff\xfe\xfd"), b"GET / HTTP/1.1\r\n\r\n"):
            rude = await open_session(HOST, server.port)
            rude.send_frame(raw)
            assert await asyncio.wait_for(rude.closed, 10) in (1002, 1006, 1007)
        big = await open_session(HOST, server.port)
        big.send_frame(text_frame(b'{"type":"step","data":"' + b"x" * (1 << 20) + b'"}'))
        assert await asyncio.wait_for(big.closed, 10) == 1009
        assert (await calm.send_and_receive(LIST))["data"]["observation"]["status"] == "analyzed"
        calm.close()

    asyncio.run(talk())


def test_a_session_over_the_limit_is_refused_and_takes_no_slot(server: ServerProcess) -> None:
    async def crowd() -> None:
        sessions: list[LoadSession] = await open_sessions(HOST, server.port, SESSIONS)
        extra = await open_session(HOST, server.port)
        assert await asyncio.wait_for(extra.closed, 10) == 1013
        for session in sessions:
            session.close()
        deadline = time.monotonic() + 30
        while figures(server)["openenv_kit_sessions"] and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        fresh = await open_session(HOST, server.port)
        assert (await fresh.send_and_receive(START))["type"] == "observation"
        fresh.close()
        with pytest.raises(LoadError):
            await fresh.send_frame_and_receive(message_frame(START), timeout_s=5)

    asyncio.run(crowd())


CHECKS = ("not_a_server_error", "response_schema_conformance", "content_type_conformance")
EXAMPLES = settings(
    max_examples=100 if FULL else 8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@pytest.mark.parametrize("name", ["metric_tracker_rl", "firewatch"])
@pytest.mark.filterwarnings("ignore")
def test_no_request_that_the_schema_allows_breaks_a_route(name: str) -> None:
    import schemathesis

    app = build_app(Settings(episode_store="memory"), get_environment(name))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    checks = [schemathesis.checks.CHECKS.get_one(each) for each in CHECKS]
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 5
    for operation in operations:

        @EXAMPLES
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate(checks=checks)

        holds()


class Model(RuleBasedStateMachine):
    """Two HTTP episodes and two WebSocket sessions, held against a count of what each was sent."""

    @initialize()
    def open(self) -> None:
        self.client = CLIENT[0]
        self.sockets = [self.client.websocket_connect("/ws") for _ in range(2)]
        for socket in self.sockets:
            socket.__enter__()
        self.ids: dict[int, str] = {}
        self.steps: dict[tuple[str, int], int] = {}
        self.done: dict[tuple[str, int], bool] = {}

    def ask(self, socket: int, message: Any) -> Any:
        self.sockets[socket].send_json(message)
        return self.sockets[socket].receive_json()["data"]

    def began(self, who: tuple[str, int]) -> None:
        self.steps[who], self.done[who] = 0, False

    def stepped(self, who: tuple[str, int], status: str) -> None:
        if who not in self.steps:
            assert status == "error"
        elif self.done[who]:
            assert status == "completed"
        else:
            self.steps[who] += 1
            self.done[who] = status == "evaluated"

    @rule(which=st.integers(0, 1), seed=st.integers(0, 50))
    def reset_socket(self, which: int, seed: int) -> None:
        self.ask(which, {"type": "reset", "data": {"seed": seed}})
        self.began(("ws", which))

    @rule(which=st.integers(0, 1), seed=st.integers(0, 50))
    def reset_http(self, which: int, seed: int) -> None:
        body = {"seed": seed, "episode_id": f"machine-{id(self)}-{which}"}
        self.ids[which] = self.client.post("/reset", json=body).json()["episode_id"]
        self.began(("http", which))

    @rule(which=st.integers(0, 1), data=st.sampled_from([LIST["data"], {}, {"analysis_method": 1}]))
    def step_socket(self, which: int, data: Any) -> None:
        status = self.ask(which, {"type": "step", "data": data})["observation"]["status"]
        self.stepped(("ws", which), status)

    @rule(which=st.integers(0, 1), data=st.sampled_from([LIST["data"], {}, {"analysis_method": 1}]))
    def step_http(self, which: int, data: Any) -> None:
        body = {"action": data, "episode_id": self.ids.get(which, "none")}
        answer = self.client.post("/step", json=body)
        assert (answer.status_code == 404) == (which not in self.ids)
        if answer.status_code == 200:
            self.stepped(("http", which), answer.json()["observation"]["status"])

    @invariant()
    def nobody_was_stepped_by_another(self) -> None:
        if not hasattr(self, "sockets"):
            return
        for kind, which in self.steps:
            if kind == "ws":
                state = self.ask(which, {"type": "state"})
            else:
                params = {"episode_id": self.ids[which]}
                state = self.client.get("/state", params=params).json()
            assert state["step_count"] == self.steps[kind, which]
            assert (state["status"] == "completed") == self.done[kind, which]

    def teardown(self) -> None:
        for socket in getattr(self, "sockets", ()):
            socket.__exit__(None, None, None)


CLIENT: list[TestClient] = []


def test_sequences_of_resets_and_steps_agree_with_a_simple_model() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        CLIENT[:] = [client]
        run_state_machine_as_test(
            Model,
            settings=settings(
                max_examples=100 if FULL else 10,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                derandomize=True,
            ),
        )
