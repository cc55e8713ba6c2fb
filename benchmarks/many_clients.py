"""`python -m benchmarks.many_clients`: many clients that think for seconds, on one server.

All clients run in this process. Each one plays its own two tasks in turn, a lean episode of the
funnel and another one, with the reference policy, and compares every reply with an episode that was
played in this process. Every second client uses plain HTTP, the others WebSocket. Some episodes
reconnect in the middle, and some are left. After the given time no episode starts any more, and
the open ones are finished without thinking. Before the load, the server's caches of stored episodes
are filled, because its memory grows until they are full.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.client_connections import (
    ClientConnection,
    FullError,
    HttpConnection,
    WebSocketConnection,
)
from benchmarks.expected_episodes import (
    ExpectedEpisode,
    compute_digest,
    play_expected_episodes,
)
from benchmarks.figures import print_figures
from benchmarks.load import LoadError
from benchmarks.load_record import LoadRecord, summarize
from benchmarks.memory_trend import MemorySample, read_resident_bytes
from benchmarks.server_process import ServerProcess, run_server
from benchmarks.warm_up import (
    count_episodes_to_fill_caches,
    play_episodes_of_each_environment,
)
from openenv_kit.cli.common import exit_with_result

RECONNECT_SHARE = LEAVE_SHARE = 0.05
"""Shares of episodes that reconnect in the middle, and that are left."""
MEMORY_INTERVAL_S = 10.0
LOOP_CHECK_INTERVAL_S = 0.05
FULL_PAUSE_S = 1.0
"""Pause before a full server is asked again, in seconds."""
MAX_RESUME_ATTEMPTS = 10
FINISH_TIMEOUT_S = 300.0
"""Longest time for finishing the open episodes, in seconds."""


@dataclass
class SimulatedClient:
    """One client.

    Attributes:
        number: number of the client.
        connection: its connection.
        episodes: its episodes, which it plays in turn.
        record: where it writes what happened.
        stop: set when no further episode may start.
        think_s: shortest and longest time between two actions, in seconds.
    """

    number: int
    connection: ClientConnection
    episodes: Sequence[ExpectedEpisode]
    record: LoadRecord
    stop: asyncio.Event
    think_s: tuple[float, float]

    def __post_init__(self) -> None:
        self._random = random.Random(self.number)
        self.is_playing = False

    async def play_until_stop(self) -> None:
        """Play one episode after another until the stop, and finish the last one."""
        # The clients start at different times, like workers of a run that has been going on.
        await self._wait_or_stop(self._random.uniform(0.0, self.think_s[1]))
        played = 0
        while not self.stop.is_set():
            episode = self.episodes[played % len(self.episodes)]
            played += 1
            self.record.started += 1
            self.is_playing = True
            try:
                await self._play_episode(episode)
            except (LoadError, OSError, EOFError, KeyError) as problem:
                self.record.failed += 1
                self.record.add_error(type(problem).__name__, str(problem))
                self.connection.drop()
            self.is_playing = False
        self.connection.drop()

    async def _play_episode(self, episode: ExpectedEpisode) -> None:
        step_count = len(episode.actions)
        luck = self._random.random()
        event_step = self._random.randrange(1, step_count) if step_count > 1 else 0
        should_reconnect = luck < RECONNECT_SHARE
        should_leave = RECONNECT_SHARE <= luck < RECONNECT_SHARE + LEAVE_SHARE
        self._require_expected(episode, 0, await self._reset(episode))
        for number, action in enumerate(episode.actions, start=1):
            await self._wait_or_stop(self._random.uniform(*self.think_s))
            if number - 1 == event_step and event_step and should_reconnect:
                await self._reconnect()
            if number - 1 == event_step and event_step and should_leave:
                self.record.left += 1
                self.connection.drop()
                return
            started_s = time.perf_counter()
            observation = await self.connection.step(action)
            self.record.steps_after_stop += self.stop.is_set()
            if not self.stop.is_set():  # without thinking, all clients step at the same time
                self.record.step_s.append(time.perf_counter() - started_s)
            self._require_expected(episode, number, observation)
        self.record.finished += 1

    async def _reset(self, episode: ExpectedEpisode) -> dict[str, Any]:
        while True:
            started_s = time.perf_counter()
            try:
                observation = await self.connection.reset(
                    episode.kind.path, episode.reset_arguments
                )
            except FullError:
                self.record.full += 1
                await asyncio.sleep(FULL_PAUSE_S)
                continue
            self.record.reset_s.append(time.perf_counter() - started_s)
            return observation

    async def _reconnect(self) -> None:
        """Continue the episode over another connection."""
        for attempt in range(MAX_RESUME_ATTEMPTS):
            try:
                await self.connection.reconnect()
            except (LoadError, FullError):
                # The other worker may not have stored the dropped episode yet.
                if attempt == MAX_RESUME_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(FULL_PAUSE_S)
            else:
                self.record.reconnected += 1
                return

    def _require_expected(
        self, episode: ExpectedEpisode, number: int, observation: dict[str, Any]
    ) -> None:
        if compute_digest(episode.kind, observation) != episode.digests[number]:
            self.record.mixed_up += 1
            self.record.add_error(
                "mixed up", f"reply {number} of {dict(episode.reset_arguments)} differs"
            )

    async def _wait_or_stop(self, seconds: float) -> None:
        """Wait, but no longer than until the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            pass


