"""Plays the episodes of a run on the workers of a Ray cluster."""

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
from openenv_kit.agent.find_server import find_or_start_server
from openenv_kit.agent.players import choose_player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.results import EpisodeResult, RunStatus
from openenv_kit.agent.run_episode import LocalEpisodeRunner
from openenv_kit.agent.servers import PrintStatus, Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.environment import get_environment
from openenv_kit.ray_cluster import connect_to_ray


@dataclass(frozen=True)
class WorkerOutput:
    """A worker's output for one episode, which the main process prints and saves.

    Attributes:
        result: result of the episode.
        log_text: lines for standard output.
        recording_text: content of the recording; empty if the run is not recorded.
        status_messages: status messages for the user.
    """

    result: EpisodeResult
    log_text: str
    recording_text: str
    status_messages: list[str]


class RayWorker:
    """A worker process of the cluster, with a player and a server.

    The worker starts its own server, unless the settings contain the URL of a server.

    Args:
        environment_name: name of the environment.
        policy_name: name of the scripted policy; None to let `choose_player` choose the player.
        settings: settings of the run.
        should_record: whether to return recordings.
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

    async def find_or_start_server_and_describe_it(self) -> str:
        """Start or find the server and return its description."""
        self._server = await find_or_start_server(self._environment, self._settings, lambda _: None)
        return self._server.description

    async def play_episode_and_capture_output(self, result: EpisodeResult) -> WorkerOutput:
        """Play `result.planned`; return the completed result and the captured output."""
        if self._server is None:  # Ray restarted the worker after a failure
            await self.find_or_start_server_and_describe_it()
        assert self._server is not None
        log_stream = io.StringIO()
        status_messages: list[str] = []
        evaluation_log = EvaluationLog(
            log_stream,
            is_live=False,
            score_epsilon=self._settings.score_epsilon,
            redact=build_redactor(self._settings.secrets),
        )
        with TemporaryDirectory() as folder:
            runner = LocalEpisodeRunner(
                environment=self._environment,
                settings=self._settings,
                player=self._player,
                server=self._server,
                evaluation_log=evaluation_log,
                recording_folder=Path(folder) if self._should_record else None,
                print_status=status_messages.append,
            )
            await runner.play_episode_and_fill_result(result)
            recording_path = Path(folder) / result.planned.recording_filename
            recording_text = ""
            if recording_path.exists():
                recording_text = recording_path.read_text(encoding="utf-8")
        return WorkerOutput(result, log_stream.getvalue(), recording_text, status_messages)


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # Ray writes it to the worker's log


@dataclass
class RayEpisodeRunner:
    """Sends each episode to the worker with the fewest running episodes.

    Attributes:
        ray: the module `ray`, connected to a cluster.
        workers: Ray's handles of the `RayWorker` processes.
        evaluation_log: see `LocalEpisodeRunner`.
        recording_folder: see `LocalEpisodeRunner`.
        print_status: see `LocalEpisodeRunner`.
        description: one-line description of where the episodes are played.
    """

    ray: ModuleType
    workers: list[Any]
    evaluation_log: EvaluationLog
    recording_folder: Path | None
    print_status: PrintStatus
    description: str
    _running_by_worker: Counter[int] = field(default_factory=Counter)

    async def play_episode_and_fill_result(self, result: EpisodeResult) -> None:
        """Play `result.planned` on a worker and fill in the other fields of the result."""
        worker_index = min(range(len(self.workers)), key=self._running_by_worker.__getitem__)
        self._running_by_worker[worker_index] += 1
        try:
            output: WorkerOutput = await self.workers[
                worker_index
            ].play_episode_and_capture_output.remote(result)
        except self.ray.exceptions.RayError as problem:
            first_line = str(problem).splitlines()[0]
            result.status = RunStatus.FAILED
            result.error = f"The cluster lost the episode: {first_line}"
            return
        finally:
            self._running_by_worker[worker_index] -= 1
        for result_field in fields(result):
            setattr(result, result_field.name, getattr(output.result, result_field.name))
        self.evaluation_log.write_or_defer_lines(output.log_text.splitlines(), is_last=True)
        for message in output.status_messages:
            self.print_status(message)
        if self.recording_folder is not None and output.recording_text:
            self.recording_folder.mkdir(parents=True, exist_ok=True)
            path = self.recording_folder / result.planned.recording_filename
            path.write_text(output.recording_text, encoding="utf-8")


@asynccontextmanager
async def open_ray_runner(
    options: CommandLineOptions,
    settings: AgentSettings,
    evaluation_log: EvaluationLog,
    print_status: PrintStatus,
) -> AsyncIterator[RayEpisodeRunner]:
    """Connect to a cluster, start its workers and yield a runner that uses them.

    The number of workers is the number of cores, limited by the concurrency of the run.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    with connect_to_ray() as ray:
        core_count = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        worker_count = min(options.concurrency, core_count)
        worker_class = ray.remote(RayWorker).options(
            num_cpus=1,
            max_concurrency=math.ceil(options.concurrency / worker_count),
            # Ray restarts a lost worker, which then plays the unfinished episode again.
            max_restarts=-1,
            max_task_retries=settings.task_retries,
        )
        workers = [
            worker_class.remote(
                options.environment.name, options.policy, settings, bool(options.record)
            )
            for _ in range(worker_count)
        ]
        print_status(f"Starting {worker_count} workers on a Ray cluster of {core_count} cores …")
        server_descriptions = [
            await worker.find_or_start_server_and_describe_it.remote() for worker in workers
        ]
        yield RayEpisodeRunner(
            ray=ray,
            workers=workers,
            evaluation_log=evaluation_log,
            recording_folder=options.record,
            print_status=print_status,
            description=(
                f"{worker_count} workers of a Ray cluster, the first with {server_descriptions[0]}"
            ),
        )
