"""Random requests on every interface to two workers, with SIGKILL between messages.

Hypothesis looks for a way to see a score twice, to see practice counts twice at one step, or to
lower a step count. METRIC_TRACKER_FULL=1 tries 2,000 sequences.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import BaseModel

from openenv_kit.environment import Session
from openenv_kit.reply import observation_from_reply
from openenv_kit.serving.episodes.ids import SERVER_EPISODE_ID_PATTERN
from support.killable_workers import PATIENCE_S, PlainSocket, Workers
from support.playable_environments import Game

EXAMPLES = 2000 if os.environ.get("METRIC_TRACKER_FULL") else 12
STEPS = 30

NUMBERS = itertools.count()

workers = st.integers(0, 1)
picks = st.integers(0, 5)
which_action = st.integers(0, 3)
moves = st.lists(which_action, min_size=1, max_size=3)
anything_started = precondition(lambda self: self.timelines)
anybody_there = precondition(lambda self: self.connections)
resets = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2),
        "max_steps": st.integers(2, 6),
        "max_submissions": st.integers(1, 3),
    }
)


@pytest.fixture
def workers_of_game(game: Game, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path / "episodes.db", game.name)
    yield workers
    workers.stop()


@dataclass
class Reply:
    """What a reply says of the play."""

    status: str
    message: str
    reward: float
    done: bool
    breakdown: Any


def reply_of(game: Game, observation: Any, reward: Any = None, done: Any = None) -> Reply:
    return Reply(
        observation.get("status", ""),
        observation.get("message", ""),
        float(observation.get("reward", reward) or 0.0),
        bool(observation.get("done", done)),
        observation.get(game.breakdown),
    )


def reply_over_mcp(game: Game, result: Any) -> Reply:
    meta = result["_meta"]
    return reply_of(game, result["structuredContent"], meta["reward"], meta["done"])


def as_over_mcp(game: Game, expected: Reply) -> Reply:
    """The same reply as a model is told it, perhaps without status or what makes the score."""
    if not game.models_see_parts:
        expected = replace(expected, breakdown=None)
    return expected if game.models_see_status else replace(expected, status="")


@dataclass(eq=False)
class Timeline:
    """One episode as it must be: a session of its own, and what is known of its handles.

    Attributes:
        alive: whether anything can reach it; a play in memory is gone with its connection.
        memory: the connection in whose worker's memory it is; None where it is stored.
        owner: the connection that may go on with it.
        answers: reply to each named request, and the number of submissions made by then.
        submission: the number of submissions made by the time of the last reply.
    """

    episode_id: str
    player_id: str
    number: int
    game: Game
    session: Session
    alive: bool = True
    closed: bool = False
    memory: Connection | None = None
    owner: Connection | None = None
    answers: dict[str, tuple[Reply, int]] = field(default_factory=dict)
    submission: int = 0

    @property
    def stored(self) -> bool:
        return self.alive and self.memory is None

    def play(self, action: dict[str, Any], request: str = "") -> Reply:
        if request in self.answers:
            expected, self.submission = self.answers[request]
            return expected
        over = self.session.done
        expected = reply_of(
            self.game, plain(self.game, observation_from_reply(self.session.step(action)))
        )
        self.submission = getattr(self.session.state(), "submissions", 0)
        if request and not over:
            self.answers[request] = expected, self.submission
        return expected

    def record(self) -> dict[str, Any]:
        """What the trainer reads of it, before the end and after."""
        known = self.session.state().model_dump(mode="json")
        status = "closed" if self.closed and not self.session.done else known["status"]
        return {**known, "status": status, "timeline": self.number}


def plain(game: Game, observation: Any) -> Any:
    """As it arrives over a wire."""
    breakdown = observation.get(game.breakdown)
    if isinstance(breakdown, BaseModel):
        breakdown = breakdown.model_dump()
    return {**observation, game.breakdown: breakdown}


@dataclass(eq=False)
class Connection:
    """A connection as it must be.

    Attributes:
        ended: whether the server has said goodbye, which the client has not read yet.
        player_id: of a player's connection; empty for a trainer's.
    """

    worker: int
    socket: PlainSocket
    timeline: Timeline | None = None
    ended: bool = False
    player_id: str = ""


class EveryWayToPlay(RuleBasedStateMachine):
    """Plays, and holds every reply against a session in process that nobody else touches."""

    def __init__(self, game: Game, workers: Workers) -> None:
        super().__init__()
        self.game, self.workers = game, workers
        self.actions = [*(each.action for each in game.calls), game.refused]

    @initialize()
    def begin(self) -> None:
        self.prefix = f"machine-{os.getpid()}-{next(NUMBERS)}"
        self.timelines: dict[str, Timeline] = {}
        self.old_players: list[str] = ["pl-never"]
        self.connections: dict[int, Connection] = {}
        self.seen: dict[tuple[str, int, int], Any] = {}
        self.finals: dict[tuple[str, int], int] = {}
        self.highest: dict[tuple[str, int], int] = {}
        self.anonymous = ""
        self.turn = 0

    # What there is to choose from.

    def chosen(self, pick: int) -> Timeline:
        """One of the episodes; a low number picks a young one."""
        known = list(self.timelines.values())
        return known[-1 - pick % len(known)]

    def slot_in_use(self, pick: int) -> int:
        return sorted(self.connections)[pick % len(self.connections)]

    def connection(self, slot: int) -> Connection:
        """A trainer's connection; slots 0 and 2 are at worker 0, slot 1 at worker 1."""
        if slot not in self.connections:
            worker = slot % 2
            socket = PlainSocket(self.workers.ports[worker])
            self.connections[slot] = Connection(worker, socket)
        return self.connections[slot]

    # What the model does.

    def started(self, names: Any, arguments: Any, owner: Connection | None) -> Timeline:
        episode_id, player_id = names["episode_id"], names["player_id"]
        before = self.timelines.get(episode_id)
        number = 1
        if before is not None:
            self.old_players.append(before.player_id)
            number = before.number + 1 if before.stored else 1
            before.owner = None
        assert player_id not in self.old_players
        session = self.game.environment.create_session()
        session.reset(**arguments)
        made = Timeline(episode_id, player_id, number, self.game, session, owner=owner)
        self.timelines[episode_id] = made
        return made

    def forsake(self, connection: Connection) -> None:
        """The connection turns to something else, or is gone: what it had in memory is lost."""
        before = connection.timeline
        if before is not None and before.memory is connection:
            before.alive, before.memory = False, None
        connection.timeline = None

    def end_others(self, episode_id: str, at: Connection) -> None:
        """Trainers' connections of that episode at the same worker are ended by the server."""
        for each in self.connections.values():
            timeline = each.timeline
            if each is at or each.worker != at.worker or each.player_id or timeline is None:
                continue
            if timeline.episode_id == episode_id:
                each.ended = True
                if timeline.memory is each:
                    timeline.memory = None  # saved before it is handed over

    def hung_up(self, slot: int) -> bool:
        """Read the goodbye of a connection that the server ended; whether it was one."""
        connection = self.connection(slot)
        if not connection.ended:
            return False
        self.expect_goodbye(slot, connection.socket.hear())
        return True

    def expect_goodbye(self, slot: int, answer: Any) -> None:
        connection = self.connections.pop(slot)
        assert answer["type"] == "error", answer
        assert answer["data"]["code"] == "SESSION_ERROR"
        assert connection.socket.hear() == {}
        connection.socket.drop()
        self.forsake(connection)

    def holds(self, connection: Connection) -> bool:
        """Whether a connection may go on with what it plays."""
        timeline = connection.timeline
        if timeline is None:
            return True
        if timeline.closed or self.timelines.get(timeline.episode_id) is not timeline:
            return False
        return bool(connection.player_id) or connection in (timeline.owner, timeline.memory)

    def check(self, timeline: Timeline, found: Reply, expected: Reply) -> None:
        """A reply is the one there can be, and tells no score that was told differently."""
        note(f"{timeline.episode_id}: {found}")
        assert found == expected
        if found.breakdown is None:
            return
        key = (timeline.episode_id, timeline.number)
        submission = (*key, timeline.submission)
        assert self.seen.setdefault(submission, found.breakdown) == found.breakdown
        assert len([each for each in self.seen if each[:2] == key]) <= 3
        if found.done:
            steps = timeline.session.state().step_count
            assert self.finals.setdefault(key, steps) == steps

    def reset_arguments(self, drawn: Any) -> Any:
        """A reset of what was drawn, as far as the game knows of it."""
        known = set(self.game.environment.reset_arguments)
        if not self.game.practice:
            known.discard("max_submissions")
        return {**self.game.short, **{name: drawn[name] for name in drawn if name in known}}

    # Trainers: resets, over HTTP and over WebSockets.

    @rule(worker=workers, arguments=resets, name=st.sampled_from([None, "a", "b"]))
    def reset_over_http(self, worker: int, arguments: Any, name: str | None) -> None:
        arguments, path = self.reset_arguments(arguments), "/reset"
        given = {} if name is None else {"episode_id": f"{self.prefix}-{name}"}
        anonymous = name is None and self.game.environment.episode_limits.may_omit_episode_id
        if anonymous:
            path = f"/as/{self.prefix}/reset"
        status, answer = self.workers.ask(worker, "POST", path, {**arguments, **given})
        assert (status, answer["observation"]["status"]) == (200, self.game.opened)
        made = self.started(answer, arguments, None)
        if anonymous:
            assert self.anonymous in ("", made.episode_id)
            self.anonymous = made.episode_id

    @anything_started
    @rule(worker=workers, arguments=resets, pick=picks)
    def start_over_over_http(self, worker: int, arguments: Any, pick: int) -> None:
        timeline, arguments = self.chosen(pick), self.reset_arguments(arguments)
        body = {**arguments, "episode_id": timeline.episode_id}
        _, answer = self.workers.ask(worker, "POST", "/reset", body)
        if SERVER_EPISODE_ID_PATTERN.fullmatch(timeline.episode_id) and not timeline.stored:
            assert answer["observation"]["status"] == "error"
            assert answer["episode_id"] is None
        else:
            self.started(answer, arguments, None)

    @rule(slot=st.integers(0, 2), arguments=resets, name=st.sampled_from([None, None, "a", "b"]))
    def reset_over_websocket(self, slot: int, arguments: Any, name: str | None) -> None:
        if self.hung_up(slot):
            return
        connection, arguments = self.connection(slot), self.reset_arguments(arguments)
        given = {} if name is None else {"episode_id": f"{self.prefix}-{name}"}
        answer = connection.socket.ask({"type": "reset", "data": {**arguments, **given}})["data"]
        assert answer["observation"]["status"] == self.game.opened
        self.forsake(connection)
        if name is not None:
            self.end_others(given["episode_id"], connection)
        made = self.started(answer["metadata"], arguments, connection)
        made.memory = connection if name is None else None
        connection.timeline = made

    @anything_started
    @rule(slot=st.integers(0, 2), pick=picks)
    def resume(self, slot: int, pick: int) -> None:
        timeline = self.chosen(pick)
        if self.hung_up(slot):
            return
        connection = self.connection(slot)
        data = {"episode_id": timeline.episode_id, "resume": True}
        answer = connection.socket.ask({"type": "reset", "data": data})["data"]
        observation = answer["observation"]
        if timeline.memory is connection:
            assert observation["status"] == "error"
            return
        self.end_others(timeline.episode_id, connection)
        if not timeline.stored or timeline.closed:
            assert observation["status"] == "error"
            return
        self.forsake(connection)
        known = timeline.session.state()
        progress = f"resumed at step {known.step_count} of {known.max_steps}"
        assert progress in observation["message"]
        assert answer["metadata"]["player_id"] == timeline.player_id
        timeline.owner, connection.timeline = connection, timeline

    # Steps, by every way.

    @anybody_there
    @rule(pick=picks, given=moves, rpc=st.booleans())
    def step_over_websocket(self, pick: int, given: Any, rpc: bool) -> None:
        slot = self.slot_in_use(pick)
        if self.hung_up(slot):
            return
        for which in given:
            if slot in self.connections:
                self.step_at(slot, which, rpc)

    def step_at(self, slot: int, which: int, rpc: bool) -> None:
        connection, action = self.connections[slot], self.actions[which]
        if rpc:
            call = self.game.calls[which % len(self.game.calls)]
            action = call.action
            request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call.params}
            answer = connection.socket.ask({"type": "mcp", "data": request})
        else:
            answer = connection.socket.ask({"type": "step", "data": action})
        if not self.holds(connection):
            self.expect_goodbye(slot, answer)
            return
        data = answer["data"]
        if rpc:
            found = reply_over_mcp(self.game, data["result"])
        else:
            found = reply_of(self.game, data["observation"], data["reward"], data["done"])
        if connection.timeline is None:
            assert found.status == "error"
        else:
            expected = connection.timeline.play(action)
            if rpc:
                expected = as_over_mcp(self.game, expected)
            self.check(connection.timeline, found, expected)

    @anything_started
    @rule(
        worker=workers,
        pick=picks,
        given=moves,
        player=st.booleans(),
        request=st.sampled_from(["", "", "r1", "r2"]),
        killed=st.integers(0, 9).map(lambda drawn: drawn == 9),
    )
    def step_over_http(
        self, worker: int, pick: int, given: Any, player: bool, request: str, killed: bool
    ) -> None:
        for which in given:
            self.step_by_handle(worker, pick, self.actions[which], player, request, killed)
            killed = False

    def step_by_handle(
        self, worker: int, pick: int, action: Any, player: bool, request: str, killed: bool
    ) -> None:
        timeline = self.chosen(pick)
        handle, path = {"episode_id": timeline.episode_id}, "/step"
        if player:
            handle = {"player_id": timeline.player_id}
        elif timeline.episode_id == self.anonymous:
            handle, path = {}, f"/as/{self.prefix}/step"
        body = {**handle, "action": action, "request_id": request or None}
        if killed and request:
            # Nobody knows whether it was taken; the same name says so.
            self.workers.send(worker, "POST", path, body)
            self.kill(worker)
        status, answer = self.workers.ask(worker, "POST", path, body)
        if not timeline.stored:
            assert status == 404
        elif timeline.closed:
            assert status == 409
        else:
            assert status == 200, answer
            found = reply_of(self.game, answer["observation"], answer["reward"], answer["done"])
            self.check(timeline, found, timeline.play(action, request))

    @anything_started
    @rule(worker=workers, pick=picks, which=st.integers(0, 2))
    def step_over_mcp(self, worker: int, pick: int, which: int) -> None:
        timeline, call = self.chosen(pick), self.game.calls[which]
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call.params}
        session = {"mcp-session-id": timeline.player_id}
        status, answer = self.workers.ask(worker, "POST", "/mcp", body, **session)
        if not timeline.stored or timeline.closed:
            assert status == 404
            return
        found = reply_over_mcp(self.game, answer["result"])
        expected = as_over_mcp(self.game, timeline.play(call.action))
        self.check(timeline, found, expected)

    @precondition(lambda self: len(self.old_players) > 1)
    @rule(worker=workers, pick=picks, which=which_action)
    def step_with_the_handle_of_an_earlier_timeline(
        self, worker: int, pick: int, which: int
    ) -> None:
        player_id = self.old_players[pick % len(self.old_players)]
        body = {"player_id": player_id, "action": self.actions[which]}
        assert self.workers.ask(worker, "POST", "/step", body)[0] == 404
        assert self.workers.ask(worker, "DELETE", "/mcp", **{"mcp-session-id": player_id})[0] == 404

    @anything_started
    @rule(slot=st.integers(3, 4), pick=picks)
    def sit_down_as_a_player(self, slot: int, pick: int) -> None:
        timeline = self.chosen(pick)
        if slot in self.connections:
            return
        worker = slot % 2
        path = f"/ws?session_id={quote(timeline.player_id)}"
        socket = PlainSocket(self.workers.ports[worker], path)
        if not timeline.stored or timeline.closed:
            assert socket.hear()["data"]["code"] == "SESSION_ERROR"
            socket.drop()
            return
        self.connections[slot] = Connection(worker, socket, timeline, player_id=timeline.player_id)
        refused = socket.ask({"type": "reset", "data": self.game.short})
        assert refused["data"]["observation"]["status"] == "error"

    # Ends.

    @anybody_there
    @rule(pick=picks)
    def close(self, pick: int) -> None:
        slot = self.slot_in_use(pick)
        if self.hung_up(slot):
            return
        connection = self.connections[slot]
        timeline, holds = connection.timeline, self.holds(connection)
        connection.socket.leave()
        del self.connections[slot]
        if timeline is not None and timeline.stored and holds and not connection.player_id:
            timeline.closed = True
        self.forsake(connection)

    @anybody_there
    @rule(pick=picks)
    def drop(self, pick: int) -> None:
        slot = self.slot_in_use(pick)
        if self.hung_up(slot):
            return
        connection = self.connections.pop(slot)
        connection.socket.drop()
        timeline = connection.timeline
        if timeline is not None and timeline.memory is connection:
            timeline.memory = None
            deadline = time.monotonic() + PATIENCE_S
            while self.read(0, timeline.episode_id)[0] == 404:
                assert time.monotonic() < deadline, "a dropped episode was not kept"

    @anything_started
    @rule(worker=workers, pick=picks)
    def delete_over_mcp(self, worker: int, pick: int) -> None:
        timeline = self.chosen(pick)
        session = {"mcp-session-id": timeline.player_id}
        status, _ = self.workers.ask(worker, "DELETE", "/mcp", **session)
        assert status == (204 if timeline.stored and not timeline.closed else 404)
        if timeline.stored:
            timeline.closed = True

    @rule(worker=workers, sure=st.integers(0, 2))
    def crash(self, worker: int, sure: int) -> None:
        if sure == 2:
            self.kill(worker)

    def kill(self, worker: int) -> None:
        self.workers.kill(worker)
        for slot, connection in list(self.connections.items()):
            if connection.worker == worker:
                connection.socket.drop()
                self.forsake(self.connections.pop(slot))

    # What holds at any time.

    def read(self, worker: int, episode_id: str) -> tuple[int, Any]:
        return self.workers.ask(worker, "GET", f"/state?episode_id={quote(episode_id)}")

    @invariant()
    def a_record_stands_where_it_was_played_to(self) -> None:
        """One record after each message, and every one at the end."""
        timelines = list(getattr(self, "timelines", {}).values())
        if timelines:
            self.turn += 1
            self.look_at(timelines[self.turn // 2 % len(timelines)], worker=self.turn % 2)

    def look_at(self, timeline: Timeline, worker: int) -> None:
        status, found = self.read(worker, timeline.episode_id)
        assert (status == 200) == timeline.stored, (timeline.episode_id, found)
        if not timeline.stored:
            return
        expected = timeline.record()
        assert {name: found[name] for name in expected} == expected
        key = (timeline.episode_id, found["timeline"])
        assert found["step_count"] >= self.highest.get(key, 0)
        self.highest[key] = found["step_count"]
        if found["status"] == "running":
            assert (found["score"], found["reward_breakdown"]) == (None, None)

    def teardown(self) -> None:
        for timeline in getattr(self, "timelines", {}).values():
            for worker in (0, 1):
                self.look_at(timeline, worker)
        for connection in getattr(self, "connections", {}).values():
            connection.socket.drop()


@pytest.mark.slow
def test_random_requests_never_give_a_second_attempt(game: Game, workers_of_game: Workers) -> None:
    run_state_machine_as_test(
        partial(EveryWayToPlay, game, workers_of_game),
        settings=settings(
            # A reset of drill-down takes as long as thirty of the others.
            max_examples=EXAMPLES // 6 if game.name == "drilldown" else EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not os.environ.get("METRIC_TRACKER_FULL"),
            print_blob=True,
        ),
    )
