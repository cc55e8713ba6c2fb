"""The runner that sends episodes to the workers of a Ray cluster; Ray itself is replaced."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.ray_engine import RayEpisodeRunner, RayWorker, WorkerOutput
from openenv_kit.agent.results import EpisodeResult, RunStatus
from openenv_kit.agent.stdout import EvaluationLog


class ActorHandle:
    """A handle of a `RayWorker` as Ray makes them: only the worker's methods can be called."""

    def __init__(self, output: WorkerOutput) -> None:
        self._output = output

    def __getattr__(self, name: str) -> Any:
        assert callable(getattr(RayWorker, name))

        async def remote(*_: Any) -> WorkerOutput:
            return self._output

        return SimpleNamespace(remote=remote)


async def test_ray_runner_finished_episode_result_log_and_recording_arrive(tmp_path: Path) -> None:
    planned = PlannedEpisode("easy_single_spike", 0, {"task_id": "easy_single_spike"})
    finished = EpisodeResult(planned, status=RunStatus.EVALUATED, score=1.0)
    worker = ActorHandle(WorkerOutput(finished, "[START] …\n[END] …\n", "{}\n", ["message"]))
    stdout, status_messages = io.StringIO(), list[str]()
    ray = ModuleType("ray")
    ray.exceptions = SimpleNamespace(RayError=RuntimeError)  # type: ignore[attr-defined]
    runner = RayEpisodeRunner(
        ray=ray,
        workers=[worker],
        evaluation_log=EvaluationLog(stdout, is_live=False),
        recording_folder=tmp_path,
        print_status=status_messages.append,
        description="a cluster",
    )
    result = EpisodeResult(planned)
    await runner.play_episode_and_fill_result(result)
    assert result == finished
    assert stdout.getvalue() == "[START] …\n[END] …\n"
    assert (tmp_path / planned.recording_filename).read_text() == "{}\n"
    assert status_messages == ["message"]
