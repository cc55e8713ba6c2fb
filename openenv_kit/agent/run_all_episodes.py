"""Playing the episodes of a run, one by one or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.results import INTERRUPTED, EpisodeResult, RunResult
from openenv_kit.agent.resume_file import ResumeFile
from openenv_kit.agent.servers import PrintStatus


class EpisodeRunner(Protocol):
    """What plays episodes: this process, or the workers of a cluster."""

    @property
    def description(self) -> str:
        """Where they are played, in one line."""

    async def run_episode(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result."""


@dataclass
class EpisodeScheduler:
    """Plays planned episodes, some at a time, each of them once.

    Attributes:
        results: of the episodes that were started, those of an earlier run included.
        resume_file: where each result is kept as soon as it is there; None for nowhere.
        print_status: told about each episode.
    """

    planned_episodes: Sequence[PlannedEpisode]
    concurrency: int
    print_status: PrintStatus
    results: list[EpisodeResult] = field(default_factory=list)
    resume_file: ResumeFile | None = None
    _has_permanent_failure: bool = False

    async def run_all_episodes(
        self, runner: EpisodeRunner, player_name: str, benchmark: str
    ) -> RunResult:
        """Play every episode. One that fails does not end the run; a cancellation does.

        Args:
            runner: what plays them.
            player_name: its name, as in `RunResult`.
            benchmark: as there.
        """
        began = time.monotonic()
        interrupted = False
        try:
            await self._run_remaining_episodes(runner)
        except asyncio.CancelledError:
            interrupted = True
        order = {each.label: number for number, each in enumerate(self.planned_episodes)}
        return RunResult(
            player=player_name,
            benchmark=benchmark,
            server=runner.description,
            episodes=sorted(self.results, key=lambda each: order[each.planned.label]),
            planned_count=len(self.planned_episodes),
            seconds=time.monotonic() - began,
            is_interrupted=interrupted,
        )

    async def _run_remaining_episodes(self, runner: EpisodeRunner) -> None:
        known = {each.planned.label for each in self.results}
        waiting = iter([each for each in self.planned_episodes if each.label not in known])
        played = len(known)

        async def worker() -> None:
            nonlocal played
            for planned in waiting:
                if self._has_permanent_failure:
                    return
                result = await self._run_planned_episode(runner, planned)
                self._has_permanent_failure |= result.hopeless
                played += 1
                scored = (
                    "no score (the one in its END line only fills the field)"
                    if result.score is None
                    else f"score {result.score:.4f}"
                )
                self.print_status(
                    f"{planned.label}: {result.status}, {scored}, "
                    f"{result.steps} steps, {result.seconds:.2f} s "
                    f"({played} of {len(self.planned_episodes)})"
                )

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self.concurrency, len(self.planned_episodes))):
                workers.create_task(worker())

    async def _run_planned_episode(
        self, runner: EpisodeRunner, planned: PlannedEpisode
    ) -> EpisodeResult:
        result = EpisodeResult(planned)
        self.results.append(result)
        try:
            await runner.run_episode(result)
        except asyncio.CancelledError:
            result.status, result.error = INTERRUPTED, "Interrupted."
            raise
        if self.resume_file is not None:
            self.resume_file.append_result(result)
        return result
