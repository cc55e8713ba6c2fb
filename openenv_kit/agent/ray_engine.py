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

from openenv_kit.agent.command_line import CommandLineOptions
from openenv_kit.agent.players import choose_player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.results import FAILED, EpisodeResult
from openenv_kit.agent.run_episode import LocalEpisodeRunner
from openenv_kit.agent.servers import PrintStatus, Server, find_or_start_server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.environment import get_environment
from openenv_kit.ray_cluster import connect_to_ray


@dataclass(frozen=True)
class WorkerOutput:
    """What a worker hands back: the result, and all that it would have written on one machine."""

    result: EpisodeResult
    log_text: str
    recording_text: str
    status_messages: list[str]


class RayWorker:
    """A process of the cluster, with a player and, unless one is named, a server of its own.

    Args:
        environment_name: its name.
        policy_name: scripted policy that plays; None as in `choose_player`.
        settings: of the run.
        should_record: whether to hand back recordings.
    """

    def __init__(
        self,
        environment_name: str,
        policy_name: str | None,
        settings: AgentSettings,
        should_record: bool,
    ) -> None:
        self._environment = get_environment(environment_name)
        self._settings, self._should_record = settings, should_record
        self._player = choose_player(
            self._environment,
            policy_name,
            settings,
            require_llm=False,
            print_status=_print_to_stderr,
        )
        self._server: Server | None = None

    async def prepare_server(self) -> str:
        """Start or find the server; returns its description."""
        self._server = await find_or_start_server(self._environment, self._settings, lambda _: None)
        return self._server.description

    async def run_episode(self, result: EpisodeResult) -> WorkerOutput:
        """Play one episode."""
        if self._server is None:  # a worker that was lost was started again
            await self.prepare_server()
        assert self._server is not None
        written, said = io.StringIO(), list[str]()
        clean = build_redactor(self._settings.secrets)
        lines = EvaluationLog(
            written, is_live=False, score_epsilon=self._settings.score_epsilon, redact=clean
        )
        with TemporaryDirectory() as folder:
            record = Path(folder) if self._should_record else None
            playing = LocalEpisodeRunner(
                *(self._environment, self._settings, self._player, self._server),
                *(lines, record, said.append),
            )
            await playing.run_episode(result)
            recorded = Path(folder) / result.planned.recording_filename
            recording = recorded.read_text(encoding="utf-8") if recorded.exists() else ""
        return WorkerOutput(result, written.getvalue(), recording, said)


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # Ray shows it where the run was started


@dataclass
class RayEpisodeRunner:
    """Gives each episode to the worker that has the fewest.

    Attributes:
        evaluation_log, recording_folder, print_status: as in `LocalEpisodeRunner`.
        description: where the episodes are played.
    """

    ray: ModuleType
    workers: list[Any]
    evaluation_log: EvaluationLog
    recording_folder: Path | None
    print_status: PrintStatus
    description: str
    _running_by_worker: Counter[int] = field(default_factory=Counter)

    async def run_episode(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result."""
        number = min(range(len(self.workers)), key=self._running_by_worker.__getitem__)
        self._running_by_worker[number] += 1
        try:
            played: WorkerOutput = await self.workers[number].play.remote(result)
        except self.ray.exceptions.RayError as problem:
            first_line = str(problem).splitlines()[0]
            result.status, result.error = FAILED, f"The cluster lost the episode: {first_line}"
            return
        finally:
            self._running_by_worker[number] -= 1
        for each in fields(result):
            setattr(result, each.name, getattr(played.result, each.name))
        self.evaluation_log.write_or_defer_lines(played.log_text.splitlines(), is_last=True)
        for text in played.status_messages:
            self.print_status(text)
        if self.recording_folder is not None and played.recording_text:
            self.recording_folder.mkdir(parents=True, exist_ok=True)
            path = self.recording_folder / result.planned.recording_filename
            path.write_text(played.recording_text, encoding="utf-8")


@asynccontextmanager
async def open_ray_runner(
    options: CommandLineOptions,
    settings: AgentSettings,
    evaluation_log: EvaluationLog,
    print_status: PrintStatus,
) -> AsyncIterator[RayEpisodeRunner]:
    """An engine on the cluster, with a worker for each of its cores, or for each episode at a time.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    with connect_to_ray() as ray:
        cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        count = min(options.concurrency, cores)
        worker = ray.remote(RayWorker).options(
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
        print_status(f"Starting {count} workers on a Ray cluster of {cores} cores …")
        servers = [await each.prepare.remote() for each in workers]
        described = f"{count} workers of a Ray cluster, the first with {servers[0]}"
        yield RayEpisodeRunner(
            ray, workers, evaluation_log, options.record, print_status, described
        )