async def run_clients(
    server: ServerProcess,
    episodes: Sequence[Sequence[ExpectedEpisode]],
    duration_s: float,
    think_s: tuple[float, float],
) -> LoadRecord:
    """Let one client for each entry of `episodes` play for a time, and return what happened."""
    record, stop = LoadRecord(), asyncio.Event()
    connections = (WebSocketConnection, HttpConnection)
    clients = [
        SimulatedClient(
            number, connections[number % 2](server.port), own_episodes, record, stop, think_s
        )
        for number, own_episodes in enumerate(episodes)
    ]
    watchers = [
        asyncio.create_task(_watch_event_loop(record)),
        asyncio.create_task(_watch_memory(record, server)),
    ]
    tasks = [asyncio.create_task(client.play_until_stop()) for client in clients]
    await asyncio.sleep(duration_s)
    record.open_at_stop = sum(client.is_playing for client in clients)
    for watcher in watchers:
        watcher.cancel()
    stop.set()
    done, unfinished = await asyncio.wait(tasks, timeout=FINISH_TIMEOUT_S)
    for task in unfinished:
        task.cancel()
    for task in done:
        task.result()  # an error of this program ends it
    return record


async def fill_episode_caches(
    server: ServerProcess, workers: int, episodes: Sequence[Sequence[ExpectedEpisode]]
) -> None:
    """Play until the caches of stored episodes are full in every worker of the server."""
    started_s = time.perf_counter()
    http_episodes = [episode for own_episodes in episodes[1::2] for episode in own_episodes]
    await play_episodes_of_each_environment(
        lambda: HttpConnection(server.port), http_episodes, count_episodes_to_fill_caches(workers)
    )
    typer.echo(f"caches filled in {time.perf_counter() - started_s:.0f} s", err=True)


async def _watch_event_loop(record: LoadRecord) -> None:
    while True:
        started_s = time.perf_counter()
        await asyncio.sleep(LOOP_CHECK_INTERVAL_S)
        record.loop_delay_s.append(time.perf_counter() - started_s - LOOP_CHECK_INTERVAL_S)


async def _watch_memory(record: LoadRecord, server: ServerProcess) -> None:
    started_s = time.perf_counter()
    while True:
        resident_bytes = read_resident_bytes(server.process.pid)
        record.memory.append(MemorySample(time.perf_counter() - started_s, resident_bytes))
        await asyncio.sleep(MEMORY_INTERVAL_S)


def main(
    clients: Annotated[int, typer.Option(min=1, help="Number of clients.")] = 512,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of the load.")] = 1200.0,
    think_min: Annotated[float, typer.Option(help="Shortest time between two actions.")] = 2.0,
    think_max: Annotated[float, typer.Option(help="Longest time between two actions.")] = 20.0,
    workers: Annotated[int, typer.Option(min=1, help="Workers of the server.")] = 2,
    warm_up: Annotated[bool, typer.Option(help="First fill the server's episode caches.")] = True,
    output: Annotated[Path | None, typer.Option(help="File for the figures as JSON.")] = None,
) -> None:
    """Play with many clients, and print what was lost, mixed up and slow."""
    prepared_s = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        episodes = list(pool.map(play_expected_episodes, range(clients), chunksize=8))
    typer.echo(f"episodes played in {time.perf_counter() - prepared_s:.0f} s", err=True)
    with run_server(workers=workers) as server:
        if warm_up:
            asyncio.run(fill_episode_caches(server, workers, episodes))
        record = asyncio.run(run_clients(server, episodes, seconds, (think_min, think_max)))
    figures = summarize(record, seconds)
    for example in record.examples:
        typer.echo(example, err=True)
    if record.errors:
        typer.echo(f"errors by kind: {dict(record.errors)}")
    if output is not None:
        content = {
            "clients": clients,
            "seconds": seconds,
            "think_s": [think_min, think_max],
            "workers": workers,
            "load_average": os.getloadavg(),
            "figures": [asdict(figure) for figure in figures],
            "errors": dict(record.errors),
            "memory": [list(sample) for sample in record.memory],
        }
        output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    title = f"{clients} clients for {seconds:g} s"
    exit_with_result(has_failed=not print_figures(title, figures))


if __name__ == "__main__":
    typer.run(main)
