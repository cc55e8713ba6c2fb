"""Episodes played by the workers of a Ray cluster: the same unit of work as on one machine."""

from __future__ import annotations

import io
import math
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from openenv_kit.agent.command_line import Options
from openenv_kit.agent.players import choose_player
from openenv_kit.agent.redaction import cleaner
from openenv_kit.agent.results import FAILED, EpisodeResult
from openenv_kit.agent.run_episode import EpisodePlayer
from openenv_kit.agent.servers import Say, Server, choose_server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import Lines
from openenv_kit.environment import get_environment
from openenv_kit.ray_cluster import cluster


@dataclass(frozen=True)
class Played:
    """What a worker hands back: the result, and all that it would have written on one machine."""

    result: EpisodeResult
    lines: str
    recording: str
    said: list[str]


class Worker:
    """A process of the cluster, with a player and, unless one is named, a server of its own.

    Args:
        environment: its name.
        policy: scripted policy that plays; None as in `choose_player`.
        settings: of the run.
        record: whether to hand back recordings.
    """

    def __init__(
        self, environment: str, policy: str | None, settings: AgentSettings, record: bool
    ) -> None:
        self._environment = get_environment(environment)
        self._settings, self._record = settings, record
        self._player = choose_player(
            self._environment, policy, settings, require_llm=False, say=_print_to_stderr
        )
        self._server: Server | None = None

    async def prepare(self) -> str:
        """Start or find the server; returns its description."""
        self._server = await choose_server(self._environment, self._settings, lambda _: None)
        return self._server.description

    async def play(self, result: EpisodeResult) -> Played:
        """Play one episode."""
        if self._server is None:  # a worker that was lost was started again
            await self.prepare()
        assert self._server is not None
        written, said = io.StringIO(), list[str]()
        clean = cleaner(self._settings.secrets)
        lines = Lines(written, live=False, epsilon=self._settings.score_epsilon, clean=clean)
        with TemporaryDirectory() as folder:
            record = Path(folder) if self._record else None
            playing = EpisodePlayer(
                *(self._environment, self._settings, self._player, self._server),
                *(lines, record, said.append),
            )
            await playing.play(result)
            recorded = Path(folder) / result.planned.recording
            recording = recorded.read_text(encoding="utf-8") if recorded.exists() else ""
        return Played(result, written.getvalue(), recording, said)


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # Ray shows it where the run was started


@dataclass
class RayEngine:
    """Gives each episode to the worker that has the fewest.

    Attributes:
        lines, record, say: as in `EpisodePlayer`.
        description: where the episodes are played.
    """

    ray: ModuleType
    workers: list[Any]
    lines: Lines
    record: Path | None
    say: Say
    description: str
    _busy: Counter[int] = field(default_factory=Counter)

    async def play(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result."""
        number = min(range(len(self.workers)), key=self._busy.__getitem__)
        self._busy[number] += 1
        try:
            played: Played = await self.workers[number].play.remote(result)
        except self.ray.exceptions.RayError as problem:
            first_line = str(problem).splitlines()[0]
            result.status, result.error = FAILED, f"The cluster lost the episode: {first_line}"
            return
        finally:
            self._busy[number] -= 1
        for each in fields(result):
            setattr(result, each.name, getattr(played.result, each.name))
        self.lines.write(played.lines.splitlines(), last=True)
        for text in played.said:
            self.say(text)
        if self.record is not None and played.recording:
            self.record.mkdir(parents=True, exist_ok=True)
            path = self.record / result.planned.recording
            path.write_text(played.recording, encoding="utf-8")


@asynccontextmanager
async def ray_engine(
    options: Options, settings: AgentSettings, lines: Lines, say: Say
) -> AsyncIterator[RayEngine]:
    """An engine on the cluster, with a worker for each of its cores, or for each episode at a time.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    with cluster() as ray:
        cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        count = min(options.concurrency, cores)
        worker = ray.remote(Worker).options(
            num_cpus=1,
            max_concurrency=math.ceil(options.concurrency / count),
            # An episode whose worker is lost has no result yet, and is played by its successor.
            max_restarts=-1,
            max_task_retries=settings.task_retries,
        )
        workers = [
            worker.remote(options.environment.name, options.policy, settings, bool(options.record))
            for _ in range(count)
        ]
        say(f"Starting {count} workers on a Ray cluster of {cores} cores …")
        servers = [await each.prepare.remote() for each in workers]
        described = f"{count} workers of a Ray cluster, the first with {servers[0]}"
        yield RayEngine(ray, workers, lines, options.record, say, described)
